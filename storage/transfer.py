"""All that is recorded of one run, out of one store and into another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from storage import metrics
from storage.database import Database, change
from storage.metrics import Point

OF_PLACE = {"process": None}  # what means nothing in another store


@dataclass(frozen=True)
class Record:
    """`row` is the run's own columns; `points` are (key, step, epoch, at, value), `readings`
    (device, key, at, value)."""

    row: dict[str, Any]
    tags: list[str]
    points: list[Sequence[Any]]
    readings: list[Sequence[Any]]


def read(db: Database, run_id: str) -> Record:
    """Raise `LookupError` if there is no such run."""
    row = db.execute("SELECT * FROM runs WHERE id = ?", [run_id]).fetchone()
    if row is None:
        raise LookupError(run_id)
    tags = db.execute("SELECT tag FROM tags WHERE run_id = ? ORDER BY tag", [run_id])
    points = db.execute(
        "SELECT key, step, epoch, at, value FROM metrics WHERE run_id = ? ORDER BY key, step",
        [run_id],
    )
    readings = db.execute(
        "SELECT device, key, at, value FROM readings WHERE run_id = ? ORDER BY device, key, at",
        [run_id],
    )
    return Record(
        dict(row) | OF_PLACE, [tag for (tag,) in tags], _tuples(points), _tuples(readings)
    )


def write(db: Database, record: Record) -> bool:
    """All of it or nothing; False if a run has that id. Raise `sqlite3.Error` for what no run is.

    Columns that this store does not have are left out.
    """
    columns = [row[1] for row in db.execute("PRAGMA table_info(runs)") if row[1] in record.row]
    run_id = record.row["id"]
    with change(db):
        added = db.execute(
            f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608  names of the table's own columns
            "ON CONFLICT (id) DO NOTHING",
            [record.row[column] for column in columns],
        ).rowcount
        if not added:
            return False
        db.executemany("INSERT INTO tags VALUES (?, ?)", [(run_id, tag) for tag in record.tags])
        metrics.add(db, run_id, [Point(*point) for point in record.points])
        db.executemany(
            "INSERT INTO readings VALUES (?, ?, ?, ?, ?)",
            [(run_id, *reading) for reading in record.readings],
        )
    return True


def _tuples(rows: Iterable[Any]) -> list[Sequence[Any]]:
    return [tuple(row) for row in rows]
