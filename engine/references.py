"""The regression watch: reference jobs, the band of their own history, and alerts.

A repeat is in the band if its samples/s are within median ± max(4 x 1.4826 x MAD, 3 %) of up to 50
earlier repeats of the same job on the same host and devices, five at least; right after a change
of devices, or of the workload's model, of those before it. 1.4826 x MAD estimates a normal
distribution's standard deviation (Rousseeuw and Croux, 1993) and heeds no single outlier.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from engine import changes, devices, launch, notify
from engine.config import RunConfig, RunDetails
from engine.describe import flattened, throughput, workload_version
from engine.format import UNKNOWN, figure
from engine.launch import NotPossible
from engine.problems import ConfigError, Problem
from engine.settings import Settings
from storage import alerts, database, references
from storage.database import Database
from storage.references import Reference
from storage.runs import Run

FEWEST, MOST = 5, 50  # earlier repeats that make a band
DEVIATIONS, SIGMA_OF_MAD = 4.0, 1.4826
NARROWEST = 0.03  # of the median, on either side
LONGEST_NAME = 100
TAG = "reference"


class UnknownReference(launch.UnknownRun):
    """No reference job of this store has that name."""

    def __init__(self, name: str) -> None:
        LookupError.__init__(
            self,
            f"No reference job is called {name[:60]!r}. List them: python -m engine reference list",
        )


class Band(NamedTuple):
    """In samples/s, of so many repeats."""

    low: float
    median: float
    high: float
    repeats: int


class Judgement(NamedTuple):
    """`standing` is "alert" for a repeat that left its band, or failed. `problems`: of sending."""

    standing: Literal["in band", "alert", "no history"]
    sentence: str
    alert_id: str | None = None
    problems: tuple[str, ...] = ()


def add(settings: Settings, run_id: str, *, by: str, name: str = "") -> str:
    """Name a run that succeeded as a reference job; the job's name."""
    with database.opened(settings.store) as db:
        run = launch.find(db, run_id)
        name = _named(name.strip() or run.name[:LONGEST_NAME].strip())
        if run.status != "SUCCEEDED":
            raise NotPossible(f"Run {run_id} is {run.status}; a reference is a run that succeeded.")
        config = RunConfig.parse(run.config).model_dump(mode="json")
        now = time.time()
        if not references.create(db, name=name, run_id=run_id, config=config, by=by, now=now):
            raise NotPossible(f"A reference job is called {name!r} already. Choose another name.")
    changes.note(settings, f"{by} named run {run_id} the reference job {name!r}")
    return name


def remove(settings: Settings, name: str, *, by: str) -> None:
    """Watch a job no longer; its runs and alerts stay."""
    with database.opened(settings.store) as db:
        if not references.remove(db, name):
            raise UnknownReference(name)
    changes.note(settings, f"{by} removed the reference job {name!r}")


def find(db: Database, name: str) -> Reference:
    found = references.get(db, name)
    if found is None:
        raise UnknownReference(name)
    return found


def submit(settings: Settings, reference: Reference, *, by: str) -> str:
    """Put a repeat into the queue, as a run like any other; its id. Raise `UnknownReference`."""
    config, details = launch.check(
        reference.config,
        RunDetails(name=f"Reference: {reference.name}", tags=(TAG,)).model_dump(),
        settings,
        devices.find(),
    )
    with database.opened(settings.store) as db, database.transaction(db):
        find(db, reference.name)  # it may have been removed meanwhile
        run_id = launch.add(db, config, details, by, reference.run_id)
        references.add_run(db, reference.name, run_id)
    launch.ensure_supervisor(settings)
    return run_id


def judge(settings: Settings, name: str, run_id: str) -> Judgement | None:
    """Of a repeat that is over: hold it against its history, and alert. None if it was judged.

    The alert is stored before it is sent, and a failure to send it loses nothing.
    """
    with database.opened(settings.store) as db:
        run = launch.find(db, run_id)
        with database.transaction(db):
            if not references.note_judged(db, name, run_id):
                return None
            earlier = history_of(references.history(db, name, run_id, MOST), run)
            found = against(run, earlier)
            if found.standing != "alert":
                return found
            differing = differences(earlier[0], run) if earlier else []
            sentence = f"Reference job {name}: {found.sentence}"
            alert_id = alerts.create(
                db, reference=name, run_id=run_id, sentence=sentence, changes=differing
            )
        problems = _send(settings, db, alert_id)
    return found._replace(alert_id=alert_id, problems=problems)


