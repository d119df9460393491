"""The command line: the same engine as the pages.

Tables are for people; `--json` prints one JSON object a line. Exit status: 0 it went well, 1 the
run failed or the program does not compile, 2 bad input, 3 the run was stopped, 4 no such run, 5 not
possible now, 130 watching was interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine import (
    changes,
    cli_fields,
    cli_references,
    cli_studies,
    devices,
    launch,
    parity,
    queries,
    supervision,
    supervisor,
    transfer,
)
from engine import cli_output as output
from engine.cli_options import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_NOT_POSSIBLE,
    EXIT_OF_STATUS,
    config_from,
    config_option,
    given_pairs,
    json_option,
    set_option,
    store_argument,
    store_option,
)
from engine.config import FRAMEWORK_NAMES, WORKLOADS, unflatten
from engine.launch import NotPossible
from engine.settings import Settings
from engine.tpu import chips, program, results
from storage import database, run_list, runs
from storage.run_list import Wanted

PARITY_SAMPLES = 10_000  # minutes on two cores, for all workloads


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@store_argument
def main() -> None:
    """Train the same model on whatever hardware there is, and keep what it took.

    Exit status: 0 well, 1 the run failed, 2 bad input, 3 stopped, 4 no such run, 5 not possible,
    130 watching was interrupted.
    """


@main.command()
@click.option("--framework", help=f"One of: {', '.join(FRAMEWORK_NAMES)}.")
@set_option
@config_option
@click.option("--name", default="", help="What to call the run.")
@click.option("--tag", "tags", multiple=True, help="For finding it again; repeatable.")
@click.option("--notes", default="", help="Why this run.")
@click.option("--priority", default="0", metavar="NUMBER", help="Higher goes first, -100 to 100.")
@click.option("--watch", is_flag=True, help="Follow the run until it is over.")
@json_option
@store_option
def submit(
    settings: Settings,
    framework: str | None,
    pairs: tuple[str, ...],
    config_file: Path | None,
    watch: bool,
    as_json: bool,
    **details: Any,
) -> None:
    """Put a run into the queue.

    \b
    Fields for --set, with their defaults and what each may be:
    {fields}
    """
    raw = config_from(framework, pairs, config_file)
    config, named = launch.check(raw, details, settings, devices.find())
    run_id = launch.submit(settings, config, named, by=launch.this_user())
    _submitted(settings, run_id, watch, as_json)


@main.command("list")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many.",
)
@click.option("--status", "statuses", multiple=True, help="Only these; repeatable.")
@click.option("--query", default="", help="Such as 'accuracy > 0.9 and framework = torch'.")
@click.option("--sort", default=run_list.NEWEST, show_default=True, help="By; -: descending.")
@click.option("--archived", is_flag=True, help="Archived runs too.")
@json_option
@store_option
def list_runs(
    settings: Settings,
    limit: int,
    statuses: tuple[str, ...],
    query: str,
    sort: str,
    archived: bool,
    as_json: bool,
) -> None:
    """Runs, the newest first."""
    chosen = [status.upper() for status in statuses] or runs.STATUSES
    unknown = next((status for status in chosen if status not in runs.STATUSES), None)
    if unknown:
        raise click.UsageError(
            f"Unknown status {unknown!r}. Choose one of: {', '.join(runs.STATUSES)}."
        )
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        wanted = Wanted(
            query=query, statuses=chosen, archived=archived, vocabulary=queries.vocabulary()
        )
        listed = run_list.page(db, wanted, sort=sort, limit=limit).runs
    none = "No run matches. All runs: python -m engine list" if query or statuses else ""
    output.run_list(listed, as_json, none)


@main.command()
@click.argument("run_id")
@json_option
@store_option
def show(settings: Settings, run_id: str, as_json: bool) -> None:
    """All about one run."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        output.run(launch.find(db, run_id), as_json)


@main.command()
@click.argument("run_id")
@json_option
@store_option
def watch(settings: Settings, run_id: str, as_json: bool) -> None:
    """Follow a run until it is over. Ctrl-C stops watching, not the run."""
    _watch(settings, run_id, as_json)


