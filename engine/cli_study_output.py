"""What `study …` prints: the plan, the list, a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from engine.cli_output import console, json_line, plain, table
from engine.format import UNKNOWN, amount, counted, duration, figure, gib
from engine.statistics import Estimate
from engine.studies import arms, cost, scaling
from engine.studies.cost import Prices
from engine.studies.measured import Card
from engine.studies.plan import Planned, Prediction
from engine.studies.question import KIND_NAMES, Question
from engine.studies.report import Report
from storage import runs
from storage.studies import Study, Trial

NO_PRICES = Prices({})
LEVEL_STYLES = {"green": "green", "amber": "yellow", "red": "red"}


def plan_in_words(question: Question, planned: list[Planned], predicted: Prediction) -> str:
    count = len(question.arms())
    return (
        f"{KIND_NAMES[question.kind]} {counted(count, 'arm')} x "
        f"{counted(question.seeds, 'seed')}, and a warm-up of each: "
        f"{len(planned):,} runs in random order. {_predicted(predicted)}"
    )


def listed(rows: Sequence[tuple[Study, Sequence[Trial]]], as_json: bool) -> None:
    """Studies, each with the last try of each of its cells."""
    if as_json:
        for study, latest in rows:
            json_line(_row_json(study, latest))
        return
    if not rows:
        click.echo(
            "No studies yet. Ask one: python -m engine study run-on --frameworks torch,keras"
        )
        return
    shown = table(("id", "status", "kind", "runs", "name"))
    for study, latest in rows:
        over = sum(trial.status in runs.FINAL for trial in latest)
        kind, count = KIND_NAMES[study.kind], f"{over}/{len(latest)}"
        shown.add_row(study.id, arms.status_of(study, latest), kind, count, plain(study.name))
    console().print(shown)


def _row_json(study: Study, latest: Sequence[Trial]) -> dict[str, Any]:
    status = arms.status_of(study, latest)
    return {
        "id": study.id,
        "name": study.name,
        "kind": study.kind,
        "runs": len(latest),
        "status": status,
    }


def show(shown: Report, as_json: bool, prices: Prices = NO_PRICES) -> None:
    """Verdict first, then the report card and the findings; or all of it as one JSON object."""
    if as_json:
        json_line(shown.as_json() | _costs_json(shown, prices))
        return
    out = console()
    level = shown.verdict.level
    out.print(plain(f"{shown.study.name} ({shown.study.id}), {shown.status}"))
    if notice := scaling.notice(shown.question):
        out.print(plain(notice))
    out.print(Text(f"Comparability: {level}", style=LEVEL_STYLES[level]))
    for check in shown.verdict.checks:
        out.print(Text(f"  {check.level}: ", style=LEVEL_STYLES[check.level]),
                      plain(check.sentence), sep="")  # fmt: skip
    out.print(_speeds(shown.cards))
    out.print(_uses(shown.cards))
    told = [shown.answer, *(f"{f.arm}. {f.sentence}" for f in shown.findings)]
    told += [f"{t.arm}. {t.sentence} (study {t.study_id})" for t in shown.tests]
    for line in filter(None, told):
        out.print(plain(line))
    for line in _costs(shown, prices):
        out.print(plain(line))
    click.echo(_duration(shown))


def _costs(shown: Report, prices: Prices) -> Iterator[str]:
    """What each arm cost by the prices, and from when on one is ahead."""
    if prices.given:
        yield f"Costs by: {cost.in_words(prices)}."
        for card in shown.cards:
            of_arm = cost.of(card, prices)
            told = of_arm.why_not or f"{with_interval(of_arm.usd, cost.usd)} a run"
            yield f"{card.arm}: {told}, CO2 {amount(of_arm.co2_g, 'g')}."
    yield from cost.break_evens(shown.cards, prices)


def _costs_json(shown: Report, prices: Prices) -> dict[str, Any]:
    costs = {card.arm: cost.of(card, prices) for card in shown.cards}
    told = {
        arm: one._asdict() | {"usd": one.usd and one.usd._asdict()} for arm, one in costs.items()
    }
    return {
        "costs": told if prices.given else {},
        "break_even": cost.break_evens(shown.cards, prices),
    }


def with_interval(estimate: Estimate | None, show_figure: Callable[[float], str] = figure) -> str:
    """`251 [248, 260]`; without an interval the median alone."""
    if estimate is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return show_figure(estimate.value)
    low, high = show_figure(estimate.low), show_figure(estimate.high)
    return f"{show_figure(estimate.value)} [{low}, {high}]"


def _speeds(cards: Sequence[Card]) -> Table:
    rows = table(
        ("arm", "repeats", "samples/s", "speed-up", "step, ms", "p50/p95/p99, ms", "took, s",
         "to target"),
        cut=("arm", "speed-up", "to target"),
    )  # fmt: skip
    for card in cards:
        rows.add_row(
            plain(card.arm),
            f"{len(card.repeats)}/{card.asked}",
            with_interval(card.samples_per_s),
            with_interval(card.speedup) if card.speedup else card.no_speedup,
            with_interval(card.step_time_ms),
            _tail(card),
            with_interval(card.took_s),
            with_interval(card.time_to_target_s) if card.time_to_target_s else card.target,
        )
    return rows


def _uses(cards: Sequence[Card]) -> Table:
    headings = ("arm", "accuracy", "memory", "MFU", "energy", "a sample", "energy is by")
    rows = table(headings, cut=("arm", "energy is by"))
    for card in cards:
        memory = card.peak_memory_bytes
        rows.add_row(
            plain(card.arm),
            _share(card.final_accuracy),
            gib(None if memory is None else round(memory)),
            _share(card.mfu),
            amount(card.energy_j, "J"),
            amount(card.joules_per_sample, "J"),
            plain(card.energy_provenance),
        )
    return rows


def _tail(card: Card) -> str:
    """Of windows of steps: no single step has a time of its own."""
    if card.windows is None:
        return UNKNOWN
    found = card.windows
    return "/".join(figure(value) for value in (found.p50_ms, found.p95_ms, found.p99_ms))


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def _duration(shown: Report) -> str:
    predicted, actual = shown.study.predicted_s, shown.progress.actual_s
    if predicted is None:
        took = "" if actual is None else f"Took {duration(actual)} of runs. "
        return f"{took}No time was predicted."
    if actual is None:
        return f"Predicted: {duration(predicted)}."
    error = shown.prediction_error
    off = "" if error is None else f", {100 * error:+.0f} % off the prediction"
    return f"Took {duration(actual)} of runs; predicted were {duration(predicted)}{off}."


def _predicted(predicted: Prediction) -> str:
    if predicted.seconds is not None:
        return f"By this store's history about {duration(predicted.seconds)}."
    return f"How long is not known: no run of it yet with {', '.join(predicted.unknown)}."
