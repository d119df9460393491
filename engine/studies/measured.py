"""What each arm of a study took: figures of its repeats, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from engine import efficiency, energy, statistics
from engine.describe import throughput, took
from engine.ledger import ACCOUNTS
from engine.statistics import Estimate
from storage import metrics
from storage.database import Database
from storage.runs import Run
from storage.studies import Trial

ACCURACY = "validation_accuracy"


@dataclass(frozen=True)
class Repeat:
    """One measured run, as it is drawn: a point. What is unknown is None."""

    run_id: str
    seed: int
    step_time_ms: float | None
    samples_per_s: float | None
    time_to_target_s: float | None
    took_s: float | None
    final_accuracy: float | None


@dataclass(frozen=True)
class Card:
    """One arm. Counts are of its measured runs; `target` says it in words where not all did."""

    arm: str
    repeats: tuple[Repeat, ...]
    asked: int
    failures: tuple[str, ...]
    step_time_ms: Estimate | None
    samples_per_s: Estimate | None
    took_s: Estimate | None
    time_to_target_s: Estimate | None
    target: str
    final_accuracy: float | None
    peak_memory_bytes: float | None
    mfu: float | None
    energy_j: float | None
    joules_per_sample: float | None
    energy_provenance: str
    ledger: dict[str, float]
    speedup: Estimate | None = None
    no_speedup: str = ""


def card(
    db: Database, arm: str, latest: Sequence[Trial], found: Mapping[str, Run], target: float | None
) -> Card:
    """Of the arm's runs that succeeded; its warm-up is left out."""
    mine = [t for t in latest if t.member.arm == arm and not t.member.is_warm_up]
    done = [t for t in mine if t.status == "SUCCEEDED"]
    measured = [found[t.member.run_id] for t in done]
    repeats = tuple(_repeat(db, found[t.member.run_id], t.member.seed, target) for t in done)
    joules, per_sample, provenance = _energy(db, measured)
    return Card(
        arm=arm,
        repeats=repeats,
        asked=len(mine),
        failures=tuple(t.failure or "" for t in mine if t.status == "FAILED"),
        step_time_ms=_median(repeats, lambda r: r.step_time_ms),
        samples_per_s=_median(repeats, lambda r: r.samples_per_s),
        took_s=_median(repeats, lambda r: r.took_s),
        time_to_target_s=_all_reached(repeats),
        target=_target_in_words(repeats, target, measured),
        final_accuracy=_middle([r.final_accuracy for r in repeats]),
        peak_memory_bytes=_middle([run.facts.get("peak_memory_bytes") for run in measured]),
        mfu=_middle([efficiency.of(run.facts).mfu for run in measured]),
        energy_j=joules,
        joules_per_sample=per_sample,
        energy_provenance=provenance,
        ledger=_ledger(measured),
    )


def step_time_ms(run: Run) -> float | None:
    """Mean of the run's steady steps."""
    steps, seconds = run.facts.get("steady_steps"), run.facts.get("steady_s")
    return 1000 * seconds / steps if steps and seconds else None


def time_to(db: Database, run: Run, target: float | None) -> float | None:
    """Seconds from the run's start to the first validation that reached the target."""
    if target is None or run.started_at is None:
        return None
    curve = metrics.curve(db, run.id, ACCURACY)
    reached = np.flatnonzero(curve.value >= target)
    return float(curve.at[reached[0]] - run.started_at) if len(reached) else None


def _repeat(db: Database, run: Run, seed: int, target: float | None) -> Repeat:
    accuracy = run.metrics.get(ACCURACY)
    return Repeat(
        run_id=run.id,
        seed=seed,
        step_time_ms=step_time_ms(run),
        samples_per_s=throughput(run),
        time_to_target_s=time_to(db, run, target),
        took_s=took(run),
        final_accuracy=accuracy.last if accuracy else None,
    )


def _median(repeats: Sequence[Repeat], of: Callable[[Repeat], float | None]) -> Estimate | None:
    return statistics.median([value for repeat in repeats if (value := of(repeat)) is not None])


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _all_reached(repeats: Sequence[Repeat]) -> Estimate | None:
    """A median over those that reached it would praise an arm for runs that did not."""
    times = [r.time_to_target_s for r in repeats if r.time_to_target_s is not None]
    return statistics.median(times) if times and len(times) == len(repeats) else None


def _target_in_words(
    repeats: Sequence[Repeat], target: float | None, measured: Sequence[Run]
) -> str:
    if target is None:
        return "no target was set"
    if not repeats:
        return "no run succeeded"
    reached = sum(r.time_to_target_s is not None for r in repeats)
    if reached == len(repeats):
        return f"reached {100 * target:.4g} % in all {reached} runs"
    epochs = measured[0].config["epochs"]
    if reached == 0:
        return f"not reached in {epochs:,} epochs"
    return f"reached in {reached} of {len(repeats)} runs, not in {epochs:,} epochs of the others"


def _energy(db: Database, measured: Sequence[Run]) -> tuple[float | None, float | None, str]:
    """Median joules and joules a sample of the hardware that was trained on, or why unknown.

    Runs measured in different ways have no common figure.
    """
    told: list[tuple[float, int, str]] = []
    for run in measured:
        during, consumed = energy.of_run(db, run)
        if not consumed or during is None:
            return None, None, "unavailable: no readings of energy"
        joules, provenance = consumed[0].energy
        if joules is None:
            return None, None, provenance
        told.append((joules, during.samples, f"{consumed[0].of}, {provenance}"))
    if len({provenance for *_, provenance in told}) != 1:
        ways = "the runs were measured in different ways" if told else "no run succeeded"
        return None, None, f"unavailable: {ways}"
    joules = median(joules for joules, *_ in told)
    return joules, median(joules / samples for joules, samples, _ in told), told[0][2]


def _ledger(measured: Sequence[Run]) -> dict[str, float]:
    """Of each account the median over the runs, in seconds."""
    ledgers = [run.facts["ledger"] for run in measured if run.facts.get("ledger")]
    if not ledgers:
        return {}
    middle = {name: median(one.get(name, 0.0) for one in ledgers) for name in ACCOUNTS}
    return {name: seconds for name, seconds in middle.items() if seconds > 0}