@main.command()
@click.argument("run_id")
@json_option
@store_option
def stop(settings: Settings, run_id: str, as_json: bool) -> None:
    """Stop a run: at once if it waits, after the steps in hand if it trains."""
    database.prepare(settings.store)
    launch.stop(settings, run_id, by=launch.this_user())
    with database.opened(settings.store) as db:
        output.stopping(launch.find(db, run_id), as_json)


@main.command()
@click.argument("run_id")
@click.option("--watch", is_flag=True, help="Follow the new run until it is over.")
@json_option
@store_option
def retry(settings: Settings, run_id: str, watch: bool, as_json: bool) -> None:
    """Submit a run's config once more, as a run of its own."""
    database.prepare(settings.store)
    new_id = launch.retry(settings, run_id, by=launch.this_user())
    _submitted(settings, new_id, watch, as_json)


@main.command()
@click.argument("run_id")
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Such as epochs=20; repeatable."
)
@click.option("--watch", is_flag=True, help="Follow the new run until it is over.")
@json_option
@store_option
def resume(
    settings: Settings, run_id: str, pairs: tuple[str, ...], watch: bool, as_json: bool
) -> None:
    """Go on from the last checkpoint of a run that failed, was stopped, or wants more epochs."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        config = launch.find(db, run_id).config
    changed = unflatten(given_pairs(pairs), config)
    new_id = launch.resume(settings, run_id, by=launch.this_user(), changes=changed)
    _submitted(settings, new_id, watch, as_json)


@main.command()
@click.argument("run_id")
@click.option("--name", help="What to call the run.")
@click.option("--notes", help="In place of its notes.")
@click.option("--tag", "tags", multiple=True, help="In place of its tags; repeatable.")
@click.option("--no-tags", is_flag=True, help="Take all its tags away.")
@json_option
@store_option
def edit(
    settings: Settings,
    run_id: str,
    name: str | None,
    notes: str | None,
    tags: tuple[str, ...],
    no_tags: bool,
    as_json: bool,
) -> None:
    """Change what a run is called: its name, notes and tags."""
    given = {"name": name, "notes": notes, "tags": tags if tags or no_tags else None}
    changed = {key: value for key, value in given.items() if value is not None}
    if not changed:
        raise click.UsageError("Nothing to change. Give --name, --notes, --tag or --no-tags.")
    database.prepare(settings.store)
    changes.edit(settings, run_id, by=launch.this_user(), changes=changed)
    with database.opened(settings.store) as db:
        output.run(launch.find(db, run_id), as_json)


@main.command()
@click.argument("run_ids", nargs=-1, required=True)
@json_option
@store_option
def archive(settings: Settings, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Leave runs out of lists; they stay as they are."""
    _each(settings, run_ids, changes.archive, "archived", as_json)


