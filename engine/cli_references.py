"""`reference …` on the command line: name jobs, repeat and judge them, see and acknowledge alerts.

For cron and continuous integration: `python -m engine reference` repeats all of them. Exit status:
0 all are in their bands or have no band yet, 1 an alert was raised, 4 no such job, 5 not possible
now.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime

import click

from engine import launch, references
from engine.cli_options import (
    EXIT_INTERRUPTED,
    EXIT_NOT_POSSIBLE,
    EXIT_OF_STATUS,
    json_option,
    store_argument,
    store_option,
)
from engine.cli_output import console, json_line, plain, table
from engine.problems import ConfigError
from engine.references import FEWEST, Judgement
from engine.settings import Settings
from storage import alerts, database
from storage import references as stored
from storage.references import Reference

POLL_S = 0.5
MOST_LISTED = 1000


@click.group(invoke_without_command=True)
@store_argument
@json_option
@click.pass_context
def reference(context: click.Context, as_json: bool) -> None:
    """Reference jobs: repeated from time to time, with an alert when their throughput changes.

    Without a command, all of them are repeated, one after the other, as by `run --all`.
    """
    if context.invoked_subcommand is None:
        given = ["--all", *(["--json"] if as_json else [])]
        with reference_run.make_context("run", given, parent=context) as run:
            reference_run.invoke(run)


@reference.command("add")
@click.argument("run_id")
@click.option("--name", default="", help="What to call the job; the run's name unless given.")
@json_option
@store_option
def reference_add(settings: Settings, run_id: str, name: str, as_json: bool) -> None:
    """Name a run that succeeded as a reference job."""
    database.prepare(settings.store)
    named = references.add(settings, run_id, by=launch.this_user(), name=name)
    if as_json:
        json_line({"name": named, "run": run_id})
    else:
        console().print(plain(f"Run {run_id} is the reference job {named!r}."))


@reference.command("list")
@json_option
@store_option
def reference_list(settings: Settings, as_json: bool) -> None:
    """All reference jobs, each with how much history it has."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        rows = [(job, _repeats(db, job)) for job in stored.list_all(db)]
    if as_json:
        for job, repeats in rows:
            json_line({"name": job.name, "run": job.run_id, "repeats": repeats})
        return
    if not rows:
        click.echo("No reference jobs yet. Name one: python -m engine reference add RUN")
        return
    shown = table(("name", "of run", "repeats", "added by"))
    for job, repeats in rows:
        shown.add_row(plain(job.name), job.run_id, f"{repeats}", plain(job.created_by))
    console().print(shown)


@reference.command("run")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="All reference jobs, one after the other.")
@json_option
@store_option
def reference_run(settings: Settings, name: str | None, every: bool, as_json: bool) -> None:
    """Repeat a job, wait for it, and alert if it left the band of its own history.

    Exit status 1 if an alert was raised, 5 if a job could not be repeated.
    """
    if every == (name is not None):
        raise click.UsageError("Give the name of one reference job, or --all.")
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        jobs = stored.list_all(db) if every else [references.find(db, name or "")]
    if not jobs:
        click.echo("No reference jobs yet. Name one: python -m engine reference add RUN", err=True)
    found, refused = [], False
    for job in jobs:
        try:
            found += _repeat(settings, job, as_json)
        except (ConfigError, launch.NotPossible) as error:  # the other jobs have their turn
            click.echo(f"Error: {job.name} cannot be repeated. {error}", err=True)
            refused = True
    if any(one.standing == "alert" for one in found):
        sys.exit(EXIT_OF_STATUS["FAILED"])
    sys.exit(EXIT_NOT_POSSIBLE if refused else 0)


@reference.command("remove")
@click.argument("name")
@json_option
@store_option
def reference_remove(settings: Settings, name: str, as_json: bool) -> None:
    """Watch a job no longer; its runs and alerts stay."""
    database.prepare(settings.store)
    references.remove(settings, name, by=launch.this_user())
    if as_json:
        json_line({"name": name, "done": "removed"})
    else:
        console().print(plain(f"Reference job {name!r} is removed."))


@reference.command("alerts")
@json_option
@store_option
def reference_alerts(settings: Settings, as_json: bool) -> None:
    """Alerts, the newest first."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        listed = alerts.list_newest(db, MOST_LISTED)
    for alert in listed if as_json else ():
        json_line(
            {"id": alert.id, "reference": alert.reference, "run": alert.run_id,
             "raised_at": alert.raised_at, "sentence": alert.sentence,
             "changes": [list(change) for change in alert.changes], "sent": alert.sent,
             "acknowledged_at": alert.acknowledged_at, "acknowledged_by": alert.acknowledged_by}
        )  # fmt: skip
    if as_json:
        return
    shown = table(("id", "raised", "acknowledged by", "what"))
    for alert in listed:
        at = datetime.fromtimestamp(alert.raised_at).astimezone()
        shown.add_row(
            alert.id,
            f"{at:%Y-%m-%d %H:%M}",
            plain(alert.acknowledged_by or "nobody"),
            plain(alert.sentence),
        )
    console().print(shown if listed else "No alerts.")


@reference.command("acknowledge")
@click.argument("alert_id")
@json_option
@store_option
def reference_acknowledge(settings: Settings, alert_id: str, as_json: bool) -> None:
    """Take an alert off the dashboard; its run counts as history from now on."""
    database.prepare(settings.store)
    references.acknowledge(settings, alert_id, by=launch.this_user())
    if as_json:
        json_line({"id": alert_id, "done": "acknowledged"})
    else:
        click.echo(f"Alert {alert_id} is acknowledged.")


def _repeat(settings: Settings, job: Reference, as_json: bool) -> list[Judgement]:
    """First what an earlier call left, as when it was interrupted; then one more."""
    with database.opened(settings.store) as db:
        left = stored.unjudged(db, job.name)
    started = references.submit(settings, job, by=launch.this_user())
    found = []
    for run_id in (*left, started):
        _wait(settings, run_id)
        judged = references.judge(settings, job.name, run_id)
        if judged is not None:
            _tell(job, run_id, judged, as_json)
            found.append(judged)
    return found


def _wait(settings: Settings, run_id: str) -> None:
    try:
        with database.opened(settings.store) as db:
            while launch.find(db, run_id).active:
                launch.keep_supervised(settings)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo(f"\nStopped waiting; run {run_id} goes on, and the next call judges it.",
                   err=True)  # fmt: skip
        sys.exit(EXIT_INTERRUPTED)


def _tell(job: Reference, run_id: str, judged: Judgement, as_json: bool) -> None:
    if as_json:
        told = {"standing": judged.standing, "sentence": judged.sentence, "alert": judged.alert_id}
        json_line({"reference": job.name, "run": run_id} | told
                  | {"problems": list(judged.problems)})  # fmt: skip
    else:
        console().print(plain(f"{job.name}, run {run_id}: {judged.standing}, {judged.sentence}"))
    for problem in judged.problems:
        click.echo(f"Warning: the alert was not sent. {problem}", err=True)


def _repeats(db: database.Database, job: Reference) -> str:
    """How many there are; those of other hosts are counted too."""
    count = len(stored.history(db, job.name, "~", MOST_LISTED))
    return f"{count}" if count >= FEWEST else f"{count} of {FEWEST}"
