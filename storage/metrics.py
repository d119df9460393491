"""Metrics: points of series, written by the supervisor only, in the transaction that notes how far
the journal has been read. Points come in order of their steps; a step that comes again, as after a
resume, replaces its point.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage import buckets, wide
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

WIDTH, ROWS_AT_ONCE = 5, 50  # of `points`; so many rows in one statement take half the time
ADD_POINT = "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)"
ADD_POINTS = ADD_POINT + ", (?, ?, ?, ?, ?)" * (ROWS_AT_ONCE - 1)
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
    rows = db.execute(
        "SELECT key, step, epoch, at + ?, value FROM metrics "
        "WHERE run_id = ? AND step <= ? ORDER BY key, step",
        [shift_s, from_id, last_step],
    )
    points = [Point(*row) for row in rows]
    with change(db):
        db.execute("DELETE FROM series WHERE run_id = ?", [run_id])
        _add_all(db, run_id, points)
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
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 4)
    return _curve(table)


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
    rows = db.execute(
        "SELECT value FROM points WHERE series_id = "
        "(SELECT id FROM series WHERE run_id = ? AND key = ?) AND value IS NOT NULL "
        "ORDER BY step DESC LIMIT ?",
        [run_id, key, count],
    )
    return [value for (value,) in rows][::-1]


def after(
    db: Database, run_id: str, key: str, step: int, limit: int
) -> list[tuple[int, float, float, float | None]]:
    """Up to `limit` points (step, epoch, at, value) after a step."""
    rows = db.execute(
        "SELECT step, epoch, at, value FROM points WHERE series_id = "
        "(SELECT id FROM series WHERE run_id = ? AND key = ?) AND step > ? ORDER BY step LIMIT ?",
        [run_id, key, step, limit],
    )
    return [tuple(row) for row in rows]


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
    flat: list[Any] = list(chain.from_iterable(points))
    known = [value for value in flat[WIDTH - 1 :: WIDTH] if value is not None]
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
    flat[::WIDTH] = [series_id] * len(points)  # where the key was
    many = len(points) // ROWS_AT_ONCE * ROWS_AT_ONCE * WIDTH
    db.executemany(ADD_POINTS, _parts(flat[:many], ROWS_AT_ONCE * WIDTH))
    db.executemany(ADD_POINT, _parts(flat[many:], WIDTH))
    if count > buckets.READ_WHOLE:
        table = np.array(flat, dtype=np.float64).reshape(-1, WIDTH)[:, 1:]
        buckets.add(db, series_id, count - len(points), table)
    return (key, series_id) if count == len(points) else None


def _parts(flat: list[Any], length: int) -> list[list[Any]]:
    return [flat[at : at + length] for at in range(0, len(flat), length)]
