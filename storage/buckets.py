"""Buckets: of each 128 points of a long series its extremes and its sums, kept as points come in.

From them long curves are drawn without reading their points: extremes keep every peak, and means
are what may be averaged further.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import points as rows
from storage.database import Database
from storage.points import Table

BUCKET_POINTS = 128
READ_WHOLE = 4_096  # a series of so many points has no buckets: it is read as it is

ADD = """
    INSERT INTO buckets (series_id, bucket, low_step, low_epoch, low_at, low,
        high_step, high_epoch, high_at, high, points, finite, sum_step, sum_epoch, sum_at, sum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        low_step = iif(low IS NULL OR excluded.low < low, excluded.low_step, low_step),
        low_epoch = iif(low IS NULL OR excluded.low < low, excluded.low_epoch, low_epoch),
        low_at = iif(low IS NULL OR excluded.low < low, excluded.low_at, low_at),
        low = iif(low IS NULL OR excluded.low < low, excluded.low, low),
        high_step = iif(high IS NULL OR excluded.high > high, excluded.high_step, high_step),
        high_epoch = iif(high IS NULL OR excluded.high > high, excluded.high_epoch, high_epoch),
        high_at = iif(high IS NULL OR excluded.high > high, excluded.high_at, high_at),
        high = iif(high IS NULL OR excluded.high > high, excluded.high, high),
        points = points + excluded.points, finite = finite + excluded.finite,
        sum_step = sum_step + excluded.sum_step, sum_epoch = sum_epoch + excluded.sum_epoch,
        sum_at = sum_at + excluded.sum_at, sum = sum + excluded.sum
"""


def add(db: Database, series_id: int, begin: int, points: Table) -> None:
    """`begin` is how many points the series had before these."""
    if begin + len(points) <= READ_WHOLE:
        return
    if 0 < begin <= READ_WHOLE:  # it has become a long one
        begin, points = 0, _so_far(db, series_id)
    db.executemany(ADD, _rows(series_id, begin, points))


def extremes(db: Database, series_id: int) -> Table:
    """The least and the greatest point of each bucket; a bucket without one gives a NaN."""
    return _table(
        db, "low_step, low_epoch, low_at, low, high_step, high_epoch, high_at, high", series_id
    ).reshape(-1, 4)


def means(db: Database, series_id: int) -> tuple[Table, NDArray[np.float64]]:
    """The mean of each bucket, where and when it was in the mean, and how many it is of."""
    found = _table(
        db, "sum_step / points, sum_epoch / points, sum_at / points, sum / finite, finite",
        series_id, "AND points > 0",
    ).reshape(-1, 5)  # fmt: skip
    return found[:, :4], found[:, 4]


def _table(db: Database, columns: str, series_id: int, which: str = "") -> Table:
    query = f"SELECT {columns} FROM buckets WHERE series_id = ? {which} ORDER BY bucket"  # noqa: S608  own words
    cursor = db.cursor()
    cursor.row_factory = None
    return np.array(cursor.execute(query, [series_id]).fetchall(), dtype=np.float64)


def _so_far(db: Database, series_id: int) -> Table:
    cursor = db.cursor()
    cursor.row_factory = None
    return rows.table(cursor.execute(rows.OF_ONE, [series_id]).fetchall())


def _rows(series_id: int, begin: int, points: Table) -> Iterator[tuple[Any, ...]]:
    at = 0
    while at < len(points):
        bucket, filled = divmod(begin + at, BUCKET_POINTS)
        part = points[at : at + BUCKET_POINTS - filled]
        at += len(part)
        value = part[:, 3]
        known = np.isfinite(value)
        low = part[int(np.argmin(np.where(known, value, np.inf)))].tolist()
        high = part[int(np.argmax(np.where(known, value, -np.inf)))].tolist()
        sums = part[:, :3].sum(axis=0).tolist()
        finite = int(known.sum())
        total = float(value[known].sum())
        yield (series_id, bucket, *_point(low), *_point(high), len(part), finite, *sums, total)


def _point(row: list[float]) -> tuple[Any, ...]:
    step, epoch, at, value = row
    return int(step), epoch, at, value if np.isfinite(value) else None
