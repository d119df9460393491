"""`study …` on the command line: ask, follow, list, show, stop, resume and extend studies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn

from engine import cli_study_output as output
from engine import devices, launch
from engine.cli_options import (
    EXIT_INTERRUPTED,
    EXIT_OF_STATUS,
    config_from,
    config_option,
    json_option,
    set_option,
    store_argument,
    store_option,
)
from engine.cli_output import console, json_line
from engine.config import ACCELERATOR_NAMES, FRAMEWORK_NAMES
from engine.format import duration
from engine.settings import Settings
from engine.studies import actions, report
from engine.studies.cost import Prices, is_price
from engine.studies.question import usual_workers
from engine.studies.report import Report
from storage import database, runs, studies

POLL_S = 1.0
KINDS = {
    "run-on": "run_on",
    "scaling": "scaling",
    "saturation": "saturation",
    "input": "input",
}
LISTS = (
    *("devices", "frameworks", "batch_sizes", "precisions", "device_counts"),
    *("workers", "prefetches", "pinned"),
)
SINGLE = (
    *("mode", "seeds", "target_accuracy", "accuracy_tolerance"),
    *("baseline", "order_seed", "cool_down_s"),
)


@click.group()
@store_argument
def study() -> None:
    """Studies: one configuration over devices, sizes and seeds, answered by a report."""


def study_options(command: Callable[..., None]) -> Callable[..., None]:
    """What all kinds of study take."""
    options = (
        click.option(
            "--devices",
            help="cpu, gpu, tpu or ids such as gpu:1; with commas. Run-on takes all, unless told.",
        ),
        click.option("--frameworks", help=f"With commas, of: {', '.join(FRAMEWORK_NAMES)}."),
        click.option("--seeds", type=int, help="Repeats of each arm; 5 unless told."),
        click.option("--target-accuracy", type=float, help="To reach, 0 to 1."),
        click.option("--accuracy-tolerance", type=float, help="Allowed between arms, 0 to 1."),
        click.option("--baseline", help="The arm that others are compared with, by its name."),
        click.option("--cool-down", "cool_down_s", type=float, help="Seconds before each run."),
        click.option("--order-seed", type=int, help="Fixes the random order of the runs."),
        click.option("--name", default="", help="What to call the study."),
        click.option("--watch", is_flag=True, help="Follow the study until it is over."),
    )
    for option in (set_option, config_option, *options, json_option, store_option):
        command = option(command)
    return command


def _ask(
    kind: str,
    settings: Settings,
    pairs: tuple[str, ...],
    config_file: Path | None,
    name: str,
    watch: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """A config's framework and accelerator are the first that the study names."""
    base = config_from(None, pairs, config_file)
    ask(settings, question_of(kind, base, given), name, watch, as_json)


@study.command("run-on")
@study_options
def study_run_on(**given: Any) -> None:
    """Which hardware, which framework? Each framework on each device, repeated."""
    _ask("run-on", **given)


@study.command("saturation")
@click.option("--batch-sizes", help="With commas; powers of two unless told.")
@click.option("--precisions", help="With commas, such as fp32,bf16.")
@study_options
def study_saturation(**given: Any) -> None:
    """How large a batch? Throughput up to the knee and to the edge of memory."""
    _ask("saturation", **given)


@study.command("scaling")
@click.option("--device-counts", help="With commas; 1,2,4 unless told.")
@click.option(
    "--mode",
    type=click.Choice(["strong", "weak"]),
    help="Keep the global batch (strong, unless told), or each device's (weak).",
)
@study_options
def study_scaling(**given: Any) -> None:
    """What do more devices give? Speed-up, efficiency and the serial fraction."""
    _ask("scaling", **given)


@study.command("input")
@click.option("--workers", help="Of the loader on the host, such as 0,1,2; up to all cores.")
@click.option("--prefetches", help="Batches that each worker keeps ready, such as 2,8.")
@click.option("--pinned", help="Page-locked memory, which a GPU copies faster: true,false.")
@study_options
def study_input(**given: Any) -> None:
    """What does the input pipeline cost? The data set on the device, against a loader."""
    _ask("input", **given)


@study.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@store_option
def study_list(settings: Settings, limit: int, as_json: bool) -> None:
    """The newest studies."""
    _list(settings, limit, as_json)


@study.command("show")
@click.argument("study_id")
@click.option(
    "--price", "per_hour", multiple=True, metavar="KIND=$", help="An hour's; such as gpu=2.5."
)
@click.option("--kwh", type=float, help="$ a kWh of electricity.")
@click.option("--co2", type=float, help="g CO2 a kWh.")
@json_option
@store_option
def study_show(
    settings: Settings,
    study_id: str,
    per_hour: tuple[str, ...],
    kwh: float | None,
    co2: float | None,
    as_json: bool,
) -> None:
    """A study's report; with prices, what it cost and from when on an arm is cheaper."""
    prices = Prices(_per_hour(per_hour), _checked("--kwh", kwh), _checked("--co2", co2))
    output.show(of(settings, study_id), as_json, prices)