@main.command()
@click.argument("run_ids", nargs=-1, required=True)
@json_option
@store_option
def restore(settings: Settings, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Bring archived runs back into lists."""
    _each(settings, run_ids, changes.restore, "restored", as_json)


@main.command()
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@store_option
def delete(settings: Settings, run_ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove runs that are over, with their points and files. Asks first."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        found = [launch.find(db, run_id) for run_id in run_ids]
    if not yes:
        output.will_go(found, changes.what_goes(settings, found))
        click.confirm("Delete for good?", abort=True, err=True)
    _each(settings, run_ids, changes.delete, "deleted", as_json)


@main.command("export")
@click.argument("run_id")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
@store_option
def export_run(settings: Settings, run_id: str, file: Path | None, as_json: bool) -> None:
    """Write a whole run into one file, which another store imports with nothing lost."""
    database.prepare(settings.store)
    target = file or Path(f"{run_id[:60]}{transfer.SUFFIX}")
    try:
        transfer.export_to(settings, run_id, target)
    except OSError as error:
        raise NotPossible(
            f"{str(target)!r} cannot be written: {error.strerror}. Name another file or make room."
        ) from None
    output.changed(run_id, f"exported to {target}", as_json)


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@store_option
def import_run(settings: Settings, file: Path, as_json: bool) -> None:
    """Add a run that was exported, under its own id."""
    try:
        run_id = transfer.load(settings, file, by=launch.this_user())
    except transfer.BadFile as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    output.changed(run_id, "imported", as_json)


@main.command("devices")
@json_option
@store_option
def list_devices(settings: Settings, as_json: bool) -> None:
    """The hardware of this host, who uses it, and why an expected device is missing."""
    leases: dict[str, str] = {}
    if database.path_of(settings.store).exists():
        database.prepare(settings.store)
        with database.opened(settings.store) as db:
            leases = runs.leases(db)
    output.hardware(devices.find(), leases, as_json)


@main.command("parity")
@click.option(
    "--workload",
    "names",
    multiple=True,
    type=click.Choice(list(WORKLOADS)),
    help="Only these; repeatable.",
)
@click.option(
    "--samples",
    default=PARITY_SAMPLES,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of the training split: an epoch goes over so many.",
)
@set_option
@json_option
@store_option
def compare_frameworks(
    settings: Settings,
    names: tuple[str, ...],
    samples: int,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train each workload in every framework on the CPU, and compare their losses.

    All start from the same weights and see the samples in the same order, at a constant rate.
    Exit status 1 if one differs from PyTorch by more than is wanted.

    An epoch here goes over the first --samples of the training split, and not over all of it
    unless you say so: what rounding does to a loss grows with every step.
    """
    configs, samples = parity.configs_of(names, given_pairs(pairs), samples)
    try:
        figures = output.parity(parity.figures(settings, configs, samples), as_json)
    except parity.Failed as error:
        raise NotPossible(str(error)) from None
    sys.exit(0 if all(figure.is_met for figure in figures) else EXIT_OF_STATUS["FAILED"])


@main.command("tpu-check")
@click.option(
    "--topology",
    default=chips.DEFAULT_TOPOLOGY,
    show_default=True,
    help="Which TPU, and how many chips of it: v4, v5e, v5p or v6e.",
)
@set_option
@config_option
@json_option
@store_option
def tpu_check(
    settings: Settings,
    topology: str,
    pairs: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Compile a config's training step for a TPU, without one.

    Fields for --set are those of submit; devices=4 shares the batch among 4 chips. A config of
    another framework is checked as it would be under PyTorch/XLA on a TPU. The first check installs
    the compiler.
    """
    config = program.config_of(config_from(None, pairs, config_file))
    found = results.check_and_keep(
        settings, config, topology, lambda line: click.echo(line, err=True)
    )
    output.tpu_check(found, as_json)
    sys.exit(0 if found.fits else EXIT_OF_STATUS["FAILED"])


@main.command("supervisor")
@click.option("--stop", "end", is_flag=True, help="End the store's supervisor; its runs train on.")
@store_option
def supervise(settings: Settings, end: bool) -> None:
    """Start and record this store's runs until told to stop. One for each store."""
    if end:
        output.supervisor_ended(launch.end_supervisor(settings))
        return
    database.prepare(settings.store)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with supervision.locked(settings.store, settings):
            supervisor.say(f"Supervising {settings.store}, pid {os.getpid()}.")
            supervisor.Supervisor(settings).run(stopping)
    except supervision.AlreadySupervised as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_NOT_POSSIBLE)


def _each(
    settings: Settings,
    run_ids: tuple[str, ...],
    verb: Callable[..., None],
    done: str,
    as_json: bool,
) -> None:
    """Do it to one run after the other, up to the first with which it is not possible."""
    database.prepare(settings.store)
    for run_id in run_ids:
        verb(settings, run_id, by=launch.this_user())
        output.changed(run_id, done, as_json)


def _submitted(settings: Settings, run_id: str, watch: bool, as_json: bool) -> None:
    found = supervision.of(settings.store)
    output.other_settings(supervision.differing(found, settings) if found else {})
    if watch:
        _watch(settings, run_id, as_json)
    else:
        output.submitted(run_id, as_json)


def _watch(settings: Settings, run_id: str, as_json: bool) -> None:
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        launch.find(db, run_id)
        try:
            run = output.follow(db, run_id, as_json, lambda: launch.keep_supervised(settings))
        except KeyboardInterrupt:
            click.echo(f"\nStopped watching; run {run_id} goes on.", err=True)
            sys.exit(EXIT_INTERRUPTED)
    sys.exit(EXIT_OF_STATUS[run.status])


main.add_command(cli_studies.study)
main.add_command(cli_references.reference)
submit.help = (submit.help or "").replace(
    "{fields}", "\n    ".join(f"  {line}" for line in cli_fields.lines())
)
