"""What can be done with a study: submit, stop, resume, extend; and when it is given up.

Its runs enter the queue in one transaction, as runs like any other: from then on the supervisor
needs nothing of a study, and no process of its own has to live for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from engine import launch
from engine.config import RunConfig
from engine.devices import Hardware
from engine.launch import NotPossible
from engine.problems import ConfigError, Problem
from engine.settings import Settings
from engine.studies import plan
from engine.studies.plan import Cell, Planned, Prediction
from engine.studies.question import KIND_NAMES, Question
from storage import database, ids, runs, studies
from storage.database import Database
from storage.studies import Study, Trial

LONGEST_NAME = 200


class UnknownStudy(launch.UnknownRun):
    """No study of this store has that id."""

    def __init__(self, study_id: str) -> None:
        LookupError.__init__(
            self, f"No study has the id {study_id[:60]!r}. List the studies to find its id."
        )


def find(db: Database, study_id: str) -> Study:
    study = studies.get(db, study_id) if ids.is_id(study_id) else None
    if study is None:
        raise UnknownStudy(study_id)
    return study


def check(raw: Any, settings: Settings, hardware: Hardware) -> Question:
    """Validate a question, against this host too. Raise `ConfigError`, a sentence a problem."""
    question = Question.parse(raw)
    problems = {problem.sentence: problem for problem in _named_in_vain(question)}
    for arm in question.arms():
        for problem in launch.problems_here(arm.config, settings, hardware):
            problems.setdefault(problem.sentence, problem)
    if problems:
        raise ConfigError(problems.values())
    return question


def _named_in_vain(question: Question) -> Iterator[Problem]:
    """Of frameworks and kinds of hardware, all kinds of study but one would take the first only."""
    if question.kind == "run_on":
        return
    for field, noun in (("frameworks", "framework"), ("devices", "kind of hardware")):
        named = dict.fromkeys(getattr(question, field))
        if len(named) > 1:
            yield Problem(
                field,
                f"A study of this kind has one {noun}, got {', '.join(named)}. Choose one, or ask "
                "a study for each.",
            )


def default_name(question: Question) -> str:
    workload = RunConfig.parse(question.base).workload.name
    return f"{KIND_NAMES[question.kind].rstrip('…')}: {workload}"


def preview(settings: Settings, question: Question) -> tuple[list[Planned], Prediction]:
    """The runs in their order, and how long they should take together."""
    planned = plan.cells(question)
    with database.opened(settings.store) as db:
        return planned, plan.predict(db, planned, question)


def submit(settings: Settings, question: Question, *, by: str, name: str = "") -> str:
    """Put a checked study and all its runs into the store at once; its id."""
    if len(name) > LONGEST_NAME:
        sentence = f"Name may have {LONGEST_NAME} characters at most, got {len(name):,}."
        raise ConfigError([Problem("name", sentence)])
    database.prepare(settings.store)
    planned, predicted = preview(settings, question)
    name = name.strip() or default_name(question)
    with database.opened(settings.store) as db, database.transaction(db):
        study_id = studies.create(
            db,
            name=name,
            kind=question.kind,
            question=question.model_dump(mode="json"),
            predicted_s=predicted.seconds,
            submitted_by=by,
        )
        _add_runs(db, study_id, name, planned, by, question)
    launch.ensure_supervisor(settings)
    return study_id


def stop(settings: Settings, study_id: str, *, by: str) -> None:
    """Stop its waiting runs at once and ask the running ones to."""
    with database.opened(settings.store) as db:
        study, now = find(db, study_id), time.time()
        with database.transaction(db):
            if not _stop_runs(db, study_id, by, now):
                raise NotPossible(f"Study {study_id} is over already: none of its runs is active.")
            studies.note_stop(db, study.id, by=by, because=f"{by} stopped it.", now=now)
    launch.ensure_supervisor(settings)


def resume(settings: Settings, study_id: str, *, by: str) -> int:
    """Submit what has not succeeded, and only that; how many runs. Raise `NotPossible` for none."""
    with database.opened(settings.store) as db:
        added = _submit_missing(db, study_id, by)
    if not added:
        raise NotPossible(f"Study {study_id} has nothing left to run.")
    launch.ensure_supervisor(settings)
    return added


def extend(settings: Settings, study_id: str, *, seeds: int, by: str) -> int:
    """Add that many repeats of each arm; how many runs were submitted."""
    if seeds < 1:
        raise ConfigError([Problem("seeds", f"Add 1 seed at least, got {seeds:,}.")])
    with database.opened(settings.store) as db:
        added = _submit_missing(db, study_id, by, seeds)
    launch.ensure_supervisor(settings)
    return added


def _submit_missing(db: Database, study_id: str, by: str, more_seeds: int = 0) -> int:
    """What was read and what is written belong to one transaction: two who resume add it once, and
    of two who extend neither takes back what the other asked for.
    """
    with database.transaction(db):
        study = find(db, study_id)
        seeds = study.question["seeds"] + more_seeds
        question = Question.parse(study.question | {"seeds": seeds})
        latest = studies.latest(studies.trials(db, study.id))
        planned = plan.missing(question, latest)
        _predict_more(db, study, planned, question, latest)
        studies.set_question(db, study.id, question.model_dump(mode="json"))
        if planned:
            studies.clear_stop(db, study.id)
        _add_runs(db, study.id, study.name, planned, by, question)
    return len(planned)


def _predict_more(
    db: Database,
    study: Study,
    planned: Sequence[Planned],
    question: Question,
    latest: Sequence[Trial],
) -> None:
    """What is asked for now is predicted now, and added to what was predicted of the rest."""
    known = {Cell(t.member.arm, t.member.seed, t.member.is_warm_up) for t in latest}
    more = [one for one in planned if one.cell not in known]
    if not more:
        return
    added = plan.predict(db, more, question).seconds
    before = study.predicted_s
    both = None if before is None or added is None else before + added
    studies.set_predicted(db, study.id, both)


def _add_runs(
    db: Database,
    study_id: str,
    name: str,
    planned: Sequence[Planned],
    by: str,
    question: Question,
) -> None:
    """In the queue's order, which is by time: a millisecond each, the last one now."""
    now = time.time()
    for index, (cell, config) in enumerate(planned):
        what = "warm-up" if cell.is_warm_up else f"seed {cell.seed}"
        run_id = runs.create(
            db,
            name=f"{name}: {cell.arm}, {what}"[:LONGEST_NAME],
            config=config.model_dump(mode="json"),
            total_steps=config.total_steps,
            submitted_by=by,
            cool_down_s=question.rest_before(cell.arm),
            now=now - (len(planned) - 1 - index) / 1000,
        )
        studies.add(db, study_id, run_id, *cell)


def _stop_runs(db: Database, study_id: str, by: str, now: float) -> int:
    """How many of its runs were active."""
    return sum(
        runs.request_stop(db, trial.member.run_id, by, now)
        for trial in studies.trials(db, study_id)
    )
