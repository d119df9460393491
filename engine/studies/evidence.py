"""What a run's series and readings say for a report: read once, and kept once the run is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import energy
from engine.energy import Consumption, Training
from engine.readings import throttled
from storage import metrics, readings
from storage.database import Database
from storage.metrics import Curve
from storage.runs import Run

ACCURACY = "validation_accuracy"
SETTLED_S = 5.0  # the last readings come a moment after a run's end
MOST_KEPT = 5_000
THROTTLED_SHARE = 0.05  # of the readings


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is unknown is None. `throttle` is device -> bits of reasons -> share of readings.

    `other_load` is the share of the host's cores that others used, in the median over the run.
    """

    accuracy: Curve
    other_load: float | None
    throttle: dict[str, dict[float, float]]
    training: Training | None
    consumed: list[Consumption]


_kept: dict[str, Evidence] = {}


def of(db: Database, run: Run) -> Evidence:
    """Of a run that is over nothing changes any more: it is read once in a process's life."""
    kept = _kept.get(run.id)
    if kept is not None:
        return kept
    found = _read(db, run)
    if run.finished_at is not None and time.time() - run.finished_at > SETTLED_S:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[run.id] = found
    return found


def time_to(found: Evidence, run: Run, target: float | None) -> float | None:
    """Seconds from the run's start to the first validation that reached the target."""
    if target is None or run.started_at is None:
        return None
    reached = np.flatnonzero(found.accuracy.value >= target)
    return float(found.accuracy.at[reached[0]] - run.started_at) if len(reached) else None


class Held(NamedTuple):
    """A device whose clocks were held back in that share of its readings, mostly for `why`."""

    device: str
    share: float
    why: str


def held_back(found: Evidence) -> Iterator[Held]:
    """Devices that were throttled in more than a few readings."""
    for device, by_bits in found.throttle.items():
        held = {bits: s for bits, s in by_bits.items() if throttled(int(bits))}
        if sum(held.values()) > THROTTLED_SHARE:
            why = ", ".join(throttled(int(max(held, key=lambda bits: held[bits]))))
            yield Held(device, sum(held.values()), why)


class Learning(NamedTuple):
    """One run's validation accuracy by the seconds since it began, start-up among them."""

    run_id: str
    at_s: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def learning(found: Evidence, run: Run) -> Learning | None:
    """None for a run that goes on from another, or has no validation yet."""
    curve = found.accuracy
    if run.started_at is None or run.resumed_epoch is not None or not len(curve.at):
        return None
    return Learning(run.id, curve.at - run.started_at, curve.value)


def _read(db: Database, run: Run) -> Evidence:
    training, consumed = energy.of_run(db, run)
    return Evidence(
        accuracy=metrics.curve(db, run.id, ACCURACY),
        other_load=_other_load(db, run),
        throttle=readings.shares(db, run.id, "throttle_reasons"),
        training=training,
        consumed=consumed,
    )


def _other_load(db: Database, run: Run) -> float | None:
    """The host's load less the trainer's own; None without readings of both."""
    series = readings.series(db, run.id, ["cpu"])
    host, trainer = series.get(("host", "cpu")), series.get(("trainer", "cpu"))
    if host is None or trainer is None:
        return None
    return max(0.0, median(host.value.tolist()) - median(trainer.value.tolist()))
