"""All that is recorded of one run, out of one store and into another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from storage import metrics
from storage.database import Database, change
from storage.metrics import Point
from storage.points import OF_SERIES, STEP

OF_PLACE = {"process": None}  # what means nothing in another store
BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Record:
    """`row` is the run's own columns; `points` are (key, step, epoch, at, value), by key and step,
    `readings` (device, key, at, value). Both can be gone through once, and may be long."""

    row: dict[str, Any]
    tags: list[str]
    points: Iterable[Sequence[Any]]
    readings: Iterable[Sequence[Any]]


def read(db: Database, run_id: str) -> Record:
    """Raise `LookupError` if there is no such run. Points and readings are read on demand."""
    row = db.execute("SELECT * FROM runs WHERE id = ?", [run_id]).fetchone()
    if row is None:
        raise LookupError(run_id)
    tags = db.execute("SELECT tag FROM tags WHERE run_id = ? ORDER BY tag", [run_id])
    points = db.execute(
        f"SELECT key, {STEP}, epoch, at, value FROM series JOIN points ON {OF_SERIES} "  # noqa: S608  own words
        "WHERE run_id = ? ORDER BY key, points.id",  # so that they come without being sorted
        [run_id],
    )
    readings = db.execute(
        "SELECT device, key, at, value FROM readings WHERE run_id = ? ORDER BY device, key, at",
        [run_id],
    )
    return Record(
        dict(row) | OF_PLACE, [tag for (tag,) in tags], map(tuple, points), map(tuple, readings)
    )


def write(db: Database, record: Record) -> bool:
    """All of it or nothing; False if a run has that id. Raise `sqlite3.Error` for what no run is.

    Columns that this store does not have are left out.
    """
    row = record.row | OF_PLACE
    columns = [column[1] for column in db.execute("PRAGMA table_info(runs)") if column[1] in row]
    run_id = row["id"]
    with change(db):
        added = db.execute(
            f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608  names of the table's own columns
            "ON CONFLICT (id) DO NOTHING",
            [row[column] for column in columns],
        ).rowcount
        if not added:
            return False
        db.executemany("INSERT INTO tags VALUES (?, ?)", [(run_id, tag) for tag in record.tags])
        for several in batches(record.points, BATCH_ROWS):
            metrics.add(db, run_id, [Point(*point) for point in several])
        db.executemany(
            "INSERT INTO readings VALUES (?, ?, ?, ?, ?)",
            ((run_id, *reading) for reading in record.readings),
        )
    return True


def batches(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    """So many of the rows at a time, until there are no more."""
    going = iter(rows)
    while several := list(islice(going, size)):
        yield several
