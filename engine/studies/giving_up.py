"""When a study's runs are not worth going on with: the supervisor asks after each that ended."""

from __future__ import annotations

from storage import database, runs, studies
from storage.database import Database
from storage.studies import Trial

FAILURES = 3  # with none that succeeded
BY = "supervisor"


def after(db: Database, run_id: str, now: float) -> str | None:
    """Stop the runs of an arm that has failed so often and never succeeded, or of the whole study.

    The study is given up once each of its arms has failed: the sizes that do not fit may come
    first. Return the reason then, if that kept any run from being made. Safe to repeat, and to
    leave out once: the next run that ends asks again.
    """
    study_id = studies.of_run(db, run_id)
    if study_id is None:
        return None
    with database.transaction(db):
        trials = studies.trials(db, study_id)
        found = studies.latest(trials)
        because = _hopeless(found)
        if because and _each_arm_failed(found):
            if not _stop(db, found, now):
                return None
            studies.note_stop(db, study_id, by=BY, because=because, now=now)
            return because
        # Of all tries: somebody who resumed just now has made another one the last.
        arms = [t.member.arm for t in trials if t.member.run_id == run_id]
        of_arm = [t for t in found if t.member.arm in arms]
        if _hopeless(of_arm):
            _stop(db, of_arm, now)
    return None


def is_given_up(trial: Trial) -> bool:
    """Whether it was not run because the others of its arm, or of the study, had failed."""
    return trial.status == "STOPPED" and trial.stop_requested_by == BY


def _hopeless(found: list[Trial]) -> str | None:
    failed = [trial for trial in found if trial.status == "FAILED"]
    if len(failed) < FAILURES or any(t.status == "SUCCEEDED" for t in found):
        return None
    return (
        f"{len(failed)} runs failed and none succeeded, so the rest were not started. "
        f"The last one: {failed[-1].failure}"
    )


def _each_arm_failed(found: list[Trial]) -> bool:
    failed = {trial.member.arm for trial in found if trial.status == "FAILED"}
    return failed == {trial.member.arm for trial in found}


def _stop(db: Database, found: list[Trial], now: float) -> bool:
    """Whether any was still to be stopped."""
    active = [trial for trial in found if trial.status in runs.ACTIVE]
    for trial in active:
        runs.request_stop(db, trial.member.run_id, BY, now)
    return bool(active)
