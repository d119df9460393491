"""All that pages and the command line ask for: check, submit, stop, retry; and who supervises.

Every change of a run goes through here, with the acting user as an argument.
"""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from engine import (
    checkpoints,
    devices,
    footprint,
    queue,
    store_problems,
    supervision,
    supervisor,
)
from engine.config import (
    ACCELERATOR_NAMES,
    FRAMEWORK_NAMES,
    IMPOSSIBLE_PAIRS,
    RunConfig,
    RunDetails,
)
from engine.describe import setting_name, where
from engine.devices import Hardware
from engine.format import amount, counted
from engine.problems import ConfigError, Problem
from engine.settings import PROJECT, Settings
from storage import database, ids, references, runs, studies, views
from storage.runs import Run
from storage.views import View

MOST_NAME_CHARS = 200
MOST_LOSERS = 20  # that are named before runs are deleted
SAID_ELSEWHERE = ("devices", "timeout_s")  # or of no interest in a name
LOG_TAIL_BYTES = 64 << 10
SUPERVISOR_START_S = 10.0
ANOTHER_NAME = "Choose another name, or rename or remove that one."

logger = logging.getLogger("accelboard")


class UnknownRun(LookupError):
    """No run of this store has that id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"No run has the id {run_id[:60]!r}. List the runs to find its id.")


class NotPossible(ValueError):
    """The run is not in a state in which that can be done."""


def check(
    raw: Mapping[str, Any], details: Mapping[str, Any], settings: Settings, hardware: Hardware
) -> tuple[RunConfig, RunDetails]:
    """Validate a config and what people call it, against this host too.

    An accelerator that is not given is the best this host offers the framework. Raise
    `ConfigError` with a sentence for each problem.
    """
    problems: list[Problem] = []
    config, named = None, None
    try:
        config = RunConfig.parse(_with_accelerator(raw, hardware))
        problems += problems_here(config, settings, hardware)
    except ConfigError as error:
        problems += error.problems
    try:
        named = RunDetails.parse(details)
    except ConfigError as error:
        problems += error.problems
    if problems or config is None or named is None:
        raise ConfigError(problems)
    return config, named


def problems_here(config: RunConfig, settings: Settings, hardware: Hardware) -> list[Problem]:
    """Why this host cannot run a config that is right in itself."""
    found = []
    interpreter = settings.interpreter(config.framework)
    missing = devices.framework_missing(config.framework, interpreter)
    if missing:
        name = FRAMEWORK_NAMES[config.framework]
        found.append(Problem("framework", f"{name} cannot run here: {missing}."))
    impossible = queue.why_impossible(config, hardware)
    if impossible:
        field = "devices" if hardware.of(config.accelerator) else "accelerator"
        found.append(Problem(field, impossible))
    if config.accelerator == "tpu" and hardware.of("tpu"):
        without = devices.libtpu_missing(interpreter)
        found += [Problem("accelerator", without)] if without else []
    asked = [
        device
        for device in hardware.of(config.accelerator)
        if isinstance(config.devices, int) or device.id in config.devices
    ]
    lacking = filter(None, (devices.precision_missing(each, config.precision) for each in asked))
    found += [Problem("precision", sentence) for sentence in lacking][:1]
    too_large = footprint.too_large(config, psutil.virtual_memory().total, asked)
    return [*found, too_large] if too_large else found


def accelerators_of(framework: str, hardware: Hardware) -> tuple[list[str], dict[str, str]]:
    """Those that the framework can use on this host, the best first; the others, and why not."""
    possible: list[str] = []
    reasons: dict[str, str] = {}
    for accelerator in ("tpu", "gpu", "cpu"):
        impossible = IMPOSSIBLE_PAIRS.get((framework, accelerator))
        if impossible:
            reasons[accelerator] = f"{impossible}."
        elif hardware.of(accelerator):
            possible.append(accelerator)
        else:
            name = ACCELERATOR_NAMES[accelerator]
            reasons[accelerator] = hardware.missing.get(accelerator, f"This host has no {name}.")
    return possible, reasons


def submit(
    settings: Settings,
    config: RunConfig,
    details: RunDetails,
    *,
    by: str,
    cloned_from: str | None = None,
    resumed_epoch: int | None = None,
) -> str:
    """Put a checked run into the queue, see to it that the store has a supervisor; its id."""
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        run_id = add(db, config, details, by, cloned_from, resumed_epoch)
    ensure_supervisor(settings)
    return run_id


def add(
    db: database.Database,
    config: RunConfig,
    details: RunDetails,
    by: str,
    cloned_from: str | None = None,
    resumed_epoch: int | None = None,
) -> str:
    """Put a checked run into the queue, as part of the transaction that is open; its id."""
    return runs.create(
        db,
        name=details.name.strip() or default_name(config),
        config=config.model_dump(mode="json"),
        total_steps=config.total_steps,
        submitted_by=by,
        notes=details.notes,
        tags=details.tags,
        priority=details.priority,
        cloned_from=cloned_from,
        resumed_epoch=resumed_epoch,
    )


def stop(settings: Settings, run_id: str, *, by: str) -> None:
    """Stop a waiting run at once; ask a running one to. Raise `UnknownRun` or `NotPossible`."""
    with database.opened(settings.store) as db:
        run = find(db, run_id)
        if not runs.request_stop(db, run_id, by, time.time()):
            raise NotPossible(f"Run {run_id} is over already: {run.status}.")
    ensure_supervisor(settings)


def retry(settings: Settings, run_id: str, *, by: str) -> str:
    """Submit a run's config once more, as a run of its own; its id."""
    with database.opened(settings.store) as db:
        run = find(db, run_id)
    if run.active:
        raise NotPossible(f"Run {run_id} is {run.status}; stop it, or clone it instead.")
    config, details = check(run.config, details_of(run), settings, devices.find())
    return submit(settings, config, details, by=by, cloned_from=run_id)