def against(run: Run, earlier: Sequence[Run]) -> Judgement:
    """Hold a run that is over against earlier ones of the same job."""
    if run.status != "SUCCEEDED":
        return Judgement("alert", f"run {run.id} {run.status.lower()}. {run.failure or ''}".strip())
    rate = throughput(run)
    if rate is None:
        return Judgement("alert", f"run {run.id} has no throughput: no steady steps were timed.")
    found = band([known for one in earlier if (known := throughput(one)) is not None])
    if found is None:
        return Judgement("no history", f"not enough history: {len(earlier)} of {FEWEST} repeats")
    told = (
        f"{figure(rate)} samples/s; the band of {found.repeats} earlier repeats is "
        f"{figure(found.low)} to {figure(found.high)}"
    )
    if found.low <= rate <= found.high:
        return Judgement("in band", told)
    way = "slower" if rate < found.low else "faster"
    off = abs(rate / found.median - 1)
    return Judgement("alert", f"{100 * off:.1f} % {way} than the median. {told}.")


def band(rates: Sequence[float]) -> Band | None:
    """None of too few."""
    if len(rates) < FEWEST:
        return None
    middle = float(np.median(rates))
    deviation = float(np.median(np.abs(np.asarray(rates) - middle)))
    half = max(DEVIATIONS * SIGMA_OF_MAD * deviation, NARROWEST * middle)
    return Band(middle - half, middle, middle + half, len(rates))


def differences(before: Run, now: Run) -> list[tuple[str, str, str]]:
    """(what, before, now) of versions, driver, devices and code that differ."""
    old, new = _surroundings(before), _surroundings(now)
    return [
        (name, old.get(name, UNKNOWN), new.get(name, UNKNOWN))
        for name in sorted({*old, *new})
        if old.get(name, UNKNOWN) != new.get(name, UNKNOWN)
    ]


def acknowledge(settings: Settings, alert_id: str, *, by: str) -> None:
    """Take an alert off the pages; its run counts as history from now on."""
    with database.opened(settings.store) as db:
        if not alerts.acknowledge(db, alert_id, by=by, now=time.time()):
            raise NotPossible(f"Alert {alert_id[:60]!r} is no open alert. List them to see.")
    changes.note(settings, f"{by} acknowledged alert {alert_id}")


def in_words(alert: alerts.Alert) -> str:
    """The alert with what had changed, as it is sent."""
    changed = "\n".join(f"{what}: {before} -> {now}" for what, before, now in alert.changes)
    told = f"What changed since the repeat before:\n{changed}" if changed else NOTHING_CHANGED
    return f"{alert.sentence}\nRun {alert.run_id}.\n{told}"


NOTHING_CHANGED = "No version, driver, device or commit is known to have changed."


def _send(settings: Settings, db: Database, alert_id: str) -> tuple[str, ...]:
    alert = alerts.get(db, alert_id)
    if alert is None or not settings.alerts.strip():
        return ()
    alerts.note_sent(db, alert_id, "sending was begun and has not ended")
    problems = tuple(notify.send(settings.alerts, "Accelboard alert", in_words(alert)))
    alerts.note_sent(db, alert_id, " ".join(problems) or "sent")
    for problem in problems:
        changes.note(settings, f"Alert {alert_id} was not sent. {problem.rstrip('.')}")
    return problems


def history_of(history: Sequence[Run], run: Run) -> list[Run]:
    """Of earlier repeats, the newest first, those that a run is held against.

    On the same host and the same model of devices, and of the same version of the workload. Where
    such repeats are too few since one of these has just changed, those before it: then the change
    comes with the alert.
    """
    here = [one for one in history if _place(one) == _place(run)]
    alike = [one for one in here if _kind(one) == _kind(run)]
    if len(alike) < FEWEST and here and _kind(here[0]) != _kind(run):
        return [one for one in here if _kind(one) == _kind(here[0])]
    return alike


def _place(run: Run) -> tuple[str | None, str, int]:
    return run.host, run.accelerator, len(run.devices)


def _kind(run: Run) -> tuple[tuple[str, ...], int]:
    return _models(run), workload_version(run)


def _models(run: Run) -> tuple[str, ...]:
    return tuple(sorted(str(device.get("name")) for device in run.devices))


def _surroundings(run: Run) -> dict[str, str]:
    flat = flattened(run.environment)
    flat.pop("interpreter", None)
    flat.pop("devices", None)
    return flat | {"device": ", ".join(_models(run))}


def _named(name: str) -> str:
    if 0 < len(name) <= LONGEST_NAME and name.isprintable():
        return name
    sentence = (
        f"A reference job's name has 1 to {LONGEST_NAME} printable characters, got {name[:60]!r}. "
        "Give it another with --name."
    )
    raise ConfigError([Problem("name", sentence)])
