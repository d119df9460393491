"""Metrics: points of series, written by the supervisor only, in the transaction that notes how far
the journal has been read. Points come in order of their steps; a step that comes again, as after a
resume, replaces its point.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.database import Database, change


class Point(NamedTuple):
    """One scalar. `at` is Unix time in seconds; a value that was not finite is None."""

    key: str
    step: int
    epoch: float
    at: float
    value: float | None


class Curve(NamedTuple):
    """One series as arrays of one length; a value that was not finite is NaN."""

    step: NDArray[np.int64]
    epoch: NDArray[np.float64]
    at: NDArray[np.float64]
    value: NDArray[np.float64]


def ingest(
    db: Database,
    run_id: str,
    points: Sequence[Point],
    *,
    last_seq: int,
    offset: int,
    damaged: int = 0,
    at: float | None = None,
    phase: str | None = None,
    environment: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Store what one read of the journal gave, and that it was read: all of it or nothing.

    Each of `facts` takes the place of one of the same name.
    """
    with change(db):
        for key, of_key in _by_key(points).items():
            _add(db, run_id, key, of_key)
        db.execute(
            "UPDATE runs SET last_seq = max(last_seq, :seq), journal_offset = :offset, "
            "damaged_lines = damaged_lines + :damaged, "
            "last_event_at = coalesce(:at, last_event_at), phase = coalesce(:phase, phase), "
            "step = max(step, :step), epoch = max(epoch, :epoch), "
            "environment = coalesce(:environment, environment), "
            "facts = json_patch(facts, :facts) WHERE id = :id",
            {
                "seq": last_seq,
                "offset": offset,
                "damaged": damaged,
                "at": at,
                "phase": phase,
                "step": max((point.step for point in points), default=0),
                "epoch": max((point.epoch for point in points), default=0.0),
                "environment": json.dumps(environment) if environment else None,
                "facts": json.dumps(facts or {}),
                "id": run_id,
            },
        )


def take_over(db: Database, run_id: str, from_id: str, *, last_step: int, shift_s: float) -> None:
    """Give a run another's points up to a step, their times shifted: in place of any it has."""
    rows = db.execute(
        "SELECT key, step, epoch, at + ?, value FROM metrics "
        "WHERE run_id = ? AND step <= ? ORDER BY key, step",
        [shift_s, from_id, last_step],
    )
    points = [Point(*row) for row in rows]
    with change(db):
        db.execute("DELETE FROM series WHERE run_id = ?", [run_id])
        for key, of_key in _by_key(points).items():
            _add(db, run_id, key, of_key)
        db.execute(
            "UPDATE runs SET step = ?, epoch = ? WHERE id = ?",
            [last_step, max((point.epoch for point in points), default=0.0), run_id],
        )


def curve(db: Database, run_id: str, key: str) -> Curve:
    """All points of one metric of one run, by step; empty if it has none."""
    rows = db.execute(
        "SELECT step, epoch, at, value FROM points WHERE series_id = "
        "(SELECT id FROM series WHERE run_id = ? AND key = ?) ORDER BY step",
        [run_id, key],
    ).fetchall()
    columns = list(zip(*map(tuple, rows), strict=True)) or [(), (), (), ()]
    return Curve(
        np.array(columns[0], dtype=np.int64),
        *(np.array(column, dtype=np.float64) for column in columns[1:]),
    )


def latest(db: Database, run_id: str, key: str, count: int) -> list[float]:
    """The last `count` values of one metric of one run that were finite, the oldest first."""
    rows = db.execute(
        "SELECT value FROM points WHERE series_id = "
        "(SELECT id FROM series WHERE run_id = ? AND key = ?) AND value IS NOT NULL "
        "ORDER BY step DESC LIMIT ?",
        [run_id, key, count],
    )
    return [value for (value,) in rows][::-1]


def ends(
    db: Database, run_id: str, key: str, *, after_step: int = -1
) -> tuple[Point, Point] | None:
    """The first and the last point of one metric of one run; None if it has none."""
    query = (
        "SELECT step, epoch, at, value FROM points WHERE series_id = "
        "(SELECT id FROM series WHERE run_id = ? AND key = ?) AND step > ? ORDER BY step {} LIMIT 1"
    )
    values = [run_id, key, after_step]
    found = [db.execute(query.format(o), values).fetchone() for o in ("ASC", "DESC")]
    return None if None in found else (Point(key, *found[0]), Point(key, *found[1]))


def _by_key(points: Iterable[Point]) -> dict[str, list[Point]]:
    grouped: dict[str, list[Point]] = {}
    for point in points:
        grouped.setdefault(point.key, []).append(point)
    return grouped


def _add(db: Database, run_id: str, key: str, points: list[Point]) -> None:
    known = [point.value for point in points if point.value is not None]
    series_id = db.execute(
        "INSERT INTO series (run_id, key, points, last, min, max) "
        "VALUES (:run, :key, :points, :last, :min, :max) "
        "ON CONFLICT (run_id, key) DO UPDATE SET points = points + excluded.points, "
        "last = coalesce(excluded.last, last), "
        "min = min(coalesce(min, excluded.min), coalesce(excluded.min, min)), "
        "max = max(coalesce(max, excluded.max), coalesce(excluded.max, max)) RETURNING id",
        {
            "run": run_id,
            "key": key,
            "points": len(points),
            "last": known[-1] if known else None,
            "min": min(known, default=None),
            "max": max(known, default=None),
        },
    ).fetchone()[0]
    db.executemany(
        "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
        [(series_id, point.step, point.epoch, point.at, point.value) for point in points],
    )
