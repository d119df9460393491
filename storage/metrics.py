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

from storage import buckets, wide
from storage import points as rows
from storage.database import Database, change


class Point(NamedTuple):
    """One scalar. `at` is Unix time in seconds; a value that was not finite is None."""

    key: str
    step: int
    epoch: float
    at: float
    value: float | None


# A point as it is: a million of these cost the collector of garbage nothing, other than `Point`s.
Values = tuple[str, int, float, float, float | None]

AVERAGED_WHOLE = 32_768  # a series of so many points is averaged point by point


class Curve(NamedTuple):
    """One series as arrays of one length; a value that was not finite is NaN."""

    step: NDArray[np.int64]
    epoch: NDArray[np.float64]
    at: NDArray[np.float64]
    value: NDArray[np.float64]


class Averages(NamedTuple):
    """A curve each of whose values is the mean of `weight` points that were finite."""

    curve: Curve
    weight: NDArray[np.float64]


def ingest(
    db: Database,
    run_id: str,
    points: Sequence[Point | Values],
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
        _add_all(db, run_id, points)
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
                "step": max((point[1] for point in points), default=0),
                "epoch": max((point[2] for point in points), default=0.0),
                "environment": json.dumps(environment) if environment else None,
                "facts": json.dumps(facts or {}),
                "id": run_id,
            },
        )


def take_over(db: Database, run_id: str, from_id: str, *, last_step: int, shift_s: float) -> None:
    """Give a run another's points up to a step, their times shifted: in place of any it has."""
    taken = db.execute(
        "SELECT key, step, epoch, at + ?, value FROM metrics "
        "WHERE run_id = ? AND step <= ? ORDER BY key, step",
        [shift_s, from_id, last_step],
    )
    points = [Point(*row) for row in taken]
    with change(db):
        db.execute("DELETE FROM series WHERE run_id = ?", [run_id])
        _add_all(db, run_id, points)
        db.execute(
            "UPDATE runs SET step = ?, epoch = ? WHERE id = ?",
            [last_step, max((point.epoch for point in points), default=0.0), run_id],
        )


def curve(db: Database, run_id: str, key: str) -> Curve:
    """All points of one metric of one run, by step; empty if it has none."""
    cursor = db.cursor()
    cursor.row_factory = None
    found = cursor.execute(f"{rows.OF_METRIC} ORDER BY points.id", [run_id, key])
    return _curve(rows.table(found.fetchall()))


def outline(db: Database, run_id: str, key: str) -> Curve:
    """A curve for the screen: a long one as the least and greatest point of every 128.

    Its first and last points are kept too. It must not be averaged: noise has larger extremes than
    it has means.
    """
    series = _bucketed(db, run_id, key, buckets.READ_WHOLE)
    if series is None:
        return curve(db, run_id, key)
    kept = buckets.extremes(db, series)
    first_last = ends(db, run_id, key)
    if first_last:
        kept = np.vstack([kept, np.array([point[1:] for point in first_last], dtype=np.float64)])
    _, order = np.unique(kept[:, 0], return_index=True)
    return _curve(kept[order])


def averages(db: Database, run_id: str, key: str) -> Averages:
    """A curve to smooth or to average with others: a very long one as the mean of every 128."""
    series = _bucketed(db, run_id, key, AVERAGED_WHOLE)
    if series is None:
        whole = curve(db, run_id, key)
        return Averages(whole, np.isfinite(whole.value).astype(np.float64))
    table, weight = buckets.means(db, series)
    return Averages(_curve(table), weight)


def _bucketed(db: Database, run_id: str, key: str, longer_than: int) -> int | None:
    """The series, if it is longer and has all its buckets: one of a store that was filled before
    there were buckets has not."""
    query = (
        "SELECT id, points, (SELECT count(*) FROM buckets WHERE series_id = series.id) "
        "FROM series WHERE run_id = ? AND key = ?"
    )
    row = db.execute(query, [run_id, key]).fetchone()
    if row is None or row[1] <= longer_than or row[2] * buckets.BUCKET_POINTS < row[1]:
        return None
    return row[0]


def _curve(table: buckets.Table) -> Curve:
    step, epoch, at, value = table.T
    return Curve(step.astype(np.int64), epoch, at, value)


def latest(db: Database, run_id: str, key: str, count: int) -> list[float]:
    """The last `count` values of one metric of one run that were finite, the oldest first."""
    found = db.execute(
        f"{rows.OF_METRIC} AND value IS NOT NULL ORDER BY points.id DESC LIMIT ?",
        [run_id, key, count],
    )
    return [value for (*_, value) in found][::-1]


def after(
    db: Database, run_id: str, key: str, step: int, limit: int
) -> list[tuple[int, float, float, float | None]]:
    """Up to `limit` points (step, epoch, at, value) after a step."""
    query = f"{rows.OF_METRIC}{rows.AFTER_STEP} ORDER BY points.id LIMIT ?"
    return [tuple(row) for row in db.execute(query, [run_id, key, step, limit])]


def ends(
    db: Database, run_id: str, key: str, *, after_step: int = -1
) -> tuple[Point, Point] | None:
    """The first and the last point of one metric of one run; None if it has none."""
    query = f"{rows.OF_METRIC}{rows.AFTER_STEP} ORDER BY points.id {{}} LIMIT 1"
    values = [run_id, key, after_step]
    found = [db.execute(query.format(o), values).fetchone() for o in ("ASC", "DESC")]
    return None if None in found else (Point(key, *found[0]), Point(key, *found[1]))


def add(db: Database, run_id: str, points: Iterable[Point]) -> None:
    """Points that no journal brought, as of a run that comes from another store."""
    with change(db):
        _add_all(db, run_id, points)


def _add_all(db: Database, run_id: str, points: Iterable[Point | Values]) -> None:
    begun = [_add(db, run_id, key, of_key) for key, of_key in _by_key(points).items()]
    wide.note(db, [series for series in begun if series])


def _by_key(points: Iterable[Point | Values]) -> dict[str, list[Point | Values]]:
    grouped: dict[str, list[Point | Values]] = {}
    for point in points:
        grouped.setdefault(point[0], []).append(point)
    return grouped


def _add(
    db: Database, run_id: str, key: str, points: Sequence[Point | Values]
) -> tuple[str, int] | None:
    """The key and the series, if these are its first points."""
    numbers = rows.flat(points)
    known = [value for value in numbers[rows.WIDTH - 1 :: rows.WIDTH] if value is not None]
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
    rows.add(db, series_id, numbers)
    if count > buckets.READ_WHOLE:
        buckets.add(db, series_id, count - len(points), rows.table(numbers))
    return (key, series_id) if count == len(points) else None
