"""A study's report: how it stands, whether its arms compare, what each took, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine import statistics
from engine.format import figure
from engine.studies import (
    advice,
    arms,
    comparable,
    evidence,
    findings,
    pipeline,
    plan,
    roofline,
    saturation,
    scaling,
    setup,
)
from engine.studies.advice import Outcome
from engine.studies.arms import Arms, compared
from engine.studies.comparable import Check, Verdict
from engine.studies.evidence import Evidence, Learning
from engine.studies.findings import Finding
from engine.studies.measured import Card
from engine.studies.question import Question
from engine.studies.roofline import Roofline
from engine.studies.windows import Percentiles
from storage import runs
from storage.database import Database
from storage.runs import Run
from storage.studies import Study


@dataclass(frozen=True)
class Progress:
    """Counts of runs, warm-ups among them. `actual_s` is of all runs, with the rests before them,

    once none is active and none had to be tried twice; `is_as_planned` if all of them succeeded.
    """

    runs: int
    over: int
    failed: int
    remaining_s: float | None
    actual_s: float | None
    is_as_planned: bool


@dataclass(frozen=True)
class Report:
    """`advice` is the outcome of a study that tests one; `tests` are of what this one advised."""

    study: Study
    question: Question
    status: str
    progress: Progress
    verdict: Verdict
    pairs: dict[str, Verdict]
    cards: tuple[Card, ...]
    findings: tuple[Finding, ...]
    answer: str
    advice: Outcome | None
    tests: tuple[Outcome, ...]
    learning: dict[str, list[Learning]]
    roofline: Roofline
    setup: dict[str, str]

    @property
    def is_too_early(self) -> bool:
        """Whether nothing can be compared yet, since runs are still to come."""
        known = sum(bool(card.repeats) for card in self.cards)
        return self.status in runs.ACTIVE and known < min(2, len(self.cards))

    @property
    def prediction_error(self) -> float | None:
        """How far off the prediction was, as a fraction of it.

        None before the end, and where other runs were made than those it was of.
        """
        actual, predicted = self.progress.actual_s, self.study.predicted_s
        if not self.progress.is_as_planned or not actual or not predicted:
            return None
        return actual / predicted - 1

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.study.id,
            "name": self.study.name,
            "kind": self.study.kind,
            "status": self.status,
            "stopped_because": self.study.stopped_because,
            "verdict": _verdict_json(self.verdict),
            "answer": self.answer,
            "setup": self.setup,
            "baseline": self.question.baseline_label(),
            "report_card": [_card_json(card, self.pairs[card.arm]) for card in self.cards],
            "findings": [asdict(finding) for finding in self.findings],
            "advice": self.advice and self.advice._asdict(),
            "tests": [test._asdict() for test in self.tests],
            "roofline": {
                "points": [point._asdict() for point in self.roofline.points],
                "bounds": [bound._asdict() for bound in self.roofline.bounds],
            },
            "scaling": (found := scaling.of(self.question, self.cards)) and found.as_json(),
            "input": [
                probe._asdict() | {"gave": probe.gave and probe.gave._asdict()}
                for probe in pipeline.probes(self.question, compared(self.cards))
            ],
            "notice": scaling.notice(self.question),
            "progress": asdict(self.progress),
            "predicted_s": self.study.predicted_s,
            "prediction_error": self.prediction_error,
        }


def of(db: Database, study: Study, baseline: str = "") -> Report:
    """From what the store holds now; a study that goes on has a report of what there is.

    `baseline` is the arm to compare with instead of the study's own; one that is none is left out.
    """
    question = Question.parse(study.question)
    if baseline in baselines(question):
        question = question.model_copy(update={"baseline": baseline})
    now = arms.of(db, study, question)
    told = advice.outcome(study, question, now)
    return Report(
        study=study,
        question=question,
        status=now.status,
        progress=_progress(study, now),
        verdict=_overall(study, question, now),
        pairs=now.pairs,
        cards=now.cards,
        findings=tuple(_findings(now)),
        answer=told.sentence if told else _answer(question, now.cards),
        advice=told,
        tests=tuple(advice.tests_of(db, study.id)),
        learning={arm: _learning(of_arm, now.known) for arm, of_arm in now.runs_of.items()},
        roofline=roofline.of(db, question.arms(), now.runs_of),
        setup=setup.rows(question.arms(), now.runs_of),
    )


def baselines(question: Question) -> list[str]:
    """The arms that others may be compared with: one alone where the kind of study settles it."""
    labels = [arm.label for arm in question.arms()]
    return labels[:1] if question.kind in ("scaling", "advice") else labels


def own_baseline(study: Study) -> str:
    """The arm that the study itself compares with."""
    return Question.parse(study.question).baseline_label()


def _overall(study: Study, question: Question, now: Arms) -> Verdict:
    """Of all pairs together; while it goes on, that is said, too."""
    base = next(card for card in now.cards if card.arm == question.baseline_label())
    checks = [*comparable.overall(question, base, now.cards, now.found, now.known).checks]
    if because := _without_baseline(question, now.cards):
        checks.insert(0, Check("red", because))
    if now.status in runs.ACTIVE:
        checks.append(Check("amber", "The study goes on: what follows is of the runs so far."))
    if study.stopped_because:
        checks.append(Check("amber", study.stopped_because))
    return comparable.of(checks)


def _without_baseline(question: Question, cards: Sequence[Card]) -> str:
    """That the baseline failed and so nothing is compared; and the way out, if there is one."""
    baseline = next(card for card in cards if card.arm == question.baseline_label())
    if baseline.repeats or baseline.waiting:
        return ""
    others = [c.arm for c in cards if c.repeats and c.arm in baselines(question)]
    told = f"The baseline, {baseline.arm}, has no run that succeeded: nothing is compared with it."
    return f"{told} Choose another baseline: {'; '.join(others)}." if others else told


def _progress(study: Study, now: Arms) -> Progress:
    latest, found = now.latest, now.found
    active = [trial for trial in latest if trial.status in runs.ACTIVE]
    is_whole = not active and len(latest) == len(now.trials)
    return Progress(
        runs=len(latest),
        over=len(latest) - len(active),
        failed=sum(trial.status == "FAILED" for trial in latest),
        remaining_s=plan.remaining_s(latest, found, study.predicted_s) if active else None,
        actual_s=plan.waited_s(found.values()) if is_whole else None,
        is_as_planned=all(trial.status == "SUCCEEDED" for trial in latest),
    )


def _findings(now: Arms) -> list[Finding]:
    """An arm is held against others only where they compare."""
    fit = {card.arm: now.runs_of[card.arm] for card in compared(now.cards)}
    return [
        finding
        for arm, of_arm in now.runs_of.items()
        for finding in findings.of_arm(arm, of_arm, now.known, fit if arm in fit else {})
    ]


def _learning(of_arm: Sequence[Run], known: Mapping[str, Evidence]) -> list[Learning]:
    curves = (evidence.learning(known[run.id], run) for run in of_arm)
    return [curve for curve in curves if curve is not None]


def _answer(question: Question, cards: Sequence[Card]) -> str:
    """The study's question, answered in one sentence; empty while nothing can be said."""
    match question.kind:
        case "saturation":
            return saturation.answer(question, cards)
        case "scaling":
            return scaling.answer(question, cards)
        case "input":
            return pipeline.answer(question, compared(cards))
        case _:
            return _fastest(cards)


