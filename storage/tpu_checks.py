"""What the TPU's compiler said of programs: the newest for each program and topology."""

from __future__ import annotations

import json
from typing import Any

from storage.database import Database, change


def put(
    db: Database, program: str, topology: str, checked_at: float, result: dict[str, Any]
) -> None:
    """Keep a result, which has a value for each field of its kind, in place of an older one."""
    with change(db):
        db.execute(
            "INSERT OR REPLACE INTO tpu_checks VALUES (?, ?, ?, ?)",
            [program, topology, checked_at, json.dumps(result)],
        )


def of_program(db: Database, program: str) -> list[tuple[float, dict[str, Any]]]:
    """(checked at, result) for each topology it was checked for, the newest first."""
    query = (
        "SELECT checked_at, result FROM tpu_checks WHERE program = ? "
        "ORDER BY checked_at DESC, topology"
    )
    return [(at, json.loads(result)) for at, result in db.execute(query, [program])]