@study.command("stop")
@click.argument("study_id")
@json_option
@store_option
def study_stop(settings: Settings, study_id: str, as_json: bool) -> None:
    """Stop all runs of a study."""
    database.prepare(settings.store)
    actions.stop(settings, study_id, by=launch.this_user())
    told(settings, study_id, as_json)


@study.command("resume")
@click.argument("study_id")
@click.option("--seeds", default=0, type=click.IntRange(0, 500), help="Add so many repeats.")
@click.option("--watch", is_flag=True, help="Follow the study until it is over.")
@json_option
@store_option
def study_resume(settings: Settings, study_id: str, seeds: int, watch: bool, as_json: bool) -> None:
    """Run what has not succeeded, and with --seeds more repeats; nothing is repeated."""
    resume(settings, study_id, seeds)
    if watch:
        follow(settings, study_id, as_json)
    else:
        told(settings, study_id, as_json)


def _per_hour(given: tuple[str, ...]) -> dict[str, float]:
    """`gpu=2.5` -> $ an hour by kind of hardware."""
    found = {}
    for pair in given:
        kind, _, text = pair.partition("=")
        try:
            price = float(text)
        except ValueError:
            price = float("nan")
        if kind not in ACCELERATOR_NAMES or not is_price(price):
            kinds = ", ".join(ACCELERATOR_NAMES)
            raise click.UsageError(f"--price takes KIND=$ with KIND of {kinds}, got {pair!r}.")
        found[kind] = price
    return found


def _checked(option: str, value: float | None) -> float | None:
    if value is not None and not is_price(value):
        raise click.UsageError(f"{option} must be between 0 and a million, got {value:g}.")
    return value


def question_of(kind: str, base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options as the fields of a `Question`; lists are given with commas."""
    raw: dict[str, Any] = {"kind": KINDS[kind], "base": base}
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
    hardware = devices.find()
    if raw["kind"] == "run_on" and "accelerator" not in raw["base"]:
        raw.setdefault("devices", [kind for kind in ACCELERATOR_NAMES if hardware.of(kind)])
    question = actions.check(raw, settings, hardware)
    for reason in question.left_out():
        click.echo(f"Left out: {reason}.", err=True)
    click.echo(output.plan_in_words(question, *actions.preview(settings, question)), err=True)
    study_id = actions.submit(settings, question, by=launch.this_user(), name=name)
    if watch:
        follow(settings, study_id, as_json)
    else:
        told(settings, study_id, as_json)


def follow(settings: Settings, study_id: str, as_json: bool) -> None:
    """Show progress until no run is active, then the report; exit as a run's outcome would."""
    try:
        final = _follow(settings, study_id, as_json)
    except KeyboardInterrupt:
        click.echo(f"\nStopped watching; study {study_id} goes on.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    output.show(final, as_json)
    sys.exit(EXIT_OF_STATUS[final.status])


def told(settings: Settings, study_id: str, as_json: bool) -> None:
    """How a study stands, in a line."""
    now = of(settings, study_id)
    if as_json:
        json_line({"id": study_id, "status": now.status, "runs": now.progress.runs})
    else:
        click.echo(
            f"Study {study_id}: {now.status}, {now.progress.over:,} of {now.progress.runs:,} runs "
            f"over. Its report: python -m engine study show {study_id}"
        )


def of(settings: Settings, study_id: str) -> Report:
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        return report.of(db, actions.find(db, study_id))


def _list(settings: Settings, limit: int, as_json: bool) -> None:
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        rows = [
            (study, studies.latest(studies.trials(db, study.id)))
            for study in studies.list_newest(db, limit)
        ]
    output.listed(rows, as_json)


def _follow(settings: Settings, study_id: str, as_json: bool) -> Report:
    """Look every second; what is printed on the way is lines or a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    terminal = console(stderr=True)
    in_lines = not as_json and not terminal.is_terminal
    with Progress(*columns, console=terminal, disable=as_json or in_lines) as bar:
        task, before = bar.add_task("runs", total=None, left=""), None
        while True:
            now = of(settings, study_id)
            state = (now.status, now.progress.over)
            if as_json and state != before:
                json_line({"id": study_id, "status": now.status} | asdict(now.progress))
            done = f"{now.progress.over}/{now.progress.runs} runs"
            seconds = now.progress.remaining_s
            left = "" if seconds is None else f"{duration(seconds)} left"
            if in_lines and (before is None or state[1] != before[1]):
                click.echo(", ".join(filter(None, (done, left))), err=True)
            before = state
            bar.update(task, total=now.progress.runs, completed=now.progress.over,
                       description=done, left=left)  # fmt: skip
            if now.status in runs.FINAL:
                return now
            launch.keep_supervised(settings)
            time.sleep(POLL_S)


def resume(settings: Settings, study_id: str, seeds: int) -> None:
    """Go on with what has not succeeded, or with more seeds."""
    database.prepare(settings.store)
    by = launch.this_user()
    if seeds:
        actions.extend(settings, study_id, seeds=seeds, by=by)
    else:
        actions.resume(settings, study_id, by=by)
