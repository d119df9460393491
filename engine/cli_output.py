"""What the command line prints: tables for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from msgspec import structs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from engine import efficiency, launch, metrics
from engine.config import ACCELERATOR_NAMES, FRAMEWORK_NAMES
from engine.describe import device_names, throughput, took
from engine.devices import Hardware
from engine.failures import title
from engine.format import UNKNOWN, duration, figure, gib, metric
from engine.parity import Figure
from engine.tpu import results
from engine.tpu.check import TpuCheck
from storage.database import Database
from storage.runs import Run

POLL_S = 0.5
STATUS_STYLES = {
    "PENDING": "yellow",
    "RUNNING": "blue",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "STOPPED": "magenta",
}


def run_json(run: Run) -> dict[str, Any]:
    """A run as programs get it. `best` is None for a metric without a better end."""
    best = {
        key: {"best": metrics.best(key, s.min, s.max), "last": s.last}
        for key, s in run.metrics.items()
    }
    hidden = ("process", "journal_offset")
    shown = {k: v for k, v in structs.asdict(run).items() if k not in hidden}
    return shown | {"stopping": run.stopping, "metrics": best}


def submitted(run_id: str, as_json: bool) -> None:
    if as_json:
        json_line({"id": run_id, "status": "PENDING"})
    else:
        click.echo(f"Submitted run {run_id}. Follow it: python -m engine watch {run_id}")


def other_settings(differing: Mapping[str, tuple[str | None, str]]) -> None:
    """To be told with a run that is submitted: its supervisor goes by settings of its own."""
    if differing:
        told = ", ".join(f"{name} {its} (here {ours})" for name, (its, ours) in differing.items())
        click.echo(
            f"The store's supervisor was started with other settings, and runs go by those: {told}."
            " To have yours: python -m engine supervisor --stop, and submit again.",
            err=True,
        )


def stopping(run: Run, as_json: bool) -> None:
    if as_json:
        json_line({"id": run.id, "status": run.status, "stopping": run.stopping})
    elif run.stopping:
        click.echo(f"Asked run {run.id} to stop.")
    else:
        click.echo(f"Run {run.id} is {run.status}.")


def changed(run_id: str, done: str, as_json: bool) -> None:
    if as_json:
        json_line({"id": run_id, "done": done})
    else:
        click.echo(f"Run {run_id} is {done}.")


def will_go(gone: Sequence[Run], what: str) -> None:
    """To be told before it is asked for."""
    for run in gone:
        console(stderr=True).print(plain(f"{run.id} {run.name}"))
    console(stderr=True).print(plain(what))


def supervisor_ended(pid: int | None) -> None:
    if pid is None:
        click.echo("This store has no supervisor.")
    else:
        click.echo(f"Ended the supervisor, pid {pid}. Runs that train go on.")


def run_list(listed: list[Run], as_json: bool, none: str = "") -> None:
    if as_json:
        for run in listed:
            json_line(run_json(run))
        return
    if not listed:
        click.echo(none or "No runs yet. Submit one: python -m engine submit")
        return
    figures = ("accuracy", "throughput", "took")
    rows = table(
        ("id", "status", "name", "framework", "device", *figures), figures, ("name", "device")
    )
    for run in listed:
        rows.add_row(*_row(run))
    console().print(rows)


def run(shown: Run, as_json: bool) -> None:
    """One run; its metrics as best and last."""
    if as_json:
        json_line(run_json(shown))
        return
    rows = pairs([(label, plain(value)) for label, value in _facts(shown)])
    out = console()
    out.print(rows)
    if not shown.metrics:
        return
    _time_and_use(out, shown)
    figures = table(("metric", "best", "last"), ("best", "last"))
    for key, summary in shown.metrics.items():
        best = metrics.best(key, summary.min, summary.max)
        figures.add_row(metrics.describe(key).title, metric(key, best), metric(key, summary.last))
    out.print()
    out.print(figures)


def _time_and_use(out: Console, shown: Run) -> None:
    """The time ledger, and what the hardware was used to."""
    found, ledger = efficiency.of(shown.facts), shown.facts.get("ledger", {})
    parts = (
        f"{account.replace('_', ' ')} {duration(s)}" for account, s in ledger.items() if s > 0.05
    )
    use = {
        "time ledger": ", ".join(parts),
        "throughput": metric("samples_per_s", throughput(shown)),
        "achieved": found.flops_per_s and f"{figure(found.flops_per_s / 1e9)} GFLOP/s",
        "MFU": found.mfu and f"{100 * found.mfu:.1f} %",
        "binds": found.binds,
        "peak memory": gib(shown.facts.get("peak_memory_bytes")),
    }
    rows = pairs([(label, value or UNKNOWN) for label, value in use.items()])
    out.print()
    out.print(rows)


def hardware(found: Hardware, leases: dict[str, str], as_json: bool) -> None:
    if as_json:
        for device in found.devices:
            json_line(asdict(device) | {"leased_by": leases.get(device.id)})
        for what, why in found.missing.items():
            kind, _, number = what.partition(":")
            json_line({"accelerator": kind, "id": what if number else None, "missing": why})
        return
    rows = table(("device", "name", "memory", "found by", "in use by"))
    for device in found.devices:
        user = leases.get(device.id, "nobody")
        rows.add_row(device.id, device.name, gib(device.memory_bytes), device.found_by, user)
    console().print(rows)
    for what, why in found.missing.items():
        click.echo(f"No {ACCELERATOR_NAMES.get(what, what)}: {why}")


def parity(figures: Iterable[Figure], as_json: bool) -> list[Figure]:
    """Each figure as it comes, or all in one table; the figures."""
    found = []
    for one in figures:
        found.append(one)
        if as_json:
            json_line(_parity_json(one))
    if not as_json:
        console().print(_parity_table(found))
    return found


def _parity_json(one: Figure) -> dict[str, Any]:
    return {
        "name": (
            f"{one.workload}, {one.framework}: training loss of epoch {one.epoch}, "
            f"{one.samples:,} samples each"
        ),
        "value": one.difference if math.isfinite(one.difference) else None,
        "unit": "relative to PyTorch",
        "wanted": f"<= {one.wanted:g}",
        "loss": one.loss if math.isfinite(one.loss) else None,
    }


def _parity_table(figures: list[Figure]) -> Table:
    right = ("epoch", "samples", "training loss", "differs by", "wanted")
    rows = table(("workload", "framework", *right), right)
    for one in figures:
        rows.add_row(
            one.workload,
            FRAMEWORK_NAMES[one.framework],
            str(one.epoch),
            f"{one.samples:,}",
            f"{one.loss:.6f}",
            Text(f"{one.difference:.1e}", style="" if one.is_met else "red"),
            f"{one.wanted:.0e} or less",
        )
    return rows


def tpu_check(found: TpuCheck, as_json: bool) -> None:
    if as_json:
        json_line(found.as_json())
        return
    rows = pairs([(label, plain(value)) for label, value in results.facts(found)])
    console().print(rows)


def follow(db: Database, run_id: str, as_json: bool, tend: Callable[[], None]) -> Run:
    """Show progress until the run is over, and then the run. `tend` is called at every look."""
    if as_json:
        final = _follow_lines(db, run_id, tend, lambda now: json_line(_progress(now)), _progress)
    elif console(stderr=True).is_terminal:
        final = _follow_bar(db, run_id, tend)
    else:
        final = _follow_lines(
            db, run_id, tend, lambda now: click.echo(_line(now), err=True), _doing
        )
    run(final, as_json)
    return final


def _follow_lines(
    db: Database,
    run_id: str,
    tend: Callable[[], None],
    tell: Callable[[Run], None],
    state: Callable[[Run], object],
) -> Run:
    """Tell of the run whenever its state is another."""
    before = None
    while (now := launch.find(db, run_id)).active:
        if state(now) != before:
            tell(now)
        before = state(now)
        tend()
        time.sleep(POLL_S)
    return now


def _progress(run: Run) -> dict[str, Any]:
    names = ("id", "status", "stopping", "phase", "step", "total_steps", "epoch")
    return {name: getattr(run, name) for name in names}


def _line(run: Run) -> str:
    """What the run does, and what its epochs have come to."""
    known = [key for key in ("train_loss", "validation_accuracy") if key in run.metrics]
    told = [
        f"{metrics.describe(key).title.lower()} {metric(key, run.metrics[key].last)}"
        for key in known
    ]
    return ", ".join([_doing(run), *told])


def _follow_bar(db: Database, run_id: str, tend: Callable[[], None]) -> Run:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True)) as bar:
        now = launch.find(db, run_id)
        task = bar.add_task(_doing(now), total=now.total_steps, completed=now.step)
        while now.active:
            bar.update(task, completed=now.step, description=_doing(now))
            tend()
            time.sleep(POLL_S)
            now = launch.find(db, run_id)
        bar.update(task, completed=now.step, description=now.status)
    return now


def _doing(run: Run) -> str:
    if run.stopping:
        return "stopping"
    return (
        f"epoch {min(int(run.epoch) + 1, run.config['epochs'])}/{run.config['epochs']}"
        if (run.step)
        else (run.phase or run.status.lower())
    )


def _row(run: Run) -> tuple[Text, ...]:
    accuracy = run.metrics.get("validation_accuracy")
    status = Text(_status(run), style=STATUS_STYLES[run.status])
    cells = (
        run.name,
        FRAMEWORK_NAMES.get(run.framework, run.framework),
        device_names(run),
        metric("validation_accuracy", accuracy.max if accuracy else None),
        metric("samples_per_s", throughput(run)),
        duration(took(run)),
    )
    return (Text(run.id), status, *map(plain, cells))


def _status(run: Run) -> str:
    return "STOPPING" if run.stopping else run.status


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [
        ("id", run.id),
        ("name", run.name),
        ("status", _status(run)),
        ("failure", f"{title(run.failure_kind)}: {run.failure}" if run.failure_kind else ""),
        ("submitted", f"{_local(run.submitted_at)} by {run.submitted_by}"),
        ("took", duration(took(run))),
        ("device", device_names(run)),
        ("progress", f"step {figure(run.step)} of {figure(run.total_steps)}"),
        (
            "goes on",
            f"from {run.cloned_from}, epoch {run.resumed_epoch}" if run.resumed_epoch else "",
        ),
        ("tags", ", ".join(run.tags)),
        ("notes", run.notes),
        ("config", json.dumps(run.config)),
    ]
    return [(label, value) for label, value in facts if value]


def _local(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def plain(text: str) -> Text:
    """User text as it is: no markup, and control characters made visible."""
    return Text(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )


def console(stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for a table where there is none."""
    out = Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=140)


def table(headings: Sequence[str], right: Collection[str] = (), cut: Collection[str] = ()) -> Table:
    """Without lines; `right` are aligned so, and only `cut` may take several lines if any do."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        justify = "right" if heading in right else "left"
        made.add_column(heading, justify=justify, no_wrap=bool(cut) and heading not in cut)
    return made


def pairs(told: Iterable[tuple[str, str | Text]]) -> Table:
    """A label and a value a line."""
    made = Table(box=None, show_header=False, pad_edge=False)
    for label, value in told:
        made.add_row(Text(label, style="bold"), value)
    return made


def json_line(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
