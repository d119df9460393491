"""`study …` on the command line: ask, follow, list, show, stop, resume and extend studies."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from engine import cli_output as output
from engine import devices, launch
from engine.format import UNKNOWN, duration, figure, gib
from engine.settings import Settings
from engine.statistics import Estimate
from engine.studies import actions, report, scaling
from engine.studies.measured import Card
from engine.studies.plan import Planned, Prediction
from engine.studies.question import KIND_NAMES, Question, usual_workers
from engine.studies.report import Report
from storage import database, runs, studies

POLL_S = 1.0
TITLES = {
    "run-on": "run_on",
    "scaling": "scaling",
    "saturation": "saturation",
    "input": "input",
}
LISTS = ("devices", "frameworks", "batch_sizes", "precisions", "device_counts", "workers")
SINGLE = ("mode", "seeds", "target_accuracy", "accuracy_tolerance", "baseline", "order_seed")
LEVEL_STYLES = {"green": "green", "amber": "yellow", "red": "red"}


def question_of(kind: str, base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options as the fields of a `Question`; lists are given with commas."""
    raw: dict[str, Any] = {"kind": TITLES[kind], "base": base}
    for name in LISTS:
        if given.get(name):
            raw[name] = [part.strip() for part in given[name].split(",") if part.strip()]
    if kind == "input":
        raw.setdefault("workers", usual_workers())
    for name in SINGLE:
        if given.get(name) is not None:
            raw[name] = given[name]
    return raw


def ask(settings: Settings, raw: dict[str, Any], name: str, watch: bool, as_json: bool) -> None:
    """Say the plan, submit it, and follow it if asked to."""
    database.prepare(settings.store)
    question = actions.check(raw, settings, devices.find())
    for reason in question.left_out():
        click.echo(f"Left out: {reason}.", err=True)
    click.echo(plan_in_words(question, *actions.preview(settings, question)), err=True)
    study_id = actions.submit(settings, question, by=launch.this_user(), name=name)
    if watch:
        follow(settings, study_id, as_json)
    else:
        told(settings, study_id, as_json)


def plan_in_words(question: Question, planned: list[Planned], predicted: Prediction) -> str:
    arms = len(question.arms())
    return (
        f"{KIND_NAMES[question.kind]} {arms:,} arms x {question.seeds:,} seeds, and a warm-up of "
        f"each: {len(planned):,} runs in random order. {_predicted(predicted)}"
    )


