"""Readings: telemetry of a run's devices, its host and its trainer, about one a second."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.database import Database, change


class Reading(NamedTuple):
    """One value. `device` is gpu:0, tpu:0, package:0, host or trainer; `at` is Unix time in s."""

    device: str
    key: str
    at: float
    value: float


class Series(NamedTuple):
    """One key of one device as arrays of one length, by time."""

    at: NDArray[np.float64]
    value: NDArray[np.float64]


class Extent(NamedTuple):
    """What a run has of one key of one device."""

    device: str
    key: str
    first_at: float
    last_at: float
    max: float


OF_KEY = "run_id = :run AND device = :device AND key = :key"


def add(db: Database, run_id: str, readings: Iterable[Reading]) -> None:
    """Store readings of a run; those of a run that was deleted meanwhile go nowhere."""
    with change(db):
        db.executemany(
            "INSERT OR IGNORE INTO readings SELECT id, ?, ?, ?, ? FROM runs WHERE id = ?",
            [(*reading, run_id) for reading in readings],
        )


def extents(db: Database, run_id: str) -> list[Extent]:
    """What there is of a run, by device and key."""
    rows = db.execute(
        "SELECT device, key, min(at), max(at), max(value) FROM readings WHERE run_id = ? "
        "GROUP BY device, key",
        [run_id],
    )
    return [Extent(*row) for row in rows]


def series(
    db: Database, run_id: str, keys: Collection[str], mean_of_s: float = 0.0
) -> dict[tuple[str, str], Series]:
    """(device, key) -> readings of these keys; with `mean_of_s`, means over so many seconds."""
    marks = ", ".join("?" * len(keys))
    what = "avg(at), avg(value)" if mean_of_s else "at, value"
    group = f"GROUP BY device, key, CAST(at / {float(mean_of_s)} AS INTEGER)" if mean_of_s else ""
    rows = db.execute(
        f"SELECT device, key, {what} FROM readings WHERE run_id = ? AND key IN ({marks}) {group} "  # noqa: S608  own words and numbers
        "ORDER BY device, key, 3",
        [run_id, *keys],
    )
    return {
        (device, key): _series((at, value) for _, _, at, value in of_key)
        for (device, key), of_key in groupby(map(tuple, rows), lambda row: row[:2])
    }


def span(db: Database, run_id: str, device: str, key: str, begin: float, end: float) -> Series:
    """Readings from `begin` to `end`, with the one before and the one after if there are such."""
    rows = db.execute(
        f"SELECT at, value FROM readings WHERE {OF_KEY} "  # noqa: S608  own words
        f"AND at >= coalesce((SELECT max(at) FROM readings WHERE {OF_KEY} AND at <= :begin), 0) "
        f"AND at <= coalesce((SELECT min(at) FROM readings WHERE {OF_KEY} AND at >= :end), :end) "
        "ORDER BY at",
        {"run": run_id, "device": device, "key": key, "begin": begin, "end": end},
    )
    return _series(map(tuple, rows))


def shares(db: Database, run_id: str, key: str) -> dict[str, dict[float, float]]:
    """Device -> value -> the share of its readings that have it: for values that are codes."""
    rows = db.execute(
        "SELECT device, value, count(*) FROM readings WHERE run_id = ? AND key = ? GROUP BY 1, 2",
        [run_id, key],
    ).fetchall()
    found: dict[str, dict[float, float]] = {}
    for device, of_device in groupby(map(tuple, rows), lambda row: row[0]):
        counts = {value: count for _, value, count in of_device}
        found[device] = {value: n / sum(counts.values()) for value, n in counts.items()}
    return found


def _series(pairs: Iterable[tuple[float, float]]) -> Series:
    array = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    return Series(array[:, 0], array[:, 1])
