"""Rules on ledgers of real runs, and advice that is followed: each run is trained for it."""

import pytest

from engine.studies import actions, advice, findings, report
from engine.studies.question import Question
from storage import database, runs, studies
from tests.processes import SMALL, eventually, lab

WIDE = SMALL | {"dataset": {"name": "synthetic", "height": 32, "width": 32, "train_samples": 4096,
                            "test_samples": 256}}  # fmt: skip
JOBS = {
    "a loader on the host with nothing to compute": WIDE | {"input": "host_loader"},
    "tiny batches": SMALL | {"batch_size": 8},
    "one short epoch": SMALL | {"epochs": 1},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with lab(tmp_path_factory.mktemp("advice") / "store", readings_s=0.2) as made:
        made.supervise()
        yield made


@pytest.fixture(scope="module")
def tiny_batches(here):
    """The study of a real job whose steps are short: several, since they vary."""
    asked = {"base": JOBS["tiny batches"], "seeds": 3, "cool_down_s": 0, "accuracy_tolerance": 1.0}
    return over(here, actions.submit(here.settings, Question.parse(asked), by="test"))


@pytest.fixture(scope="module")
def rules(here, tiny_batches):
    """What is found of real runs of each job: job -> rule -> finding."""
    ids = {job: here.submit(raw, name=job) for job, raw in JOBS.items() if job != "tiny batches"}
    found = {job: findings.of_arm(job, [here.over(run_id, 240)]) for job, run_id in ids.items()}
    found["tiny batches"] = list(tiny_batches.findings)
    return {job: {one.rule: one for one in of_job} for job, of_job in found.items()}


def test_a_slow_loader_is_called_input_bound(rules):
    found = rules["a loader on the host with nothing to compute"]["input-bound"]
    assert found.changes == {"input": "device_resident"}
    assert found.promised > 1


def test_tiny_batches_are_called_launch_bound(rules):
    assert rules["tiny batches"]["launch-bound"].changes == {"batch_size": 32}


def test_a_short_run_is_called_bound_by_what_is_done_once(rules):
    assert {"start-up-bound", "compile-bound"} & rules["one short epoch"].keys()


def test_following_the_advice_for_tiny_batches_trains_faster_and_both_reports_say_so(
    here, tiny_batches, rules
):
    """Where a rule promises no ratio, the advice held if the whole interval lies above 1."""
    finding = rules["tiny batches"]["launch-bound"]
    raw = advice.question(tiny_batches.study, tiny_batches.question, finding) | {"seeds": 5}
    shown = over(here, actions.submit(here.settings, Question.parse(raw), by="test"))
    speedup = shown.cards[1].speedup
    assert speedup.value > 1.2
    verb = "held" if speedup.low > 1 else "did not hold"
    assert shown.answer.startswith(f"The advice (launch-bound) {verb}: {speedup.value:.2f}x")
    with database.opened(here.store) as db:
        (told,) = report.of(db, tiny_batches.study).tests
    assert (told.study_id, told.arm, told.rule) == (shown.study.id, finding.arm, "launch-bound")
    assert (told.held, told.sentence) == (speedup.low > 1, shown.answer)


def over(here, study_id):
    """The study's report once it is over."""

    def look():
        with database.opened(here.store) as db:
            shown = report.of(db, studies.get(db, study_id))
        return shown if shown.status in runs.FINAL else None

    return eventually(look, 240, every_s=0.5)
