"""What each arm of a study took: figures of its repeats, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from engine import efficiency, statistics
from engine.describe import throughput, took
from engine.format import counted, figure
from engine.ledger import ACCOUNTS
from engine.statistics import Estimate
from engine.studies import evidence, windows
from engine.studies.evidence import ACCURACY, Evidence
from engine.studies.question import Arm
from engine.studies.windows import Percentiles
from storage import runs
from storage.runs import Run
from storage.studies import Trial

MADE_BY_EPOCHS = ("input_wait", "compute", "evaluation")
Standing = Literal["compared", "baseline", "not comparable", "not timed"]
NO_SPEEDUP: dict[Standing, str] = {
    "compared": "",
    "baseline": "the baseline",
    "not comparable": "no speed-up: the two are not comparable",
    "not timed": "no steady steps were timed",
}


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
    """One arm. `start_up_s` is all of a run that its epochs did not take.

    Counts are of its measured runs; `target` says it in words where not all did. `devices` are
    those of hardware, which virtual ones share. `energy_j` is of the training of all epochs,
    without start-up; `energy_provenance` is the kind of hardware and the method, or why unknown.
    """

    arm: str
    accelerator: str
    devices: int
    epochs: int
    repeats: tuple[Repeat, ...]
    asked: int
    failures: tuple[str, ...]
    waiting: int
    is_too_large: bool
    step_time_ms: Estimate | None
    windows: Percentiles | None
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
    start_up_s: float | None
    epoch_s: float | None
    speedup: Estimate | None = None
    standing: Standing = "not timed"

    @property
    def rates(self) -> list[float]:
        """Samples/s of its repeats, of those that are known."""
        return [r.samples_per_s for r in self.repeats if r.samples_per_s]

    @property
    def no_speedup(self) -> str:
        """Why there is none."""
        return NO_SPEEDUP[self.standing]


def card(
    of: Arm,
    latest: Sequence[Trial],
    found: Mapping[str, Run],
    known: Mapping[str, Evidence],
    target: float | None,
) -> Card:
    """Of the arm's runs that succeeded; its warm-up is left out."""
    mine = [t for t in latest if t.member.arm == of.label and not t.member.is_warm_up]
    done = [t for t in mine if t.status == "SUCCEEDED"]
    measured = [found[t.member.run_id] for t in done]
    repeats = tuple(
        _repeat(found[t.member.run_id], known[t.member.run_id], t.member.seed, target) for t in done
    )
    joules, per_sample, provenance = _energy([known[run.id] for run in measured], of.config.epochs)
    return Card(
        arm=of.label,
        accelerator=of.config.accelerator,
        devices=of.config.leased,
        epochs=of.config.epochs,
        repeats=repeats,
        asked=len(mine),
        failures=tuple(t.failure or "" for t in mine if t.status == "FAILED"),
        waiting=sum(t.status in runs.ACTIVE for t in mine),
        is_too_large=_is_too_large(of.label, latest, found),
        step_time_ms=_median(repeats, lambda r: r.step_time_ms),
        windows=windows.pooled([run.facts.get("step_windows") for run in measured]),
        samples_per_s=_median(repeats, lambda r: r.samples_per_s),
        took_s=_median(repeats, lambda r: r.took_s),
        time_to_target_s=_all_reached(repeats),
        target=_target_in_words(repeats, target, measured),
        final_accuracy=statistics.middle([r.final_accuracy for r in repeats]),
        peak_memory_bytes=statistics.middle(
            [run.facts.get("peak_memory_bytes") for run in measured]
        ),
        mfu=statistics.middle([efficiency.of(run.facts).mfu for run in measured]),
        energy_j=joules,
        joules_per_sample=per_sample,
        energy_provenance=provenance,
        ledger=_ledger(measured),
        start_up_s=statistics.middle(start_up for start_up, _ in map(_split, measured)),
        epoch_s=statistics.middle(each for _, each in map(_split, measured)),
    )


def _is_too_large(arm: str, latest: Sequence[Trial], found: Mapping[str, Run]) -> bool:
    """Whether all its tries that ended, the warm-up too, ran out of memory."""
    kinds = {
        found[t.member.run_id].failure_kind or t.status
        for t in latest
        if t.member.arm == arm and t.status in ("FAILED", "SUCCEEDED")
    }
    return kinds == {"out_of_memory"}


def step_time_ms(run: Run) -> float | None:
    """Mean of the run's steady steps."""
    steps, seconds = run.facts.get("steady_steps"), run.facts.get("steady_s")
    return 1000 * seconds / steps if steps and seconds else None


def _repeat(run: Run, known: Evidence, seed: int, target: float | None) -> Repeat:
    accuracy = run.metrics.get(ACCURACY)
    return Repeat(
        run_id=run.id,
        seed=seed,
        step_time_ms=step_time_ms(run),
        samples_per_s=throughput(run),
        time_to_target_s=evidence.time_to(known, run, target),
        took_s=took(run),
        final_accuracy=accuracy.last if accuracy else None,
    )


def _median(repeats: Sequence[Repeat], of: Callable[[Repeat], float | None]) -> Estimate | None:
    return statistics.median([value for repeat in repeats if (value := of(repeat)) is not None])


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
    epochs = counted(measured[0].config["epochs"], "epoch")
    if reached == 0:
        return f"not reached in {epochs}"
    return f"reached in {reached} of {len(repeats)} runs, not in {epochs} of the others"


def _energy(measured: Sequence[Evidence], epochs: int) -> tuple[float | None, float | None, str]:
    """Median joules of so many epochs, and of a sample, of the hardware that was trained on.

    Readings cover whole epochs, rarely all: what they tell of an epoch counts for each. Or why it
    is unknown: runs measured in different ways have no common figure.
    """
    told: list[tuple[float, float, str]] = []
    for one in measured:
        during, consumed = one.training, one.consumed
        if not consumed or during is None:
            return None, None, "unavailable: no readings of energy"
        joules, provenance, method = consumed[0].energy
        if joules is None:
            return None, None, provenance
        of_all = joules / during.epochs * epochs
        told.append((of_all, joules / during.samples, f"{consumed[0].kind}, {method}"))
    if len({provenance for *_, provenance in told}) != 1:
        ways = "the runs were measured in different ways" if told else "no run succeeded"
        return None, None, f"unavailable: {ways}"
    of_all, of_sample, ways = zip(*told, strict=True)
    return median(of_all), median(of_sample), ways[0]


def _split(run: Run) -> tuple[float | None, float | None]:
    """Seconds of what is done once, and of each epoch."""
    ledger, whole = run.facts.get("ledger"), took(run)
    if not ledger or whole is None:
        return None, None
    by_epochs = sum(ledger.get(account, 0.0) for account in MADE_BY_EPOCHS)
    return max(0.0, whole - by_epochs), by_epochs / run.config["epochs"]


def _ledger(measured: Sequence[Run]) -> dict[str, float]:
    """Of each account the median over the runs, in seconds."""
    ledgers = [run.facts["ledger"] for run in measured if run.facts.get("ledger")]
    if not ledgers:
        return {}
    middle = {name: median(one.get(name, 0.0) for one in ledgers) for name in ACCOUNTS}
    return {name: seconds for name, seconds in middle.items() if seconds > 0}


def interval(estimate: Estimate) -> str:
    """` (95 %: 1.31 to 1.52)`, or nothing where it is not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f" (95 %: {figure(estimate.low)} to {figure(estimate.high)})"
