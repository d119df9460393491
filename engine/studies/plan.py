"""Which runs a study takes, in which order, and how long they should take by past runs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from engine import workloads
from engine.config import RunConfig, as_now
from engine.describe import took, workload_version
from engine.studies.measured import MADE_BY_EPOCHS
from engine.studies.question import Arm, Question
from storage import runs
from storage.database import Database
from storage.runs import Run
from storage.studies import Trial

HISTORY = 1000  # runs that are looked at
NOT_PACE = ("seed", "epochs", "timeout_s", "learning_rate")  # change no step's time


class Cell(NamedTuple):
    """One place in a study: an arm's repeat, or its warm-up."""

    arm: str
    seed: int
    is_warm_up: bool


class Planned(NamedTuple):
    cell: Cell
    config: RunConfig


class Prediction(NamedTuple):
    """`seconds` is None if no arm has a history; `unknown` are the arms without one."""

    seconds: float | None
    unknown: tuple[str, ...]


def cells(question: Question) -> list[Planned]:
    """A warm-up of each arm, then each seed of each arm, both in random order.

    Interleaved arms share what drifts in a machine's speed; the order is fixed by `order_seed`.
    """
    arms, first = question.arms(), RunConfig.parse(question.base).seed
    shuffle = random.Random(question.order_seed).shuffle
    warm_ups = [_planned(arm, first, True) for arm in arms]
    shuffle(warm_ups)
    ordered = list(warm_ups)
    for seed in range(first, first + question.seeds):  # so that a study cut short is balanced
        block = [_planned(arm, seed, False) for arm in arms]
        shuffle(block)
        ordered += block
    return ordered


def missing(question: Question, latest: Iterable[Trial]) -> list[Planned]:
    """What has no run that succeeded, or still may: nothing is repeated and nothing is lost.

    A run that was asked to stop will not.
    """
    done = {
        Cell(t.member.arm, t.member.seed, t.member.is_warm_up)
        for t in latest
        if t.status == "SUCCEEDED" or (t.status in runs.ACTIVE and not t.stop_requested_by)
    }
    return [planned for planned in cells(question) if planned.cell not in done]


def predict(db: Database, planned: Sequence[Planned], question: Question) -> Prediction:
    """Seconds of all these runs one after the other, each with the rest before it.

    From runs of the same kind that succeeded.
    """
    history = runs.list_newest(db, HISTORY, ["SUCCEEDED"])
    by_arm = {p.cell.arm: _like(p.config, history) for p in planned}
    known = [s for p in planned if (s := _seconds(p.config, by_arm[p.cell.arm])) is not None]
    unknown = tuple(arm for arm, alike in by_arm.items() if not alike)
    rests = sum(question.rest_before(p.cell.arm) for p in planned)
    return Prediction(sum(known) + rests if known and not unknown else None, unknown)


def waited_s(made: Iterable[Run]) -> float:
    """Seconds of these runs one after the other, with the rest that each was given before it.

    What the host did for others in between is not theirs, nor is the time before they were asked
    for.
    """
    total, ended_at = 0.0, 0.0
    for run in sorted(made, key=lambda run: run.started_at or 0.0):
        if run.started_at is None:
            continue
        asked_for = run.started_at - max(ended_at, run.submitted_at)
        rested = run.facts.get("before", {}).get("rest_s", asked_for)
        total += (took(run) or 0.0) + max(0.0, min(rested, asked_for))
        ended_at = max(ended_at, run.finished_at or run.started_at)
    return total


def remaining_s(
    trials: Sequence[Trial], found: Mapping[str, Run], predicted_s: float | None
) -> float | None:
    """Seconds that the active runs should still take, by those of this study that are over.

    Before one is over: by what was predicted of all of them.
    """
    over = [s for run in found.values() if not run.active and (s := took(run))]
    if not over:
        so_far = sum(took(run) or 0.0 for run in found.values())
        return None if predicted_s is None else max(0.0, predicted_s - so_far)
    total = 0.0
    for trial in trials:
        if trial.status not in runs.ACTIVE:
            continue
        of_arm = [s for t in trials if t.member.arm == trial.member.arm
                  and t.status == "SUCCEEDED" and (s := took(found[t.member.run_id]))]  # fmt: skip
        expected = median(of_arm or over)
        so_far = took(found[trial.member.run_id]) or 0.0
        total += max(0.0, expected - so_far)
        if trial.status == "PENDING":
            total += found[trial.member.run_id].cool_down_s
    return total


def _planned(arm: Arm, seed: int, is_warm_up: bool) -> Planned:
    config = RunConfig.parse(arm.config.model_dump(mode="json") | {"seed": seed})
    return Planned(Cell(arm.label, seed, is_warm_up), config)


def _pace(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in as_now(config).items() if name not in NOT_PACE}


def _like(config: RunConfig, history: Iterable[Run]) -> list[Run]:
    """Runs whose steps take the same time, as far as the config and the model's version tell."""
    wanted = _pace(config.model_dump(mode="json"))
    return [
        run
        for run in history
        if _pace(run.config) == wanted and run.facts.get("ledger") and took(run)
        and run.resumed_epoch is None
        and workload_version(run) == workloads.version(config.workload.name)
    ]  # fmt: skip


def _seconds(config: RunConfig, alike: Sequence[Run]) -> float | None:
    """Start-up as it was, and each epoch as it was."""
    if not alike:
        return None
    return median(_scaled(run, config.epochs) for run in alike)


def _scaled(run: Run, epochs: int) -> float:
    of_steps = sum(run.facts["ledger"].get(account, 0.0) for account in MADE_BY_EPOCHS)
    whole = took(run) or 0.0
    return max(0.0, whole - of_steps) + of_steps * epochs / run.config["epochs"]