def resume(
    settings: Settings, run_id: str, *, by: str, changes: Mapping[str, Any] | None = None
) -> str:
    """Submit a run that goes on from the last checkpoint of another that is over; its id.

    `changes` are fields of the config, such as more epochs. Raise `NotPossible` where there is no
    checkpoint that fits.
    """
    with database.opened(settings.store) as db:
        run = find(db, run_id)
    if run.active:
        raise NotPossible(f"Run {run_id} is {run.status}; stop it first.")
    raw = {**run.config, **(changes or {})}
    config, details = check(raw, details_of(run), settings, devices.find())
    try:
        origin = checkpoints.origin_of(checkpoint_path(settings, run))
        checkpoints.check_fits(origin, config)
    except checkpoints.Unusable as error:
        raise NotPossible(f"Run {run_id} cannot be resumed. {error}") from None
    return submit(settings, config, details, by=by, cloned_from=run_id, resumed_epoch=origin.epoch)


def edit(
    settings: Settings,
    run_id: str,
    *,
    by: str,
    changes: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> None:
    """Change a run's name, tags or notes. Raise `UnknownRun`, `ConfigError` or `NotPossible`.

    With `before`, what the editor saw of these: only what they changed is changed, tags one by
    one, and a name or notes only if nobody else changed them meanwhile.
    """
    details = RunDetails.parse(dict(changes))
    given = details.model_dump(include=set(changes) - {"priority"})
    if not given.get("name", "a name").strip():
        raise ConfigError([Problem("name", "Name must not be empty. Write a name.")])
    seen, tags = dict(before or {}), given.get("tags")
    texts = {k: v for k, v in given.items() if k != "tags" and v != seen.get(k)}
    guards = {f"{part}_before": seen[part] for part in texts if part in seen}
    with database.opened(settings.store) as db, database.transaction(db):
        run = find(db, run_id)
        if not runs.edit(db, run_id, **texts, **guards, tags=None if "tags" in seen else tags):
            changed = [p for p in texts if getattr(run, p) not in (seen.get(p), texts[p])]
            raise NotPossible(
                f"Someone else changed the {' and the '.join(changed)} of run {run_id} meanwhile. "
                "Copy yours, then close this menu and open it again: it shows theirs."
            )
        if tags is not None and "tags" in seen:
            runs.add_tags(db, run_id, set(tags) - set(seen["tags"]))
            runs.remove_tags(db, run_id, set(seen["tags"]) - set(tags))
    note(settings, f"{by} edited {', '.join(given)} of run {run_id}")


def add_tags(settings: Settings, run_id: str, tags: Sequence[str], *, by: str) -> None:
    """Beside those that the run has. Raise `UnknownRun`, or `ConfigError` if they are too many."""
    with database.opened(settings.store) as db, database.transaction(db):
        run = find(db, run_id)
        added = RunDetails.parse({"tags": list(tags)}).tags
        RunDetails.parse({"tags": list(dict.fromkeys([*run.tags, *added]))})
        runs.add_tags(db, run_id, added)
    note(settings, f"{by} tagged run {run_id}: {', '.join(added)}")


def remove_tags(settings: Settings, run_id: str, tags: Sequence[str], *, by: str) -> None:
    """Only these; the run may lack them. Raise `UnknownRun`."""
    with database.opened(settings.store) as db:
        find(db, run_id)
        runs.remove_tags(db, run_id, tags)
    note(settings, f"{by} took tags from run {run_id}: {', '.join(tags)}")


def archive(settings: Settings, run_id: str, *, by: str) -> None:
    """Leave a run out of lists; it stays as it is. Raise `UnknownRun` or `NotPossible`."""
    _archive(settings, run_id, True, by)


def restore(settings: Settings, run_id: str, *, by: str) -> None:
    """Bring an archived run back into lists. Raise `UnknownRun` or `NotPossible`."""
    _archive(settings, run_id, False, by)


def delete(settings: Settings, run_id: str, *, by: str) -> None:
    """Remove a run that is over, its points and its folder. Raise `UnknownRun`, `NotPossible`."""
    with database.opened(settings.store) as db:
        find(db, run_id)
        if not runs.delete(db, run_id):
            raise NotPossible(f"Run {run_id} is not over, so it stays. Stop it first.")
    note(settings, f"{by} deleted run {run_id}")
    folder = supervisor.run_dir_of(settings.store, run_id)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return  # it never ran
    except OSError as error:
        raise NotPossible(
            f"Run {run_id} is deleted, but its folder {str(folder)!r} could not be removed: "
            f"{error.strerror}. Remove it by hand."
        ) from None


def what_goes(settings: Settings, gone: Sequence[Run]) -> str:
    """What deleting runs takes away, in words: theirs first, then what studies and jobs lose."""
    files = [path for run in gone for path in _files(settings, run)]
    points = sum(summary.points for run in gone for summary in run.metrics.values())
    size = amount(float(sum(path.stat().st_size for path in files)), "B")
    whose = f"of {counted(len(gone), 'run')}" if len(gone) > 1 else "of this run"
    told = (
        f"{counted(points, 'point')} and {counted(len(files), 'file')} ({size}) {whose} go for "
        "good, checkpoints and logs among them."
    )
    return " ".join([told, *who_loses(settings, [run.id for run in gone])])


def _files(settings: Settings, run: Run) -> list[Path]:
    folder = supervisor.run_dir_of(settings.store, run.id)
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def who_loses(settings: Settings, run_ids: Sequence[str]) -> list[str]:
    """A sentence on each study and each reference job that has some of these as evidence."""
    with database.opened(settings.store) as db:
        of_studies = studies.losses(db, run_ids)
        of_jobs = references.losses(db, run_ids)
    told = [f"Study {loss.name!r} loses {loss.gone:,} of its {counted(loss.of, 'run')}."
            for loss in of_studies]  # fmt: skip
    told += [f"Reference job {loss.name!r} loses {loss.gone:,} of its "
             f"{counted(loss.of, 'repeat')}." for loss in of_jobs]  # fmt: skip
    more = len(told) - MOST_LOSERS
    return told if more <= 0 else [*told[:MOST_LOSERS], f"So do {more:,} others."]


def _archive(settings: Settings, run_id: str, archived: bool, by: str) -> None:
    with database.opened(settings.store) as db:
        find(db, run_id)
        if not runs.set_archived(db, run_id, archived):
            state = "archived" if archived else "not archived"
            raise NotPossible(f"Run {run_id} is {state} already.")
    note(settings, f"{by} {'archived' if archived else 'restored'} run {run_id}")


def save_view(
    settings: Settings, *, name: str, page: str, state: Mapping[str, Sequence[str]], by: str
) -> str:
    """Keep a page's state under a name; its short id. Raise `NotPossible` if the name is taken."""
    with database.opened(settings.store) as db:
        view_id = views.create(db, name=name, page=page, state=state, by=by)
    if view_id is None:
        raise NotPossible(f"There is a view {name!r} already. {ANOTHER_NAME}")
    note(settings, f"{by} saved view {view_id}")
    return view_id


def rename_view(settings: Settings, view: View, name: str, *, by: str) -> None:
    """Call a saved view otherwise; its link stays. Raise `NotPossible` if it cannot be."""
    with database.opened(settings.store) as db:
        if not views.rename(db, view, name):
            is_there = views.get(db, view.id) is not None
            raise NotPossible(
                f"There is a view {name!r} already. {ANOTHER_NAME}"
                if is_there
                else f"The view {view.name!r} was removed meanwhile. Save it anew."
            )
    note(settings, f"{by} renamed view {view.id}")


def delete_view(settings: Settings, view_id: str, *, by: str) -> None:
    """Remove a saved view; one that is gone already stays so."""
    with database.opened(settings.store) as db:
        gone = views.delete(db, view_id)
    if gone:
        note(settings, f"{by} deleted view {view_id}")


def restore_view(settings: Settings, view: View, *, by: str) -> None:
    """Bring back a view that was removed, under its old link."""
    with database.opened(settings.store) as db:
        is_back = views.put_back(db, view)
    if is_back:
        note(settings, f"{by} restored view {view.id}")


def note(settings: Settings, sentence: str) -> None:
    """Who changed what, a line each in the store's `changes.log`.

    The change itself is made by then: on a full disk, it goes without its line.
    """
    at = datetime.now().astimezone().isoformat(timespec="seconds")
    line = "".join(c if c.isprintable() else " " for c in sentence)  # tags may be of several lines
    try:
        with (settings.store / "changes.log").open("a", encoding="utf-8") as log:
            log.write(f"{at} {line}.\n")
    except OSError as error:
        logger.warning("%s. That has no line in changes.log: %s.", sentence, error)


def details_of(run: Run) -> dict[str, Any]:
    return {"name": run.name, "tags": run.tags, "notes": run.notes, "priority": run.priority}


def default_name(config: RunConfig) -> str:
    """`mlp, PyTorch on CPU, seed 3`: also what differs from what a form begins with."""
    framework = FRAMEWORK_NAMES[config.framework]
    told = f"{config.workload.name}, {framework} on {where(config)}"
    usual = RunConfig.parse(
        {"framework": config.framework, "accelerator": config.accelerator,
         "workload": {"name": config.workload.name}, "dataset": {"name": config.dataset.name}}
    ).flat()  # fmt: skip
    usual["dataset"] = RunConfig().dataset.name
    differing = [
        f"{setting_name(name)} {value}"
        for name, value in config.flat().items()
        if usual.get(name) != value and name not in SAID_ELSEWHERE
    ]
    return ", ".join([told, *differing])[:MOST_NAME_CHARS]


def find(db: Any, run_id: str) -> Run:
    """The run of that id; raise `UnknownRun` for any text that is none."""
    run = runs.get(db, run_id) if ids.is_id(run_id) else None
    if run is None:
        raise UnknownRun(run_id)
    return run


def checkpoint_path(settings: Settings, run: Run) -> Path:
    return checkpoints.path_in(supervisor.run_dir_of(settings.store, run.id))


def log_path(settings: Settings, run: Run) -> Path:
    return supervisor.run_dir_of(settings.store, run.id) / "trainer.log"


def log_tail(settings: Settings, run: Run, max_bytes: int = LOG_TAIL_BYTES) -> str:
    """The end of what the trainer printed, from the start of a line; may be empty."""
    path = log_path(settings, run)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - max_bytes))
        tail = file.read().decode("utf-8", "replace")
    return tail if size <= max_bytes else tail.partition("\n")[2]