def follow(settings: Settings, study_id: str, as_json: bool) -> None:
    """Show progress until no run is active, then the report; exit as a run's outcome would."""
    try:
        final = _follow(settings, study_id, as_json)
    except KeyboardInterrupt:
        click.echo(f"\nStopped watching; study {study_id} goes on.", err=True)
        sys.exit(130)
    show(final, as_json)
    sys.exit({"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 3}[final.status])


def told(settings: Settings, study_id: str, as_json: bool) -> None:
    """How a study stands, in a line."""
    now = of(settings, study_id)
    if as_json:
        _json({"id": study_id, "status": now.status, "runs": now.progress.runs})
    else:
        click.echo(
            f"Study {study_id}: {now.status}, {now.progress.over:,} of {now.progress.runs:,} runs "
            f"over. Its report: python -m engine study show {study_id}"
        )


def of(settings: Settings, study_id: str) -> Report:
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        return report.of(db, actions.find(db, study_id))


def listed(settings: Settings, limit: int, as_json: bool) -> None:
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        rows = [
            (study, studies.latest(studies.trials(db, study.id)))
            for study in studies.list_newest(db, limit)
        ]
    if as_json:
        for study, latest in rows:
            _json({"id": study.id, "name": study.name, "kind": study.kind, "runs": len(latest),
                   "status": report.status_of(study, latest)})  # fmt: skip
        return
    if not rows:
        click.echo(
            "No studies yet. Ask one: python -m engine study run-on --frameworks torch,keras"
        )
        return
    table = _table(("id", "status", "kind", "runs", "name"))
    for study, latest in rows:
        over = sum(trial.status in runs.FINAL for trial in latest)
        kind, count = KIND_NAMES[study.kind], f"{over}/{len(latest)}"
        status = report.status_of(study, latest)
        table.add_row(study.id, status, kind, count, output.plain(study.name))
    output.console().print(table)


def show(shown: Report, as_json: bool) -> None:
    """Verdict first, then the report card and the findings; or all of it as one JSON object."""
    if as_json:
        _json(shown.as_json())
        return
    console = output.console()
    level = shown.verdict.level
    console.print(output.plain(f"{shown.study.name} ({shown.study.id}), {shown.status}"))
    if notice := scaling.notice(shown.question):
        console.print(output.plain(notice))
    console.print(Text(f"Comparability: {level}", style=LEVEL_STYLES[level]))
    for check in shown.verdict.checks:
        console.print(Text(f"  {check.level}: ", style=LEVEL_STYLES[check.level]),
                      output.plain(check.sentence), sep="")  # fmt: skip
    console.print(_cards(shown.cards))
    for line in filter(None, [shown.answer, *(f"{f.arm}. {f.sentence}" for f in shown.findings)]):
        console.print(output.plain(line))
    click.echo(_duration(shown))


def with_interval(estimate: Estimate | None, show_figure: Callable[[float], str] = figure) -> str:
    """`251 [248, 260]`; without an interval the median alone."""
    if estimate is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return show_figure(estimate.value)
    low, high = show_figure(estimate.low), show_figure(estimate.high)
    return f"{show_figure(estimate.value)} [{low}, {high}]"


def _cards(cards: tuple[Card, ...]) -> Table:
    table = _table(("arm", "repeats", "step, ms", "samples/s", "took, s", "speed-up", "accuracy",
                    "memory", "to target"))  # fmt: skip
    for card in cards:
        accuracy = card.final_accuracy
        memory = card.peak_memory_bytes
        table.add_row(
            output.plain(card.arm),
            f"{len(card.repeats)}/{card.asked}",
            with_interval(card.step_time_ms),
            with_interval(card.samples_per_s),
            with_interval(card.took_s),
            with_interval(card.speedup) if card.speedup else card.no_speedup,
            UNKNOWN if accuracy is None else f"{100 * accuracy:.1f} %",
            gib(None if memory is None else round(memory)),
            with_interval(card.time_to_target_s) if card.time_to_target_s else card.target,
        )
    return table


def _duration(shown: Report) -> str:
    predicted, actual = shown.study.predicted_s, shown.progress.actual_s
    if actual is None:
        return f"Predicted: {duration(predicted)}."
    error = shown.prediction_error
    off = "" if error is None else f", {100 * error:+.0f} % off the prediction"
    return f"Took {duration(actual)} of runs; predicted were {duration(predicted)}{off}."


def _predicted(predicted: Prediction) -> str:
    if predicted.seconds is not None:
        return f"By this store's history about {duration(predicted.seconds)}."
    return f"How long is not known: no history of {', '.join(predicted.unknown)}."


def _follow(settings: Settings, study_id: str, as_json: bool) -> Report:
    """Look every second; what is printed on the way is a line or a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=output.console(stderr=True), disable=as_json) as bar:
        task, before = bar.add_task("runs", total=None, left=""), None
        while True:
            now = of(settings, study_id)
            state = (now.status, now.progress.over)
            if as_json and state != before:
                _json({"id": study_id, "status": now.status} | asdict(now.progress))
            before, left = state, duration(now.progress.remaining_s)
            bar.update(task, total=now.progress.runs, completed=now.progress.over,
                       description=f"{now.progress.over}/{now.progress.runs} runs",
                       left=f"{left} left")  # fmt: skip
            if now.status in runs.FINAL:
                return now
            launch.ensure_supervisor(settings)
            time.sleep(POLL_S)


def resume(settings: Settings, study_id: str, seeds: int) -> None:
    """Go on with what has not succeeded, or with more seeds."""
    database.prepare(settings.store)
    by = launch.this_user()
    if seeds:
        actions.extend(settings, study_id, seeds=seeds, by=by)
    else:
        actions.resume(settings, study_id, by=by)


def _table(headings: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def _json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