def _fastest(cards: Sequence[Card]) -> str:
    """Among arms that compare: the baseline and those with a speed-up."""
    ranked = [c for c in cards if c.samples_per_s and c.standing in ("baseline", "compared")]
    if len(ranked) < 2:
        return ""
    best = max(ranked, key=lambda card: card.samples_per_s.value if card.samples_per_s else 0)
    assert best.samples_per_s
    rate = f"{figure(best.samples_per_s.value)} samples/s"
    rivals = [card for card in ranked if card is not best and _overlaps(card, best)]
    if rivals:
        names = ", ".join(card.arm for card in rivals)
        if best.samples_per_s.low is None:
            return f"{best.arm} has the highest median, {rate}; too few repeats to tell it apart."
        return f"{best.arm} has the highest median, {rate}, but its interval overlaps: {names}."
    return f"{best.arm} is the fastest of those that compare, at {rate}."


def _overlaps(a: Card, b: Card) -> bool:
    """Also where an interval is not known."""
    one, two = a.samples_per_s, b.samples_per_s
    if not one or not two or None in (*one, *two):
        return True
    return (one.high or 0) >= (two.low or 0) and (two.high or 0) >= (one.low or 0)


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "level": verdict.level,
        "reasons": [{"level": check.level, "sentence": check.sentence} for check in verdict.checks],
    }


def _card_json(card: Card, verdict: Verdict) -> dict[str, Any]:
    raw = asdict(card)
    for name, value in raw.items():
        field = getattr(card, name)
        if isinstance(field, statistics.Estimate | Percentiles):
            raw[name] = field._asdict()
        elif name == "repeats":
            raw[name] = list(value)
    return raw | {"no_speedup": card.no_speedup, "comparable": verdict.level}