def this_user() -> str:
    """Who acts, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def supervisor_pid(settings: Settings) -> int | None:
    return supervision.pid_of(settings.store)


def ensure_supervisor(settings: Settings, *, as_configured: bool = False) -> None:
    """See to it that the store has a supervisor that runs the code that is here now.

    One that runs other code leaves for one that does not, and `as_configured`, so does one with
    other settings. Trainers go on meanwhile, and the new one finds them.
    """
    found = supervision.of(settings.store)
    if found and (
        supervision.is_outdated(found) or (as_configured and supervision.differing(found, settings))
    ):
        _ask_to_leave(settings, found.pid)
    keep_supervised(settings)


def keep_supervised(settings: Settings) -> None:
    """Start the store's supervisor, in a session of its own, unless it has one of any kind.

    Where that fails, what is in the queue waits for the next that starts one.
    """
    if supervisor_pid(settings) is not None:
        return
    try:
        _start_supervisor(settings)
    except (OSError, sqlite3.Error) as error:
        told = store_problems.sentence(error, settings.store)
        logger.warning("No supervisor could be started, so runs wait. %s", told)


def _start_supervisor(settings: Settings) -> None:
    database.prepare(settings.store)
    with (settings.store / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "supervisor", "--store", str(settings.store)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    give_up = time.monotonic() + SUPERVISOR_START_S
    while supervisor_pid(settings) is None and time.monotonic() < give_up:
        if process.poll() is not None and supervisor_pid(settings) is None:
            return  # its log says why; pages say that there is none
        time.sleep(0.05)


def end_supervisor(settings: Settings) -> int | None:
    """Ask the store's supervisor to leave, and wait for that; its PID, None if there is none."""
    pid = supervisor_pid(settings)
    if pid is not None:
        _ask_to_leave(settings, pid)
    return pid


def _ask_to_leave(settings: Settings, pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # somebody else has asked it just before
    give_up = time.monotonic() + SUPERVISOR_START_S
    while supervisor_pid(settings) == pid and time.monotonic() < give_up:
        time.sleep(0.05)


def _with_accelerator(raw: Mapping[str, Any], hardware: Hardware) -> Mapping[str, Any]:
    if raw.get("accelerator") is not None:
        return raw
    possible, _ = accelerators_of(str(raw.get("framework", "torch")), hardware)
    return {**raw, "accelerator": possible[0]} if possible else raw
