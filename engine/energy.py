"""What a run took in joules, from its readings, each figure with where it comes from.

Two figures compare only if they come from the same kind of source: a GPU's counter is of its
board, RAPL's of whole CPU packages with all that runs on them, and sampled power is an estimate.
So figures of different provenance are never ranked against each other, and never added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.config import RunConfig
from engine.readings import READINGS
from storage import metrics, readings
from storage.database import Database
from storage.readings import Series
from storage.runs import Run

SHORTEST_S = 2.0  # NVML's counter moves about every 0.1 s, and a sample is up to 1 s away
LONGEST_GAP_S = 5.0  # in power: what lies between two samples is taken for a straight line
LONGEST_LAP_S = 60.0  # a counter of 65 kJ may go round unseen in longer, at 1 kW
NVML_COUNTER = "counter: NVML"
RAPL_COUNTER = "counter: RAPL, whole package(s)"
NVML_SAMPLED = "sampled: NVML power"


class Energy(NamedTuple):
    """`joules` is None where nothing can be told; `provenance` then says why.

    Only figures of one `method` compare; `provenance` may add to it what differs from run to run.
    """

    joules: float | None
    provenance: str
    method: str = ""


class Training(NamedTuple):
    """Whole epochs of a run with their validation: from the first one's first step to the last end.

    Times are Unix seconds; epochs are numbered from 1.
    """

    begin: float
    end: float
    first_epoch: int
    last_epoch: int
    samples: int

    @property
    def epochs(self) -> int:
        return self.last_epoch - self.first_epoch + 1


class Consumption(NamedTuple):
    """`of` is the hardware whose energy it is, `kind` its kind: "GPU", "CPU"."""

    of: str
    kind: str
    energy: Energy


def counted(series: Series, begin: float, end: float, source: str, range_j: float = 0) -> Energy:
    """Of a counter in J that begins anew at `range_j` (0: never), as a line between readings."""
    why = _why_not(series.at, begin, end)
    steps = np.diff(series.value)
    if why is None and range_j and _longest_gap(series.at) > LONGEST_LAP_S:
        why = f"no reading for {_longest_gap(series.at):.0f} s, in which the counter may go round"
    if why is None and not range_j and (steps < 0).any():
        why = "the counter began anew, as after a restart of the driver"
    if why is not None:
        return unavailable(why)
    total = np.concatenate([[0.0], np.cumsum(np.where(steps < 0, steps + range_j, steps))])
    first, last = np.interp([begin, end], series.at, total)
    return Energy(float(last - first), source, source)


def sampled(series: Series, begin: float, end: float) -> Energy:
    """Of power in W, by the trapezoidal rule."""
    why = _why_not(series.at, begin, end)
    if why is None and _longest_gap(series.at) > max(LONGEST_GAP_S, 3 * _interval_s(series.at)):
        why = f"no reading for {_longest_gap(series.at):.0f} s"
    if why is not None:
        return unavailable(why)
    inside = (series.at > begin) & (series.at < end)
    at = np.concatenate([[begin], series.at[inside], [end]])
    joules = np.trapezoid(np.interp(at, series.at, series.value), at)
    rate_hz = 1 / _interval_s(series.at)
    return Energy(float(joules), f"{NVML_SAMPLED} at {rate_hz:.2g} Hz", NVML_SAMPLED)


def unavailable(why: str) -> Energy:
    return Energy(None, why if why.startswith("unavailable: ") else f"unavailable: {why}")


def summed(energies: Sequence[Energy]) -> Energy:
    """Of devices that were measured alike; else the reason why not."""
    unknown = [energy for energy in energies if energy.joules is None]
    if unknown:
        return unknown[0]
    if len({energy.method for energy in energies}) > 1:
        return unavailable("the devices are measured in different ways")
    return energies[0]._replace(joules=sum(energy.joules or 0.0 for energy in energies))


def training(db: Database, run: Run, since: float, until: float) -> Training | None:
    """Of the epochs that lie between `since` and `until`; None if none does.

    The first step's start is not an event: it is its epoch's last step less the epoch's duration,
    which leaves validation out. Each later epoch starts where the one before ends. Epochs that a
    resumed run took over are not its own.
    """
    ends = metrics.curve(db, run.id, "epoch_s")
    steps = metrics.curve(db, run.id, "step_loss")
    own = np.flatnonzero(ends.epoch > (run.resumed_epoch or 0))[:1]
    last_step = np.flatnonzero(np.isin(steps.step, ends.step[own]))
    if not len(last_step):
        return None
    starts = np.concatenate([ends.at[:1], ends.at[:-1]])
    starts[own] = steps.at[last_step] - ends.value[own]
    first = max(int(own[0]), int(np.searchsorted(starts, since, side="left")))
    last = int(np.searchsorted(ends.at, until, side="right")) - 1
    if last < first:
        return None
    epoch_steps = run.total_steps // run.config["epochs"]
    numbers = (int(ends.step[first]) // epoch_steps, int(ends.step[last]) // epoch_steps)
    is_kept = run.config.get("keep_last_batch", False)
    rest = RunConfig.parse(run.config).last_batch if is_kept else 0
    of_full_batches = (epoch_steps - bool(rest)) * run.config["batch_size"]
    samples = (last - first + 1) * (of_full_batches + rest)
    return Training(float(starts[first]), float(ends.at[last]), *numbers, samples)


def of_run(db: Database, run: Run) -> tuple[Training | None, list[Consumption]]:
    """What each kind of hardware took for the epochs that the readings cover; empty without any."""
    found = {(e.device, e.key): e for e in readings.extents(db, run.id)}
    energetic = [e for (_, key), e in found.items() if key in ("energy_j", "power_w")]
    since = max((e.first_at for e in energetic), default=float("-inf"))
    until = min((e.last_at for e in energetic), default=float("inf"))
    during = training(db, run, since, until)
    if during is None:
        return None, []
    told = []
    gpus = [d["id"] for d in run.devices if d.get("accelerator") == "gpu"]
    if gpus:
        of_gpus = summed([_of_gpu(db, run, gpu, during) for gpu in gpus])
        told.append(Consumption(", ".join(gpus), "GPU", of_gpus))
    if any(d.get("accelerator") == "tpu" for d in run.devices):
        told.append(Consumption("TPU", "TPU", unavailable("a TPU does not tell its power")))
    packages = sorted(device for device, _ in found if device.startswith("package:"))
    return during, [*told, Consumption("CPU", "CPU", _of_packages(db, run, packages, during))]


def _of_gpu(db: Database, run: Run, gpu: str, during: Training) -> Energy:
    """By its counter, or by its power where it has none."""
    window = (during.begin, during.end)
    counter = readings.span(db, run.id, gpu, "energy_j", *window)
    if len(counter.at):
        return counted(counter, *window, NVML_COUNTER)
    power = readings.span(db, run.id, gpu, "power_w", *window)
    return sampled(power, *window) if len(power.at) else unavailable(_reason(run, gpu))


def _of_packages(db: Database, run: Run, packages: Sequence[str], during: Training) -> Energy:
    window, ranges = (during.begin, during.end), run.facts.get("energy_ranges_j", {})
    if not packages:
        return unavailable(_reason(run, "RAPL"))
    return summed(
        [
            counted(
                readings.span(db, run.id, package, "energy_j", *window),
                *window,
                RAPL_COUNTER,
                ranges.get(package, 0),
            )
            for package in packages
        ]
    )


def _reason(run: Run, source: str) -> str:
    """Why the run has no readings of a source."""
    noted: dict[str, Any] = run.facts.get("readings", {})
    return (
        noted.get(source)
        or noted.get(f"{source} {READINGS['power_w'].title}")
        or "no readings were taken"
    )


def _why_not(at: NDArray[np.float64], begin: float, end: float) -> str | None:
    if len(at) < 2 or at[0] > begin or at[-1] < end:
        return "the readings do not cover the training"
    if end - begin < max(SHORTEST_S, 2 * _interval_s(at)):
        return f"{end - begin:.1f} s of training are too short to tell"
    return None


def _interval_s(at: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(at)))


def _longest_gap(at: NDArray[np.float64]) -> float:
    return float(np.diff(at).max(initial=0.0))
