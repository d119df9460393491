"""What to do next: findings by rules from the figures, each with the change that would test it.

The rules and thresholds are listed in docs/decisions. A rule that lacks a figure says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pydantic import ValidationError

from engine import efficiency
from engine.config import WORKLOADS, RunConfig
from engine.describe import throughput
from engine.format import duration, figure, step_time
from engine.statistics import middle
from engine.studies.evidence import Evidence, held_back
from engine.studies.measured import MADE_BY_EPOCHS, step_time_ms
from storage.runs import Run

INPUT_SHARE = 0.15  # of the steady time
ONCE = ("import", "data", "build", "idle")  # before the training, and around it
RECOMPILE_SHARE = 0.05  # of the training
START_UP_SHARE = 0.5  # of all time
COMPILE_SHARE = 0.3
AMORTISED_SHARE = 0.1  # what is left of it after the advised number of epochs
SHORT_STEP_MS = 2.0
LOW_USE = 0.1  # of the roof that binds
NEAR_ROOF = 0.5
LARGER_BATCH = 4
FEWEST_STEPS = 8  # an epoch, to be timed
MOST_EPOCHS = 1000
SMALL_GAIN = 2.0  # over the CPU, below which an accelerator is not worth its price
WIDER = 4  # times as wide is a model that an accelerator is for
LONG_COOL_DOWN_S = 30.0
PLACE = ("framework", "accelerator", "devices")


@dataclass(frozen=True)
class Finding:
    """`changes` to the arm's config, or a longer `cool_down_s` before its runs, test it.

    `promised` is the ratio that follows: of samples/s, or of epochs a minute where it is of whole
    runs. `both` is what the arm as it was differs in, too, where the test needs another job.
    """

    arm: str
    rule: str
    sentence: str
    changes: dict[str, Any]
    promised: float | None = None
    both: dict[str, Any] = field(default_factory=dict)


def of_arm(
    arm: str,
    measured: Sequence[Run],
    known: Mapping[str, Evidence] | None = None,
    others: Mapping[str, Sequence[Run]] | None = None,
) -> list[Finding]:
    """Of an arm's runs that succeeded; empty where nothing stands out.

    `known` is what their readings say, `others` the runs of all arms by arm.
    """
    told = [run for run in measured if run.facts.get("ledger")]
    found = [found for rule in RULES for found in rule(arm, told)] if told else []
    found += _throttled(arm, measured, known or {})
    return [*found, *_too_small(arm, told, others or {})]


def _input_bound(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    waited, computed = _account(measured, "input_wait"), _account(measured, "compute")
    steady = waited + computed
    if not steady or waited / steady < INPUT_SHARE:
        return
    promised = steady / computed if computed else None
    gain = f"; without the wait it would train {promised:.2f}x as fast" if promised else ""
    is_loader = measured[0].config["input"] == "host_loader"
    advice = (
        " Put the data set on the device."
        if is_loader
        else " The data set lies on the device already: what is left is the order of samples."
    )
    yield Finding(
        arm,
        "input-bound",
        f"Input-bound: the device waited for samples for {duration(waited)} of "
        f"{duration(steady)} of steps ({100 * waited / steady:.0f} %){gain}.{advice}",
        {"input": "device_resident"} if is_loader else {},
        promised if is_loader else None,
    )


def _compile_bound(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    spent = _account(measured, "compile") + _account(measured, "warm_up")
    total, epochs = _total(measured), measured[0].config["epochs"]
    if not total or spent / total < COMPILE_SHARE:
        return
    enough, promised = _amortising(spent, measured)
    yield Finding(
        arm,
        "compile-bound",
        f"Compile-bound: compiling and warming up took {duration(spent)} of {duration(total)} "
        f"({100 * spent / total:.0f} %) at {epochs:,} epochs. "
        f"{_more_epochs(enough, promised)}",
        {"epochs": enough} if enough else {},
        promised,
    )


def _start_up_bound(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    spent = sum(_account(measured, name) for name in ONCE[:3])
    total = _total(measured)
    if not total or spent / total < START_UP_SHARE:
        return
    enough, promised = _amortising(spent, measured)
    yield Finding(
        arm,
        "start-up-bound",
        f"Start-up-bound: importing, loading data and building took {duration(spent)} of "
        f"{duration(total)} ({100 * spent / total:.0f} %). {_more_epochs(enough, promised)}",
        {"epochs": enough} if enough else {},
        promised,
    )


def _recompiling(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    """Programs that were compiled after the first steps, if that took a share of the training."""
    told = [run for run in measured if run.facts.get("recompiles") is not None]
    if not told:
        yield from _more_programs(arm, measured)
        return
    programs = median(run.facts["recompiles"] for run in told)
    spent = median(run.facts["recompile_s"] for run in told)
    total = _total(told)
    training = total - sum(_account(told, name) for name in ONCE)
    if not programs or not training or spent / training < RECOMPILE_SHARE:
        return
    is_kept = told[0].config.get("keep_last_batch", False)
    advice = " Leave out the smaller batch that ends each epoch." if is_kept else ""
    yield Finding(
        arm,
        "recompiling",
        f"Recompiling: {programs:,.0f} programs were compiled after the first steps, which took "
        f"{duration(spent)} of {duration(training)} of training ({100 * spent / training:.0f} %): "
        f"batches were not all of one size.{advice}",
        {"keep_last_batch": False} if is_kept else {},
        total / (total - spent) if is_kept else None,
    )


def _more_programs(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    """Of runs that did not say what they compiled when: more at the end than after an epoch."""
    grown = [
        (summary.min, summary.last)
        for run in measured
        if (summary := run.metrics.get("compiles")) and summary.min is not None
        and summary.last is not None and summary.last > summary.min
    ]  # fmt: skip
    if grown:
        first, last = grown[0]
        yield Finding(
            arm,
            "recompiling",
            f"Recompiling: {first:,.0f} programs were compiled by the end of the first epoch and "
            f"{last:,.0f} by the end, so shapes change while it trains. Batches should all be of "
            "one size.",
            {},
        )


def _launch_bound(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    """Short steps that reach little of the roof that binds them."""
    step, used = middle(map(step_time_ms, measured)), _use_of_roof(measured)
    if step is None or used is None or step > SHORT_STEP_MS or used > LOW_USE:
        return
    config = measured[0].config
    larger = _larger_batch(config)
    way_out = f" A batch of {larger:,} gives each step more to do." if larger else ""
    yield Finding(
        arm,
        "launch-bound",
        f"Launch-bound: a step takes {step_time(step / 1000)} and "
        f"reaches {100 * used:.1f} % of what the device allows it at batch "
        f"{config['batch_size']:,}.{way_out}",
        {"batch_size": larger} if larger else {},
    )


def _memory_bound(arm: str, measured: Sequence[Run]) -> Iterator[Finding]:
    found, used = efficiency.of(measured[0].facts), _use_of_roof(measured)
    if found.binds != "memory" or used is None or used < NEAR_ROOF:
        return
    is_fp32 = measured[0].config["precision"] in ("fp32", "tf32")
    way_out = " bf16 moves half as many." if is_fp32 else ""
    yield Finding(
        arm,
        "memory-bound",
        f"Memory-bound: a step does {figure(found.intensity)} FLOPs for each byte it moves, the "
        f"device does {figure(found.ridge)} in that time, and {100 * used:.0f} % of its memory's "
        f"roof is reached.{way_out}",
        {"precision": "bf16"} if is_fp32 else {},
    )


def _throttled(
    arm: str, measured: Sequence[Run], known: Mapping[str, Evidence]
) -> Iterator[Finding]:
    """The worst of its runs: a device whose clocks were held back."""
    held = [one for run in measured if run.id in known for one in held_back(known[run.id])]
    if not held:
        return
    worst = max(held, key=lambda one: one.share)
    yield Finding(
        arm,
        "throttled",
        f"Throttled: {worst.device} was held back in {100 * worst.share:.0f} % of its readings, "
        f"mostly for: {worst.why}. Its figures are of a slowed device. Cool it, raise its power "
        "limit, or rest longer between runs.",
        {"cool_down_s": max(LONG_COOL_DOWN_S, *(2 * run.cool_down_s for run in measured))},
    )


def _too_small(
    arm: str, measured: Sequence[Run], others: Mapping[str, Sequence[Run]]
) -> Iterator[Finding]:
    """An accelerator that is hardly faster than the CPU of the same study, and is hardly used."""
    if not measured or measured[0].accelerator == "cpu":
        return
    mine, used = middle(map(throughput, measured)), _use_of_roof(measured)
    on_cpu = {
        name: rate
        for name, runs in others.items()
        if runs and runs[0].accelerator == "cpu" and (rate := middle(map(throughput, runs)))
    }
    if mine is None or used is None or not on_cpu or used > LOW_USE:
        return
    name, rate = max(on_cpu.items(), key=lambda item: item[1])
    if mine > SMALL_GAIN * rate:
        return
    here, there = measured[0].config, others[name][0].config
    wider = _wider(here["workload"])
    yield Finding(
        arm,
        "too-small",
        f"Too small for this device: it trains {mine / rate:.2f}x as fast as {name} and reaches "
        f"{100 * used:.1f} % of what it could. A larger model is what it is for; for this one the "
        "CPU does.",
        {name: here[name] for name in PLACE} if wider else {},
        SMALL_GAIN if wider else None,
        {"workload": wider} | {name: there[name] for name in PLACE} if wider else {},
    )


def _wider(workload: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same model with wider layers; None where it cannot be made wider."""
    wider = {**workload, "width": workload["width"] * WIDER}
    try:
        WORKLOADS[workload["name"]].model_validate(wider)
    except ValidationError:
        return None
    return wider


