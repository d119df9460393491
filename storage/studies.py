"""Studies: questions that several runs answer together, and which run belongs where in them.

A study has no status of its own: it follows from those of its runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage import ids
from storage.database import Database, change


@dataclass(frozen=True)
class Study:
    """One row. Times are Unix seconds; None is unknown or not yet."""

    id: str
    name: str
    kind: str
    question: dict[str, Any]
    predicted_s: float | None
    submitted_by: str
    submitted_at: float
    stopped_at: float | None
    stopped_by: str | None
    stopped_because: str | None


class Member(NamedTuple):
    """A run's place in a study. Members of one (arm, seed, is_warm_up) are tries of one cell."""

    position: int
    run_id: str
    arm: str
    seed: int
    is_warm_up: bool


class Loss(NamedTuple):
    """How many of its runs a study would lose, and how many it has."""

    study_id: str
    name: str
    gone: int
    of: int


class Trial(NamedTuple):
    """A member, how its run stands, and who asked it to stop, if anybody did."""

    member: Member
    status: str
    failure: str | None
    stop_requested_by: str | None


NEWEST_FIRST = "submitted_at DESC, id DESC"


def create(
    db: Database,
    *,
    name: str,
    kind: str,
    question: dict[str, Any],
    predicted_s: float | None,
    submitted_by: str,
    now: float | None = None,
) -> str:
    """Add a study without runs and return its id; `add` gives it runs in the same transaction."""
    now = time.time() if now is None else now
    study_id = ids.new(now)
    with change(db):
        db.execute(
            "INSERT INTO studies (id, name, kind, question, predicted_s, submitted_by, "
            "submitted_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [study_id, name, kind, json.dumps(question), predicted_s, submitted_by, now],
        )
    return study_id


def add(db: Database, study_id: str, run_id: str, arm: str, seed: int, is_warm_up: bool) -> None:
    """Put a run at the end of a study's order."""
    with change(db):
        db.execute(
            "INSERT INTO study_runs SELECT :study, coalesce(max(position) + 1, 0), :run, :arm, "
            ":seed, :warm_up FROM study_runs WHERE study_id = :study",
            {"study": study_id, "run": run_id, "arm": arm, "seed": seed, "warm_up": is_warm_up},
        )


def get(db: Database, study_id: str) -> Study | None:
    row = db.execute("SELECT * FROM studies WHERE id = ?", [study_id]).fetchone()
    return _study(row) if row else None


def list_newest(db: Database, limit: int) -> list[Study]:
    query = f"SELECT * FROM studies ORDER BY {NEWEST_FIRST} LIMIT ?"  # noqa: S608  own names
    return [_study(row) for row in db.execute(query, [limit])]


def testing(db: Database, study_id: str) -> list[Study]:
    """Studies that test an advice of this one, the newest first."""
    query = (
        "SELECT * FROM studies WHERE kind = 'advice' "  # noqa: S608  own names
        f"AND json_extract(question, '$.advice.study') = ? ORDER BY {NEWEST_FIRST}"
    )
    return [_study(row) for row in db.execute(query, [study_id])]


def of_run(db: Database, run_id: str) -> str | None:
    """The id of the study that a run belongs to."""
    row = db.execute("SELECT study_id FROM study_runs WHERE run_id = ?", [run_id]).fetchone()
    return row[0] if row else None


def losses(db: Database, run_ids: Sequence[str]) -> list[Loss]:
    """Each study that would lose runs if these were deleted, the newest first."""
    rows = db.execute(
        "SELECT studies.id, name, sum(run_id IN (SELECT value FROM json_each(?))) AS gone, "
        "count(*) FROM study_runs JOIN studies ON studies.id = study_id "
        "GROUP BY studies.id HAVING gone ORDER BY studies.id DESC",
        [json.dumps(list(run_ids))],
    )
    return [Loss(*row) for row in map(tuple, rows)]


def trials(db: Database, study_id: str) -> list[Trial]:
    """All its runs in their order, each with its status; no series is read."""
    rows = db.execute(
        "SELECT position, run_id, arm, seed, is_warm_up, status, failure, stop_requested_by "
        "FROM study_runs JOIN runs ON runs.id = run_id WHERE study_id = ? ORDER BY position",
        [study_id],
    )
    return [
        Trial(Member(row[0], row[1], row[2], row[3], bool(row[4])), row[5], row[6], row[7])
        for row in map(tuple, rows)
    ]


def set_question(db: Database, study_id: str, question: dict[str, Any]) -> None:
    """Ask more, as when a study is extended."""
    with change(db):
        db.execute("UPDATE studies SET question = ? WHERE id = ?", [json.dumps(question), study_id])


def set_predicted(db: Database, study_id: str, seconds: float | None) -> None:
    with change(db):
        db.execute("UPDATE studies SET predicted_s = ? WHERE id = ?", [seconds, study_id])


def note_stop(db: Database, study_id: str, *, by: str, because: str, now: float) -> bool:
    """Note who stopped a study and why; False if it was stopped already."""
    with change(db):
        changed = db.execute(
            "UPDATE studies SET stopped_at = ?, stopped_by = ?, stopped_because = ? "
            "WHERE id = ? AND stopped_at IS NULL",
            [now, by, because, study_id],
        ).rowcount
    return bool(changed)


def clear_stop(db: Database, study_id: str) -> None:
    with change(db):
        db.execute(
            "UPDATE studies SET stopped_at = NULL, stopped_by = NULL, stopped_because = NULL "
            "WHERE id = ?",
            [study_id],
        )


def latest(found: Sequence[Trial]) -> list[Trial]:
    """Of each cell the last try, in order."""
    last = {(t.member.arm, t.member.seed, t.member.is_warm_up): t for t in found}
    return sorted(last.values(), key=lambda trial: trial.member.position)


def _study(row: Any) -> Study:
    fields = dict(row)
    return Study(**fields | {"question": json.loads(fields["question"])})
