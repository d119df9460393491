"""What a study's runs say now, arm by arm, each held against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine import statistics
from engine.studies import comparable, evidence, measured
from engine.studies.comparable import Verdict
from engine.studies.evidence import Evidence
from engine.studies.giving_up import is_given_up
from engine.studies.measured import Card
from engine.studies.question import Question
from storage import runs, studies
from storage.database import Database
from storage.runs import Run
from storage.studies import Study, Trial


@dataclass(frozen=True)
class Arms:
    """`latest` is the last try of each cell; `found` all runs and `known` what is known of those
    that succeeded, by their ids; `pairs` and `runs_of` (measured ones) go by arm.
    """

    status: str
    trials: list[Trial]
    latest: list[Trial]
    found: Mapping[str, Run]
    known: Mapping[str, Evidence]
    cards: tuple[Card, ...]
    pairs: dict[str, Verdict]
    runs_of: dict[str, list[Run]]


def of(db: Database, study: Study, question: Question) -> Arms:
    """`question` is the study's; its baseline may be another one."""
    trials, found = studies.trials(db, study.id), runs.of_study(db, study.id)
    trials = [t for t in trials if t.member.run_id in found]  # one may have been deleted just now
    latest = studies.latest(trials)
    known = {run.id: evidence.of(db, run) for run in found.values() if run.status == "SUCCEEDED"}
    target = question.target_accuracy
    cards = [measured.card(arm, latest, found, known, target) for arm in question.arms()]
    base = next(card for card in cards if card.arm == question.baseline_label())
    pairs = {card.arm: comparable.pair(question, base, card, found, known) for card in cards}
    return Arms(
        status=status_of(study, latest),
        trials=trials,
        latest=latest,
        found=found,
        known=known,
        cards=tuple(_with_speedup(card, base, pairs[card.arm]) for card in cards),
        pairs=pairs,
        runs_of={card.arm: [found[r.run_id] for r in card.repeats] for card in cards},
    )


def status_of(study: Study, latest: Sequence[Trial]) -> str:
    """A run's words: PENDING until one started, SUCCEEDED once all ended and one succeeded.

    An arm that was given up does not stop the study: an edge was looked for, and found.
    """
    states = {trial.status for trial in latest if not is_given_up(trial)}
    if states & {"PENDING", "RUNNING"}:
        return "PENDING" if states == {"PENDING"} else "RUNNING"
    measured_ones = [trial for trial in latest if not trial.member.is_warm_up]
    succeeded = any(trial.status == "SUCCEEDED" for trial in measured_ones)
    if not succeeded and "FAILED" in states:
        return "FAILED"
    return "STOPPED" if study.stopped_at or "STOPPED" in states else "SUCCEEDED"


def compared(cards: Sequence[Card]) -> list[Card]:
    """Without those of a red pair."""
    return [card for card in cards if card.standing != "not comparable"]


def _with_speedup(card: Card, baseline: Card, verdict: Verdict) -> Card:
    """The ratio of samples/s; none for a red pair, nor of the baseline to itself."""
    if card.arm == baseline.arm:
        return replace(card, standing="baseline")
    if verdict.level == "red":
        return replace(card, standing="not comparable")
    speedup = statistics.ratio(card.rates, baseline.rates)
    return replace(card, speedup=speedup, standing="compared" if speedup else "not timed")
