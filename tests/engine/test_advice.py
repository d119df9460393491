"""Rules on ledgers of real runs, and advice that is followed: each run is trained for it."""

import pytest

from engine.studies import actions, findings, report
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
def rules(here):
    """What is found of real runs of each job: job -> rule -> finding. Short steps need several."""
    count = {"tiny batches": 3}
    ids = {
        job: [here.submit(raw, name=job) for _ in range(count.get(job, 1))]
        for job, raw in JOBS.items()
    }
    return {
        job: {
            found.rule: found
            for found in findings.of_arm(job, [here.over(run_id, 240) for run_id in of_job])
        }
        for job, of_job in ids.items()
    }


def test_a_slow_loader_is_called_input_bound(rules):
    found = rules["a loader on the host with nothing to compute"]["input-bound"]
    assert found.changes == {"input": "device_resident"}
    assert found.promised > 1


def test_tiny_batches_are_called_launch_bound(rules):
    assert rules["tiny batches"]["launch-bound"].changes == {"batch_size": 32}


def test_a_short_run_is_called_bound_by_what_is_done_once(rules):
    assert {"start-up-bound", "compile-bound"} & rules["one short epoch"].keys()


def test_following_the_advice_for_tiny_batches_trains_faster_and_the_report_says_so(here):
    """Where a rule promises no ratio, the advice held if the whole interval lies above 1."""
    question = Question.parse(
        {
            "kind": "advice",
            "base": JOBS["tiny batches"],
            "advice": {"rule": "launch-bound", "changes": {"batch_size": 32}},
            "seeds": 5,
            "cool_down_s": 0,
            "accuracy_tolerance": 1.0,
        }
    )
    shown = over(here, actions.submit(here.settings, question, by="test"))
    speedup = shown.cards[1].speedup
    assert speedup.value > 1.2
    verb = "held" if speedup.low > 1 else "did not hold"
    assert shown.answer.startswith(f"The advice (launch-bound) {verb}: {speedup.value:.2f}x")


def over(here, study_id):
    """The study's report once it is over."""

    def look():
        with database.opened(here.store) as db:
            shown = report.of(db, studies.get(db, study_id))
        return shown if shown.status in runs.FINAL else None

    return eventually(look, 240, every_s=0.5)
