"""Reference jobs: configs that are repeated to watch their throughput, and the runs that did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage import runs
from storage.database import Database, change
from storage.runs import Run

IS_HISTORY = """status = 'SUCCEEDED' AND id < ?
    AND id IN (SELECT run_id FROM reference_runs WHERE reference = ?)
    AND id NOT IN (SELECT run_id FROM alerts WHERE acknowledged_at IS NULL)"""


@dataclass(frozen=True)
class Reference:
    """`run_id` is the run that was named; it may be deleted, and the job stays."""

    name: str
    run_id: str
    config: dict[str, Any]
    created_by: str
    created_at: float


class Loss(NamedTuple):
    """How many of its repeats a job would lose, and how many it has."""

    name: str
    gone: int
    of: int


def create(
    db: Database, *, name: str, run_id: str, config: dict[str, Any], by: str, now: float
) -> bool:
    """Name a job; the run is the first of its history. False if that name is taken."""
    with change(db):
        added = db.execute(
            "INSERT OR IGNORE INTO reference_jobs VALUES (?, ?, ?, ?, ?)",
            [name, run_id, json.dumps(config), by, now],
        ).rowcount
        if added:
            db.execute("INSERT INTO reference_runs VALUES (?, ?, TRUE)", [name, run_id])
    return bool(added)


def get(db: Database, name: str) -> Reference | None:
    row = db.execute("SELECT * FROM reference_jobs WHERE name = ?", [name]).fetchone()
    return _reference(row) if row else None


def list_all(db: Database) -> list[Reference]:
    return [_reference(row) for row in db.execute("SELECT * FROM reference_jobs ORDER BY name")]


def of_run(db: Database, run_id: str) -> str | None:
    """The name of the job that a run was named as."""
    query = "SELECT name FROM reference_jobs WHERE run_id = ? ORDER BY name"
    row = db.execute(query, [run_id]).fetchone()
    return row[0] if row else None


def losses(db: Database, run_ids: Sequence[str]) -> list[Loss]:
    """Each job that would lose repeats if these runs were deleted, by name."""
    rows = db.execute(
        "SELECT reference, sum(run_id IN (SELECT value FROM json_each(?))) AS gone, count(*) "
        "FROM reference_runs GROUP BY reference HAVING gone ORDER BY reference",
        [json.dumps(list(run_ids))],
    )
    return [Loss(*row) for row in map(tuple, rows)]


def remove(db: Database, name: str) -> bool:
    """Forget a job; its runs and its alerts stay. False if there is none of that name."""
    with change(db):
        return bool(db.execute("DELETE FROM reference_jobs WHERE name = ?", [name]).rowcount)


def add_run(db: Database, name: str, run_id: str) -> None:
    """Note a repeat, which is still to be judged."""
    with change(db):
        db.execute("INSERT INTO reference_runs VALUES (?, ?, FALSE)", [name, run_id])


def note_judged(db: Database, name: str, run_id: str) -> bool:
    """False if it was judged already: two who look at once raise one alert."""
    with change(db):
        query = (
            "UPDATE reference_runs SET is_judged = TRUE "
            "WHERE reference = ? AND run_id = ? AND NOT is_judged"
        )
        return bool(db.execute(query, [name, run_id]).rowcount)


def unjudged(db: Database, name: str) -> list[str]:
    """Ids of repeats that were never judged, the oldest first."""
    query = "SELECT run_id FROM reference_runs WHERE reference = ? AND NOT is_judged ORDER BY 1"
    return [row[0] for row in db.execute(query, [name])]


def history(db: Database, name: str, before: str, limit: int) -> list[Run]:
    """Repeats that succeeded before a run, the newest first.

    One that raised an alert is left out until somebody acknowledged it.
    """
    query = f"{runs.SELECT} WHERE {IS_HISTORY} ORDER BY id DESC LIMIT ?"
    return [runs.from_row(row) for row in db.execute(query, [before, name, limit])]


def _reference(row: Any) -> Reference:
    fields = dict(row)
    return Reference(**fields | {"config": json.loads(fields["config"])})
