"""Tests of advice: the study that tests a finding, and whether what was advised held."""

from __future__ import annotations

from statistics import median
from typing import Any, NamedTuple

from engine import statistics
from engine.format import figure
from engine.statistics import Estimate
from engine.studies import arms
from engine.studies.arms import Arms
from engine.studies.findings import Finding
from engine.studies.measured import Card, interval
from engine.studies.pipeline import HELD_WITHIN
from engine.studies.question import Question
from storage import runs, studies
from storage.database import Database
from storage.studies import Study

OF_WHOLE_RUNS = {"epochs", "keep_last_batch"}  # changes that leave a steady step as it is


class Outcome(NamedTuple):
    """Of a study that tests what a rule advised for an arm of another study.

    `held` is None where that cannot be told; `sentence` says why, or gives the figures.
    """

    study_id: str
    arm: str
    rule: str
    status: str
    held: bool | None
    sentence: str


class Measured(NamedTuple):
    """What the advice gave: a ratio, and the two figures that it is of."""

    ratio: Estimate
    changed: float
    as_it_was: float
    unit: str


def question(study: Study, asked: Question, finding: Finding) -> dict[str, Any]:
    """What tests a finding of a study: its arm as it was, against the arm with the change."""
    config = next(arm.config for arm in asked.arms() if arm.label == finding.arm)
    return {
        "kind": "advice",
        "base": config.model_dump(mode="json") | finding.both,
        "seeds": asked.seeds,
        "cool_down_s": asked.cool_down_s,
        "accuracy_tolerance": asked.accuracy_tolerance,
        "advice": {
            "rule": finding.rule,
            "changes": finding.changes,
            "promised": finding.promised,
            "study": study.id,
            "arm": finding.arm,
        },
    }


def tests_of(db: Database, study_id: str) -> list[Outcome]:
    """Of the studies that test what this one advised, the newest first."""
    return [outcome for study in studies.testing(db, study_id) if (outcome := of_study(db, study))]


def of_study(db: Database, study: Study) -> Outcome | None:
    """None for a study that tests no advice."""
    asked = Question.parse(study.question)
    return outcome(study, asked, arms.of(db, study, asked)) if asked.advice else None


def outcome(study: Study, asked: Question, found: Arms) -> Outcome | None:
    advice = asked.advice
    if advice is None:
        return None
    held, sentence = _held(asked, found)
    return Outcome(study.id, advice.arm, advice.rule, found.status, held, sentence)


def _held(asked: Question, found: Arms) -> tuple[bool | None, str]:
    """What was promised against what was measured; without a promise, whether it is faster."""
    advice = asked.advice
    assert advice
    named = f"The advice ({advice.rule})"
    if found.status in runs.ACTIVE:
        over = sum(trial.status in runs.FINAL for trial in found.latest)
        return None, f"{named} is being tested: {over:,} of {len(found.latest):,} runs are over."
    changed = found.cards[-1]
    if changed.standing == "not comparable":
        why = found.pairs[changed.arm].checks[0].sentence
        return None, f"{named} was tested, and whether it held cannot be told. {why}"
    gave = _measured(asked, found.cards)
    if gave is None:
        return None, f"{named} was tested, and whether it held cannot be told: nothing was timed."
    told = (
        f"{gave.ratio.value:.2f}x as fast{interval(gave.ratio)}, {figure(gave.changed)} "
        f"{gave.unit} against {figure(gave.as_it_was)}"
    )
    if advice.promised is not None:
        held = gave.ratio.value >= advice.promised * (1 - HELD_WITHIN)
        verb = "held" if held else "did not hold"
        return held, f"{named} {verb}: {advice.promised:.2f}x was promised, and it is {told}."
    if gave.ratio.low is None:
        few = f"{gave.ratio.repeats:,} of {statistics.FEWEST} repeats"
        return None, f"{named} promised no figure, and {few} do not tell whether it held: {told}."
    held = gave.ratio.low > 1
    return held, f"{named} {'held' if held else 'did not hold'}: {told}."


def _measured(asked: Question, cards: tuple[Card, ...]) -> Measured | None:
    """Of more epochs, or of none that recompile, the promise is of the run as a whole."""
    assert asked.advice
    before, changed = cards[0], cards[-1]
    if not asked.advice.changes.keys() & OF_WHOLE_RUNS:
        return _of(changed.rates, before.rates, "samples/s")
    return _of(_epochs_a_minute(changed), _epochs_a_minute(before), "epochs a minute")


def _epochs_a_minute(card: Card) -> list[float]:
    return [60 * card.epochs / repeat.took_s for repeat in card.repeats if repeat.took_s]


def _of(changed: list[float], as_it_was: list[float], unit: str) -> Measured | None:
    ratio = statistics.ratio(changed, as_it_was)
    return ratio and Measured(ratio, median(changed), median(as_it_was), unit)
