"""A study's report: how it stands, whether its arms compare, what each took, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine import statistics
from engine.format import figure
from engine.studies import (
    comparable,
    evidence,
    findings,
    measured,
    pipeline,
    plan,
    roofline,
    saturation,
    scaling,
    setup,
)
from engine.studies.comparable import Check, Verdict
from engine.studies.evidence import Evidence, Learning
from engine.studies.findings import Finding
from engine.studies.giving_up import is_given_up
from engine.studies.measured import Card, interval
from engine.studies.question import Question
from engine.studies.roofline import Roofline
from engine.studies.windows import Percentiles
from storage import runs, studies
from storage.database import Database
from storage.runs import Run
from storage.studies import Study, Trial

OF_WHOLE_RUNS = {"epochs", "keep_last_batch"}  # changes that leave a steady step as it is


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
    study: Study
    question: Question
    status: str
    progress: Progress
    verdict: Verdict
    pairs: dict[str, Verdict]
    cards: tuple[Card, ...]
    findings: tuple[Finding, ...]
    answer: str
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
    trials = studies.trials(db, study.id)
    latest = studies.latest(trials)
    found = runs.of_study(db, study.id)
    known = {run.id: evidence.of(db, run) for run in found.values() if run.status == "SUCCEEDED"}
    target = question.target_accuracy
    cards = [measured.card(arm, latest, found, known, target) for arm in question.arms()]
    by_arm = {card.arm: card for card in cards}
    runs_of = {card.arm: [found[r.run_id] for r in card.repeats] for card in cards}
    base = by_arm[question.baseline_label()]
    pairs = {card.arm: comparable.pair(question, base, card, found, known) for card in cards}
    cards = [_with_speedup(card, base, pairs[card.arm]) for card in cards]
    status = status_of(study, latest)
    return Report(
        study=study,
        question=question,
        status=status,
        progress=_progress(study, trials, latest, found),
        verdict=_overall(study, question, cards, pairs, status),
        pairs=pairs,
        cards=tuple(cards),
        findings=tuple(_findings(cards, runs_of, known)),
        answer=_answer(question, cards),
        learning={arm: _learning(of_arm, known) for arm, of_arm in runs_of.items()},
        roofline=roofline.of(db, question.arms(), runs_of),
        setup=setup.rows(question.arms(), runs_of),
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


def _with_speedup(card: Card, baseline: Card, verdict: Verdict) -> Card:
    """The ratio of samples/s; none for a red pair, nor of the baseline to itself."""
    if card.arm == baseline.arm:
        return replace(card, standing="baseline")
    if verdict.level == "red":
        return replace(card, standing="not comparable")
    speedup = statistics.ratio(card.rates, baseline.rates)
    return replace(card, speedup=speedup, standing="compared" if speedup else "not timed")


def compared(cards: Sequence[Card]) -> list[Card]:
    """Without those of a red pair."""
    return [card for card in cards if card.standing != "not comparable"]


def test_of(shown: Report, finding: Finding) -> dict[str, Any]:
    """The question that tests a finding: its arm as it was, against the arm with the change."""
    config = next(arm.config for arm in shown.question.arms() if arm.label == finding.arm)
    advice = {"rule": finding.rule, "changes": finding.changes, "promised": finding.promised}
    return {
        "kind": "advice",
        "base": config.model_dump(mode="json") | finding.both,
        "seeds": shown.question.seeds,
        "cool_down_s": shown.question.cool_down_s,
        "accuracy_tolerance": shown.question.accuracy_tolerance,
        "advice": advice,
    }


def baselines(question: Question) -> list[str]:
    """The arms that others may be compared with: one alone where the kind of study settles it."""
    labels = [arm.label for arm in question.arms()]
    return labels[:1] if question.kind in ("scaling", "advice") else labels


def own_baseline(study: Study) -> str:
    """The arm that the study itself compares with."""
    return Question.parse(study.question).baseline_label()


def _overall(
    study: Study,
    question: Question,
    cards: Sequence[Card],
    pairs: Mapping[str, Verdict],
    status: str,
) -> Verdict:
    """The worst of all pairs; while it goes on, that is said, too."""
    baseline = question.baseline_label()
    of_others = [verdict for arm, verdict in pairs.items() if arm != baseline]
    told = of_others or list(pairs.values())
    checks = list(dict.fromkeys(check for verdict in told for check in verdict.checks))
    if because := _without_baseline(question, cards):
        checks.insert(0, Check("red", because))
    if status in runs.ACTIVE:
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


def _progress(
    study: Study, trials: Sequence[Trial], latest: Sequence[Trial], found: Mapping[str, Run]
) -> Progress:
    active = [trial for trial in latest if trial.status in runs.ACTIVE]
    is_whole = not active and len(latest) == len(trials)
    return Progress(
        runs=len(latest),
        over=len(latest) - len(active),
        failed=sum(trial.status == "FAILED" for trial in latest),
        remaining_s=plan.remaining_s(latest, found, study.predicted_s) if active else None,
        actual_s=plan.waited_s(found.values()) if is_whole else None,
        is_as_planned=all(trial.status == "SUCCEEDED" for trial in latest),
    )


def _findings(
    cards: Sequence[Card], runs_of: Mapping[str, Sequence[Run]], known: Mapping[str, Evidence]
) -> list[Finding]:
    """An arm is held against others only where they compare."""
    fit = {card.arm: runs_of[card.arm] for card in compared(cards)}
    return [
        finding
        for arm, of_arm in runs_of.items()
        for finding in findings.of_arm(arm, of_arm, known, fit if arm in fit else {})
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
        case "advice":
            return _whether_it_held(question, cards)
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


def _whether_it_held(question: Question, cards: Sequence[Card]) -> str:
    """What was promised against what was measured.

    Of more epochs, or of none that recompile, the promise is of the run as a whole: epochs by the
    time from start to end.
    """
    advice, measured_ratio = question.advice, cards[-1].speedup
    if advice is None or measured_ratio is None:
        return ""
    if advice.changes.keys() & OF_WHOLE_RUNS:
        measured_ratio = _ratio_of_whole_runs(question, cards)
    if measured_ratio is None:
        return ""
    told = f"{measured_ratio.value:.2f}x as fast{interval(measured_ratio)}"
    if advice.promised is None:
        faster = measured_ratio.low is not None and measured_ratio.low > 1
        return f"The advice ({advice.rule}) {'held' if faster else 'did not hold'}: {told}."
    held = measured_ratio.value >= advice.promised * (1 - pipeline.HELD_WITHIN)
    verb = "held" if held else "did not hold"
    return (
        f"The advice ({advice.rule}) {verb}: {advice.promised:.2f}x was promised, and it is {told}."
    )


def _ratio_of_whole_runs(question: Question, cards: Sequence[Card]) -> statistics.Estimate | None:
    epochs = [arm.config.epochs for arm in question.arms()]
    as_it_was, changed = (
        [count / repeat.took_s for repeat in card.repeats if repeat.took_s]
        for count, card in zip(epochs, cards, strict=True)
    )
    return statistics.ratio(changed, as_it_was)


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