RULES = (_input_bound, _compile_bound, _start_up_bound, _recompiling, _launch_bound, _memory_bound)


def _account(measured: Sequence[Run], name: str) -> float:
    return median(run.facts["ledger"].get(name, 0.0) for run in measured)


def _total(measured: Sequence[Run]) -> float:
    return median(sum(run.facts["ledger"].values()) for run in measured)


def _amortising(fixed_s: float, measured: Sequence[Run]) -> tuple[int | None, float | None]:
    """Epochs after which what is spent once is a tenth of the whole, and how many times as many
    epochs a minute those are; None if that is too many.
    """
    by_steps, whole = sum(_account(measured, n) for n in MADE_BY_EPOCHS), _total(measured)
    epochs = measured[0].config["epochs"]
    if by_steps <= 0:
        return None, None
    once, each = whole - by_steps, by_steps / epochs
    enough = max(epochs + 1, math.ceil((fixed_s / AMORTISED_SHARE - once) / each))
    if enough > MOST_EPOCHS:
        return None, None
    return enough, whole / epochs / (once / enough + each)


def _more_epochs(enough: int | None, promised: float | None) -> str:
    if enough is None or promised is None:
        return "This job is too short to be judged by its time as a whole."
    return (
        f"It is a tenth of the time from {enough:,} epochs on: {promised:.2f}x as many epochs a "
        "minute."
    )


def _use_of_roof(measured: Sequence[Run]) -> float | None:
    """Unknown where it would be over 1: bytes are counted unfused, so more than are moved."""
    found = [efficiency.of(run.facts) for run in measured]
    used = middle(
        one.flops_per_s / one.roof_flops_per_s if one.flops_per_s and one.roof_flops_per_s else None
        for one in found
    )
    return None if used is None or used > 1 else used


def _larger_batch(config: dict[str, Any]) -> int | None:
    """None where an epoch would have too few steps to be timed."""
    larger = config["batch_size"] * LARGER_BATCH
    samples = RunConfig.parse(config).dataset.train_samples
    return larger if larger * FEWEST_STEPS <= samples else None
