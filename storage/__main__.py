"""The store for people who write SQL: where it is, what is in it, and what a SELECT gives.

    python -m storage path
    python -m storage tables
    python -m storage sql "SELECT name, best_accuracy FROM run_summary LIMIT 10" --csv

The database is opened read-only. `docs/schema.md` says what each table and view holds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sqlite3
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from storage import database

Table = tuple[list[str], Iterable[Sequence[Any]]]
MOST_CHARS = 60  # of a cell on a terminal; --csv and --json have all of it


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 well, 1 the SQL is wrong or writes, 5 there is no store."""
    given = _parser().parse_args(arguments)
    try:
        store = given.store or _usual_store()
    except (OSError, ValueError, TypeError) as error:
        print(f"The settings do not say where the store is: {error}. Mend them, or give its "
              "folder: --store.", file=sys.stderr)  # fmt: skip
        return 5
    file = database.path_of(store)
    if not file.exists():
        print(f"There is no store in {str(store)!r}. Give its folder: --store.",
              file=sys.stderr)  # fmt: skip
        return 5
    try:
        with closing(_opened(file)) as db:
            if given.command == "path":
                print(file)
            else:
                table = _tables(db) if given.command == "tables" else _select(db, given.query)
                _print(table, given.format)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (sqlite3.Error, sqlite3.Warning) as error:
        print(
            f"Error: {str(error).rstrip('.')}. `python -m storage tables` lists what there is.",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m storage", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    where = "Its folder; else that of the settings."
    parser.add_argument("--store", type=Path, help=where)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (
        ("path", "The database's file."),
        ("tables", "Tables and views, with their columns."),
        ("sql", "What a SELECT gives."),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("--store", type=Path, default=argparse.SUPPRESS, help=where)
        if name == "sql":
            command.add_argument("query", help="One statement that reads.")
        if name != "path":
            shape = command.add_mutually_exclusive_group()
            for form in ("json", "csv"):
                shape.add_argument(f"--{form}", dest="format", action="store_const", const=form)
    return parser


def _usual_store() -> Path:
    """As the dashboard finds it: the variable, else the settings' file, else the usual folder.

    The file may be absent, but not one that is named.
    """
    project = Path(__file__).parents[1]
    named, chosen = (os.environ.get(f"ACCELBOARD_{name}") for name in ("SETTINGS", "STORE"))
    file = Path(named or project / "accelboard.toml")
    if not chosen and (named or file.exists()):
        chosen = tomllib.loads(file.read_text("utf-8")).get("store")
    return Path(chosen or project / "store").expanduser()


def _opened(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    db.execute("PRAGMA query_only = ON")  # an attached file is not written either
    return db


def _tables(db: sqlite3.Connection) -> Table:
    query = (
        "SELECT m.name, m.type, group_concat(c.name, ', ') FROM sqlite_schema AS m, "
        "pragma_table_info(m.name) AS c WHERE m.type IN ('table', 'view') "
        "AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~' AND m.name NOT LIKE '~_%' ESCAPE '~' "
        "GROUP BY m.name ORDER BY m.type DESC, m.name"
    )
    return ["name", "type", "columns"], db.execute(query)


def _select(db: sqlite3.Connection, query: str) -> Table:
    cursor = db.execute(query)
    return [column[0] for column in cursor.description or ()], cursor


def _print(table: Table, form: str | None) -> None:
    names, rows = table
    if form == "json":
        keys = list(_apart(names))
        for row in rows:
            print(json.dumps(dict(zip(keys, map(_told, row), strict=True)), ensure_ascii=False))
    elif form == "csv":
        csv.writer(sys.stdout).writerows([names, *rows] if names else [])
    else:
        for line in _aligned(names, list(rows)):
            print(line)


def _apart(names: Sequence[str]) -> Iterator[str]:
    """An object has each name once: the second `id` of a join is `id_2`."""
    taken: set[str] = set()
    for name in names:
        told, number = name, 1
        while told in taken:
            number += 1
            told = f"{name}_{number}"
        taken.add(told)
        yield told


def _told(cell: Any) -> Any:
    return cell.hex() if isinstance(cell, bytes) else cell


def _aligned(names: list[str], rows: list[Sequence[Any]]) -> Iterator[str]:
    cells = [names, *([_short(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _short(cell: Any) -> str:
    text = "—" if cell is None else " ".join(str(_told(cell)).split())
    return text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
