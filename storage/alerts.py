"""Alerts: what left the band of its own history, with what had changed, until acknowledged."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from storage import ids
from storage.database import Database, change


@dataclass(frozen=True)
class Alert:
    """`changes` is (what, before, now). `sent` says how sending it went; None: nowhere to."""

    id: str
    reference: str
    run_id: str
    raised_at: float
    sentence: str
    changes: tuple[tuple[str, str, str], ...]
    sent: str | None
    acknowledged_at: float | None
    acknowledged_by: str | None


def create(
    db: Database,
    *,
    reference: str,
    run_id: str,
    sentence: str,
    changes: list[tuple[str, str, str]],
    now: float | None = None,
) -> str:
    """Raise an alert and return its id."""
    now = time.time() if now is None else now
    alert_id = ids.new(now)
    with change(db):
        db.execute(
            "INSERT INTO alerts (id, reference, run_id, raised_at, sentence, changes) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [alert_id, reference, run_id, now, sentence, json.dumps(changes)],
        )
    return alert_id


def get(db: Database, alert_id: str) -> Alert | None:
    row = db.execute("SELECT * FROM alerts WHERE id = ?", [alert_id]).fetchone()
    return _alert(row) if row else None


def list_newest(db: Database, limit: int, only_open: bool = False) -> list[Alert]:
    """The newest first; with `only_open`, those that nobody acknowledged."""
    query = (
        "SELECT * FROM alerts WHERE acknowledged_at IS NULL OR NOT ? "
        "ORDER BY raised_at DESC, id DESC LIMIT ?"
    )
    return [_alert(row) for row in db.execute(query, [only_open, limit])]


def note_sent(db: Database, alert_id: str, sent: str) -> None:
    """Note how sending it went."""
    with change(db):
        db.execute("UPDATE alerts SET sent = ? WHERE id = ?", [sent, alert_id])


def acknowledge(db: Database, alert_id: str, *, by: str, now: float) -> bool:
    """False if somebody has, or if there is no such alert."""
    with change(db):
        query = (
            "UPDATE alerts SET acknowledged_at = ?, acknowledged_by = ? "
            "WHERE id = ? AND acknowledged_at IS NULL"
        )
        return bool(db.execute(query, [now, by, alert_id]).rowcount)


def _alert(row: Any) -> Alert:
    fields = dict(row)
    changes = tuple(tuple(one) for one in json.loads(fields["changes"]))
    return Alert(**fields | {"changes": changes})
