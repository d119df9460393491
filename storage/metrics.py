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


BUCKET_POINTS = 128
ADD_BUCKET = """
    INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        low_step = iif(low IS NULL OR excluded.low < low, excluded.low_step, low_step),
        low_epoch = iif(low IS NULL OR excluded.low < low, excluded.low_epoch, low_epoch),
        low_at = iif(low IS NULL OR excluded.low < low, excluded.low_at, low_at),
        low = iif(low IS NULL OR excluded.low < low, excluded.low, low),
        high_step = iif(high IS NULL OR excluded.high > high, excluded.high_step, high_step),
        high_epoch = iif(high IS NULL OR excluded.high > high, excluded.high_epoch, high_epoch),
        high_at = iif(high IS NULL OR excluded.high > high, excluded.high_at, high_at),
        high = iif(high IS NULL OR excluded.high > high, excluded.high, high)
"""
READ_WHOLE = 4_096  # a series of so many points is read as it is


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


def outline(db: Database, run_id: str, key: str) -> Curve:
    """A curve for the screen: a long one as the least and greatest point of every 128.

    Its first and last points are kept too. A series of a store that was filled before there were
    buckets is read whole.
    """
    query = (
        "SELECT id, points, (SELECT count(*) FROM buckets WHERE series_id = series.id) "
        "FROM series WHERE run_id = ? AND key = ?"
    )
    row = db.execute(query, [run_id, key]).fetchone()
    if row is None or row[1] <= READ_WHOLE or row[2] * BUCKET_POINTS < row[1]:
        return curve(db, run_id, key)
    kept = np.array(
        db.cursor().execute(
            "SELECT low_step, low_epoch, low_at, low, high_step, high_epoch, high_at, high "
            "FROM buckets WHERE series_id = ?",
            [row[0]],
        ).fetchall(),
        dtype=np.float64,
    ).reshape(-1, 4)  # fmt: skip
    first_last = ends(db, run_id, key)
    if first_last:
        kept = np.vstack([kept, np.array([point[1:] for point in first_last], dtype=np.float64)])
    _, order = np.unique(kept[:, 0], return_index=True)
    step, epoch, at, value = kept[order].T
    return Curve(step.astype(np.int64), epoch, at, value)


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


def add(db: Database, run_id: str, points: Iterable[Point]) -> None:
    """Points that no journal brought, as of a run that comes from another store."""
    with change(db):
        for key, of_key in _by_key(points).items():
            _add(db, run_id, key, of_key)


def _by_key(points: Iterable[Point]) -> dict[str, list[Point]]:
    grouped: dict[str, list[Point]] = {}
    for point in points:
        grouped.setdefault(point.key, []).append(point)
    return grouped


def _add(db: Database, run_id: str, key: str, points: list[Point]) -> None:
    known = [point.value for point in points if point.value is not None]
    series_id, count = db.execute(
        "INSERT INTO series (run_id, key, points, last, min, max) "
        "VALUES (:run, :key, :points, :last, :min, :max) "
        "ON CONFLICT (run_id, key) DO UPDATE SET points = points + excluded.points, "
        "last = coalesce(excluded.last, last), "
        "min = min(coalesce(min, excluded.min), coalesce(excluded.min, min)), "
        "max = max(coalesce(max, excluded.max), coalesce(excluded.max, max)) RETURNING id, points",
        {
            "run": run_id,
            "key": key,
            "points": len(points),
            "last": known[-1] if known else None,
            "min": min(known, default=None),
            "max": max(known, default=None),
        },
    ).fetchone()
    db.executemany(
        "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
        [(series_id, point.step, point.epoch, point.at, point.value) for point in points],
    )
    begin = count - len(points)
    if begin > READ_WHOLE:
        _add_buckets(db, series_id, begin, points)
    elif count > READ_WHOLE:  # a short series needs none; now it has become a long one
        query = "SELECT step, epoch, at, value FROM points WHERE series_id = ? ORDER BY step"
        known_so_far = [Point(key, *row) for row in db.execute(query, [series_id])]
        _add_buckets(db, series_id, 0, known_so_far)


def _add_buckets(db: Database, series_id: int, begin: int, points: list[Point]) -> None:
    """`begin` is how many points the series had before these."""
    rows, at = [], 0
    while at < len(points):
        bucket, filled = divmod(begin + at, BUCKET_POINTS)
        of_bucket = points[at : at + BUCKET_POINTS - filled]
        finite = [point for point in of_bucket if point.value is not None] or of_bucket[:1]
        low, high = min(finite, key=_value), max(finite, key=_value)
        rows.append((series_id, bucket, *low[1:], *high[1:]))
        at += len(of_bucket)
    db.executemany(ADD_BUCKET, rows)


def _value(point: Point) -> float:
    return 0.0 if point.value is None else point.value
