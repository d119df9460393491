"""What people change of the runs and views that are recorded, with a line each in `changes.log`.

Whoever acts is an argument.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine import launch, supervisor
from engine.config import RunDetails
from engine.format import amount, counted
from engine.launch import NotPossible
from engine.problems import ConfigError, Problem
from engine.settings import Settings
from storage import database, references, runs, studies, views
from storage.runs import Run
from storage.views import View

MOST_LOSERS = 20  # that are named before runs are deleted

logger = logging.getLogger("accelboard")


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
        run = launch.find(db, run_id)
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
        run = launch.find(db, run_id)
        added = RunDetails.parse({"tags": list(tags)}).tags
        RunDetails.parse({"tags": list(dict.fromkeys([*run.tags, *added]))})
        runs.add_tags(db, run_id, added)
    note(settings, f"{by} tagged run {run_id}: {', '.join(added)}")


def remove_tags(settings: Settings, run_id: str, tags: Sequence[str], *, by: str) -> None:
    """Only these; the run may lack them. Raise `UnknownRun`."""
    with database.opened(settings.store) as db:
        launch.find(db, run_id)
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
        launch.find(db, run_id)
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
        launch.find(db, run_id)
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
        raise NotPossible(_taken(name))
    note(settings, f"{by} saved view {view_id}")
    return view_id


def rename_view(settings: Settings, view: View, name: str, *, by: str) -> None:
    """Call a saved view otherwise; its link stays. Raise `NotPossible` if it cannot be."""
    with database.opened(settings.store) as db:
        if not views.rename(db, view, name):
            gone = f"The view {view.name!r} was removed meanwhile. Save it anew."
            raise NotPossible(_taken(name) if views.get(db, view.id) else gone)
    note(settings, f"{by} renamed view {view.id}")


def delete_view(settings: Settings, view_id: str, *, by: str) -> None:
    """Remove a saved view; one that is gone already stays so."""
    with database.opened(settings.store) as db:
        gone = views.delete(db, view_id)
    if gone:
        note(settings, f"{by} deleted view {view_id}")


def restore_view(settings: Settings, view: View, *, by: str) -> None:
    """Bring back a view that was removed, under its old link; one that is there stays so. Raise
    `NotPossible` if its name is taken."""
    with database.opened(settings.store) as db:
        is_back = views.put_back(db, view)
        if not is_back and views.get(db, view.id) is None:
            raise NotPossible(_taken(view.name, "Rename or remove that one first."))
    if is_back:
        note(settings, f"{by} restored view {view.id}")


def _taken(name: str, way_out: str = "Choose another name, or rename or remove that one.") -> str:
    return f"There is a view {name!r} already. {way_out}"


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
