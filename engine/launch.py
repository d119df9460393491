"""What pages and the command line ask of runs: check, submit, stop, retry; and who supervises.

Whoever acts is an argument. What is changed of runs that are recorded: `engine/changes.py`.
"""

from __future__ import annotations

import getpass
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
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
from engine.problems import ConfigError, Problem
from engine.settings import PROJECT, Settings
from storage import database, ids, runs
from storage.runs import Run

MOST_NAME_CHARS = 200
SAID_ELSEWHERE = ("devices", "timeout_s")  # or of no interest in a name
LOG_TAIL_BYTES = 64 << 10
SUPERVISOR_START_S = 10.0

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
