"""Questions of studies, and runs that ended as a test says: nothing is trained."""

import time

from engine.studies.question import Question
from storage import metrics, runs, studies
from storage.metrics import Point
from tests.processes import SMALL

DEVICE = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}
COMMIT = {"commit": "a" * 40, "dirty": False}
HARDLY_USED = {"ledger": {"compute": 1.0}, "steady_steps": 1000, "steady_s": 1.0,
               "flops_per_step": 1e6, "bytes_per_step": 1e4, "peak_flops_per_s": 1e12,
               "peak_bytes_per_s": 1e10}  # fmt: skip


def question(**fields):
    return Question.parse({"base": SMALL, "frameworks": ["torch", "keras"], "seeds": 3} | fields)


def end(db, run_id, status="SUCCEEDED", *, rate=1000.0, took=8.0, accuracy=0.9, at=100.0, **found):
    facts = {"ledger": {"import": 1.0, "compute": 6.0}, "steady_samples_per_s": rate,
             "steady_s": 4.0, "steady_steps": 1000} | found.pop("facts", {})  # fmt: skip
    runs.claim(db, run_id, host="here", devices=[DEVICE], now=at)
    metrics.ingest(db, run_id, [Point("validation_accuracy", 10, 2.0, at + 4.0, accuracy)],
                   last_seq=1, offset=1, facts=facts,
                   environment={"git": COMMIT, "python": "3.11"} | found)  # fmt: skip
    failure = "It broke." if status == "FAILED" else None
    runs.finish(db, run_id, status, finished_at=at + took, failure=failure)


def end_all(db, study_id, **found):
    for trial in studies.trials(db, study_id):
        if trial.status in runs.ACTIVE:
            end(db, trial.member.run_id, **found)


def one_after_the_other(db, study_id, *, took, rest, others=0.0):
    """Its waiting runs, each `others` + `rest` after the one before, with a rest as supervised."""
    ends = [run.finished_at for run in runs.of_study(db, study_id).values() if run.finished_at]
    at = max([time.time(), *ends]) + rest
    for trial in studies.trials(db, study_id):
        if trial.status in runs.ACTIVE:
            facts = {"before": {"rest_s": rest}}
            end(db, trial.member.run_id, at=at, took=took, facts=facts)
            at += took + others + rest
