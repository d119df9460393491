"""Studies: what is planned, that nothing is repeated or lost, and what the report says."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard import study_sections
from engine import devices, supervision, workloads
from engine import settings as settings_module
from engine.config import RunConfig
from engine.problems import ConfigError
from engine.studies import actions, advice, findings, giving_up, plan, report, saturation
from engine.studies.cost import Prices
from engine.studies.question import Question
from engine.tpu import program
from engine.tpu.check import TpuCheck
from storage import database, metrics, readings, runs, studies, tpu_checks
from storage.metrics import Point
from storage.readings import Reading
from tests.processes import SMALL

DEVICE = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}
COMMIT = {"commit": "a" * 40, "dirty": False}


@pytest.fixture
def settings(tmp_path):
    """Of a store whose supervisor lock this test holds, so that nothing is started."""
    database.prepare(tmp_path)
    with supervision.locked(tmp_path):
        yield settings_module.load(tmp_path)


@pytest.fixture
def db(settings):
    with database.opened(settings.store) as db:
        yield db


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


def test_each_arm_is_warmed_up_and_each_seed_is_a_shuffled_block():
    planned = plan.cells(question(seeds=4))
    assert [p.cell.is_warm_up for p in planned] == [True] * 2 + [False] * 8
    blocks = [{p.cell.seed for p in planned[at : at + 2]} for at in (2, 4, 6, 8)]
    assert blocks == [{0}, {1}, {2}, {3}]
    orders = {tuple(p.cell for p in plan.cells(question(order_seed=o))) for o in range(8)}
    assert len(orders) > 1
    assert plan.cells(question()) == plan.cells(question())


def test_frameworks_share_the_batch_of_the_base_where_their_defaults_differ():
    base = {k: v for k, v in SMALL.items() if k != "batch_size"}
    sizes = {arm.config.batch_size for arm in question(base=base).arms()}
    assert sizes == {RunConfig.parse(base).batch_size}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"seeds": 0}, "A study has 1 to 500 runs, got 0 (2 arms x 0 seeds)."),
        ({"seeds": 10_000}, "A study has 1 to 500 runs, got 20,000 (2 arms x 10,000 seeds)."),
        ({"seeds": "many"}, "Seeds must be a whole number, got 'many'."),
        ({"frameworks": ["jax"]}, "Unknown framework 'jax'. Choose one of: keras, torch"),
        ({"frameworks": ["keras"], "devices": ["tpu"]}, "no arm that can run: Keras/TensorFlow"),
        ({"baseline": "x"}, "Unknown baseline 'x'. Choose one of: PyTorch on CPU;"),
        ({"target_accuracy": 90}, "Target accuracy must be above 0 and at most 1, got 90."),
        ({"kind": "saturation", "batch_sizes": [0]}, "Batch size must be between 1 and"),
    ],
)
def test_bad_questions_are_refused_in_a_sentence(fields, sentence):
    with pytest.raises(ConfigError) as refused:
        question(**fields)
    assert sentence in str(refused.value)


def test_what_the_queue_gives_is_the_studys_order(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    members = [t.member.run_id for t in studies.trials(db, study_id)]
    assert [run.id for run in runs.queue(db)] == members


def test_resume_repeats_nothing_that_succeeded_and_loses_nothing(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    first, second, *_ = studies.trials(db, study_id)
    end(db, first.member.run_id)
    end(db, second.member.run_id, "FAILED")
    actions.stop(settings, study_id, by="me")
    assert report.of(db, actions.find(db, study_id)).status == "FAILED"
    assert actions.resume(settings, study_id, by="me") == 7
    with pytest.raises(actions.NotPossible):
        actions.resume(settings, study_id, by="me")
    end_all(db, study_id)
    shown = report.of(db, actions.find(db, study_id))
    assert (shown.status, shown.study.stopped_at) == ("SUCCEEDED", None)
    assert [len(card.repeats) for card in shown.cards] == [3, 3]
    assert shown.progress.actual_s is None  # tries that were in vain are in no prediction


def test_resume_runs_again_what_was_asked_to_stop_and_has_not_yet(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    running = studies.trials(db, study_id)[0].member.run_id
    runs.claim(db, running, host="here", devices=[DEVICE], now=1.0)
    actions.stop(settings, study_id, by="me")
    assert actions.resume(settings, study_id, by="me") == 8
    runs.finish(db, running, "STOPPED", finished_at=2.0)
    assert giving_up.after(db, running, 2.0) is None  # its cell has another try by now
    end_all(db, study_id)
    assert report.of(db, actions.find(db, study_id)).status == "SUCCEEDED"


def test_of_two_who_extend_at_once_neither_takes_back_what_the_other_asked_for(settings):
    study_id = actions.submit(settings, question(), by="test")
    with ThreadPoolExecutor(2) as pool:
        added = pool.map(lambda by: actions.extend(settings, study_id, seeds=2, by=by), "ab")
        assert sorted(added) == [4, 4]
    with database.opened(settings.store) as db:
        assert studies.get(db, study_id).question["seeds"] == 7


def test_extend_adds_repeats_of_each_arm(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    assert actions.extend(settings, study_id, seeds=2, by="me") == 4
    end_all(db, study_id)
    assert [len(c.repeats) for c in report.of(db, actions.find(db, study_id)).cards] == [5, 5]
    with pytest.raises(ConfigError, match="1 to 500 runs"):
        actions.extend(settings, study_id, seeds=1000, by="me")


def test_a_study_whose_runs_all_fail_is_given_up_after_three(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    because = None
    for trial in studies.trials(db, study_id)[:3]:
        assert because is None
        end(db, trial.member.run_id, "FAILED")
        because = giving_up.after(db, trial.member.run_id, 1.0)
    assert because == (
        "3 runs failed and none succeeded, so the rest were not started. The last one: It broke."
    )
    shown = report.of(db, actions.find(db, study_id))
    assert (shown.status, shown.verdict.level) == ("FAILED", "red")
    assert shown.study.stopped_because == because
    assert shown.progress.over == shown.progress.runs


def test_of_a_study_that_failed_to_the_last_run_nobody_says_that_the_rest_were_not_started(
    settings, db
):
    asked = question(frameworks=["torch"], seeds=2)
    shown = ran(db, actions.submit(settings, asked, by="test"), lambda arm: True)
    assert (shown.status, shown.progress.failed) == ("FAILED", 3)
    assert shown.study.stopped_because is None


def ran(db, study_id, fails):
    """In the queue's order, the supervisor giving up as it does; `fails` tells by arm."""
    while waiting := runs.queue(db):
        arm = next(t.member.arm for t in studies.trials(db, study_id)
                   if t.member.run_id == waiting[0].id)  # fmt: skip
        end(db, waiting[0].id, "FAILED" if fails(arm) else "SUCCEEDED")
        giving_up.after(db, waiting[0].id, 1.0)
    return report.of(db, actions.find(db, study_id))


@pytest.mark.parametrize("order_seed", range(4))
def test_a_study_that_finds_its_edge_succeeds_whichever_sizes_come_first(settings, db, order_seed):
    sizes = [16, 32, 64, 128, 256, 512]
    fields = {"kind": "saturation", "batch_sizes": sizes, "order_seed": order_seed}
    study_id = actions.submit(settings, question(**fields), by="test")
    shown = ran(db, study_id, lambda arm: not arm.startswith(("batch 16 ", "batch 32 ")))
    assert (shown.status, shown.study.stopped_at) == ("SUCCEEDED", None)
    assert [len(card.repeats) for card in shown.cards] == [3, 3, 0, 0, 0, 0]
    assert [len(card.failures) for card in shown.cards] == [0, 0, 2, 2, 2, 2]  # and a warm-up
    assert shown.progress.actual_s is not None
    assert shown.prediction_error is None  # the runs that were predicted were not all made


def test_a_study_of_which_every_arm_fails_tries_each_of_them_and_no_more(settings, db):
    sizes = [16, 32, 64, 128, 256]
    asked = question(kind="saturation", batch_sizes=sizes)
    shown = ran(db, actions.submit(settings, asked, by="test"), lambda arm: True)
    assert (shown.status, shown.progress.failed) == ("FAILED", 5)
    assert shown.study.stopped_because.startswith("5 runs failed and none succeeded")


def test_an_arm_that_only_fails_is_given_up_and_the_others_go_on(settings, db):
    study_id = actions.submit(settings, question(seeds=5), by="test")
    for trial in studies.trials(db, study_id)[:6]:
        is_keras = trial.member.arm.startswith("Keras")
        end(db, trial.member.run_id, "FAILED" if is_keras else "SUCCEEDED")
        giving_up.after(db, trial.member.run_id, 1.0)
    waiting = {t.member.arm for t in studies.trials(db, study_id) if t.status == "PENDING"}
    assert waiting == {"PyTorch on CPU"}


def test_a_duration_is_predicted_from_history_and_judged_afterwards(settings, db):
    asked = question(frameworks=["torch"])
    _, unknown = actions.preview(settings, asked)
    assert unknown == (None, ("PyTorch on CPU",))
    end_all(db, actions.submit(settings, asked, by="test"))
    _, predicted = actions.preview(settings, asked)
    assert predicted.seconds == pytest.approx(4 * (8.0 + 2.0))  # 2 s of rest before each
    longer = SMALL | {"epochs": 4}  # twice as many: 2 s of start-up, 6 s of steps
    _, predicted = actions.preview(settings, question(frameworks=["torch"], base=longer))
    assert predicted.seconds == pytest.approx(4 * (2.0 + 12.0 + 2.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workloads, "VERSIONS", {"mlp": 2})  # of another model nothing is known
        assert actions.preview(settings, asked)[1] == unknown
    study_id = actions.submit(settings, asked, by="test")
    at_first = report.of(db, actions.find(db, study_id))
    assert at_first.progress.remaining_s == pytest.approx(40.0)
    one_after_the_other(db, study_id, took=10.0, rest=2.5)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.progress.actual_s == pytest.approx(4 * (10.0 + 2.5))
    assert shown.prediction_error == pytest.approx(0.25)


def test_what_is_added_is_predicted_when_it_is_asked_for(settings, db):
    asked = question(frameworks=["torch"])
    end_all(db, actions.submit(settings, asked, by="test"))
    study_id = actions.submit(settings, asked, by="test")
    one_after_the_other(db, study_id, took=8.0, rest=2.0)
    actions.extend(settings, study_id, seeds=3, by="me")
    assert studies.get(db, study_id).predicted_s == pytest.approx(7 * 10.0)
    one_after_the_other(db, study_id, took=8.0, rest=2.0)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.progress.actual_s == pytest.approx(70.0)
    assert shown.prediction_error == pytest.approx(0.0)


def test_the_longer_rest_that_an_advice_asks_for_is_predicted_too(settings, db):
    longer = {"rule": "throttled", "changes": {"cool_down_s": 30.0}}
    asked = question(kind="advice", frameworks=[], advice=longer)
    end_all(db, actions.submit(settings, asked, by="test"))
    _, predicted = actions.preview(settings, asked)
    assert predicted.seconds == pytest.approx(4 * (8.0 + 2.0) + 4 * (8.0 + 30.0))


def test_what_the_host_did_for_others_is_in_no_studys_duration(settings, db):
    study_id = actions.submit(settings, question(frameworks=["torch"]), by="test")
    one_after_the_other(db, study_id, took=8.0, rest=2.0, others=600.0)
    assert report.of(db, actions.find(db, study_id)).progress.actual_s == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("of_keras", "level", "sentence"),
    [
        ({}, "amber", "Whether the host was quiet is not known"),
        ({"git": {"commit": "b" * 40, "dirty": False}}, "red", "The code differs"),
        ({"accuracy": 0.8}, "red", "Final accuracies lie 10.0 points apart (90.0 % and 80.0 %)"),
        ({"python": "3.12"}, "amber", "Versions differ between runs: Python."),
        ({"facts": {"steady_s": 0.1}}, "amber", "Steady steps were timed for only 0.1 s"),
    ],
)
def test_the_verdict_has_its_reasons_and_red_gets_no_speedup(
    settings, db, of_keras, level, sentence
):
    study_id = actions.submit(settings, question(), by="test")
    for trial in studies.trials(db, study_id):
        of_arm = of_keras if trial.member.arm.startswith("Keras") else {}
        end(db, trial.member.run_id, **of_arm)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.verdict.level == level
    assert any(sentence in check.sentence for check in shown.verdict.checks)
    assert (shown.cards[1].speedup is None) == (level == "red")


def test_what_waiting_for_samples_costs_is_said_and_measured(settings, db):
    study_id = actions.submit(
        settings, question(kind="input", frameworks=["torch"], seeds=5), by="test"
    )
    for trial in studies.trials(db, study_id):
        is_loader = trial.member.arm.startswith("Loader")
        ledger = {"compute": 4.0, "input_wait": 2.0 if is_loader else 0.01}
        rate = 1000.0 if is_loader else 1480.0
        end(db, trial.member.run_id, rate=rate, facts={"ledger": ledger})
    assert report.of(db, actions.find(db, study_id)).answer == (
        "By its ledger, Loader on the host would train 1.50x as fast without its input wait; "
        "Data set on the device is 1.48x (95 %: 1.48 to 1.48), as promised or better."
    )


def test_a_wait_whose_removal_gave_less_than_its_ledger_promised_is_said(settings, db):
    study_id = actions.submit(
        settings, question(kind="input", frameworks=["torch"], seeds=5), by="test"
    )
    for trial in studies.trials(db, study_id):
        is_loader = trial.member.arm.startswith("Loader")
        ledger = {"compute": 4.0, "input_wait": 2.0 if is_loader else 0.01}
        end(db, trial.member.run_id, rate=1000.0 if is_loader else 1100.0, facts={"ledger": ledger})
    assert report.of(db, actions.find(db, study_id)).answer.endswith("1.1), less than promised.")


def test_an_input_study_probes_each_number_of_workers_and_names_the_best(settings, db):
    fields = {"kind": "input", "frameworks": ["torch"], "workers": [2, 0, 1], "seeds": 5}
    study_id = actions.submit(settings, question(**fields), by="test")
    rates = {
        "Data set on the device": 1500.0,
        "Loader on the host, 0 workers": 1000.0,
        "Loader on the host, 1 worker": 900.0,
        "Loader on the host, 2 workers": 1250.0,
    }
    for trial in studies.trials(db, study_id):
        arm = trial.member.arm
        wait = {"Loader on the host, 0 workers": 2.0, "Loader on the host, 2 workers": 1.0}
        ledger = {"compute": 4.0, "input_wait": wait.get(arm, 0.0)}
        end(db, trial.member.run_id, rate=rates[arm], facts={"ledger": ledger})
    shown = report.of(db, actions.find(db, study_id))
    assert [card.arm for card in shown.cards] == list(rates)
    assert shown.answer == (
        "By its ledger, Loader on the host, 0 workers would train 1.50x as fast without its input "
        "wait; Data set on the device is 1.50x (95 %: 1.5 to 1.5), as promised or better. Of the "
        "loaders, Loader on the "
        "host, 2 workers is the fastest, 1.25x as fast as Loader on the host, 0 workers (95 %: "
        "1.25 to 1.25)."
    )
    probed = shown.as_json()["input"]
    assert [one["promised"] for one in probed] == [1.5, None, 1.25]
    assert [one["gave"]["value"] for one in probed] == pytest.approx([1.5, 1500 / 900, 1.2])


def test_what_an_input_bound_run_with_workers_is_advised_can_be_tested(settings, db):
    base = SMALL | {"input": "host_loader", "loader_workers": 2, "loader_prefetch": 4}
    advice = {"rule": "input-bound", "changes": {"input": "device_resident"}, "promised": 1.5}
    asked = question(kind="advice", base=base, frameworks=[], advice=advice)
    assert [(a.config.input, a.config.loader_workers) for a in asked.arms()] == [
        ("host_loader", 2), ("device_resident", 0),
    ]  # fmt: skip
    study_id = actions.submit(settings, asked, by="test")
    end_all(db, study_id)
    assert report.of(db, actions.find(db, study_id)).verdict.level == "amber"


def advised(settings, changes, **fields):
    """A study that tests what another one advised for its first arm, submitted."""
    source = actions.submit(settings, question(frameworks=["torch"]), by="test")
    told = {"rule": "a-rule", "changes": changes, "study": source, "arm": "PyTorch on CPU"}
    asked = {"kind": "advice", "base": SMALL, "advice": told | fields, "seeds": 5}
    return source, actions.submit(settings, Question.parse(asked), by="test")


def outcome_on_both(db, source, test_id):
    """As the study that advised it has it, which is what the test itself has."""
    (told,) = report.of(db, actions.find(db, source)).tests
    shown = report.of(db, actions.find(db, test_id))
    assert (shown.advice, shown.answer) == (told, told.sentence)
    assert shown.as_json()["advice"]["held"] is told.held
    return told


@pytest.mark.parametrize(
    ("promised", "rate", "held", "sentence"),
    [
        (1.5, 1400.0, True, "held: 1.50x was promised, and it is 1.40x as fast"),
        (1.5, 1200.0, False, "did not hold: 1.50x was promised, and it is 1.20x as fast"),
        (None, 1400.0, True, "held: 1.40x as fast (95 %: 1.4 to 1.4), 1,400 samples/s against"),
        (None, 900.0, False, "did not hold: 0.90x as fast (95 %: 0.9 to 0.9), 900 samples/s"),
    ],
)
def test_whether_an_advice_held_is_said_where_it_was_given_and_where_it_was_tested(
    settings, db, promised, rate, held, sentence
):
    source, test_id = advised(settings, {"batch_size": 256}, promised=promised)
    waiting = outcome_on_both(db, source, test_id)
    assert (waiting.held, waiting.status) == (None, "PENDING")
    assert "is being tested: 0 of 12 runs are over" in waiting.sentence
    for trial in studies.trials(db, test_id):
        end(db, trial.member.run_id, rate=1000.0 if trial.member.arm == "As it was" else rate)
    told = outcome_on_both(db, source, test_id)
    assert (told.held, told.arm, told.rule) == (held, "PyTorch on CPU", "a-rule")
    assert sentence in told.sentence
    assert "samples/s against 1,000" in told.sentence


def test_an_advice_of_more_epochs_is_held_against_whole_runs(settings, db):
    source, test_id = advised(settings, {"epochs": 8}, promised=2.0)
    for trial in studies.trials(db, test_id):  # 2 epochs in 8 s, 8 epochs in 16 s
        end(db, trial.member.run_id, took=8.0 if trial.member.arm == "As it was" else 16.0)
    told = outcome_on_both(db, source, test_id)
    assert told.held
    assert told.sentence.endswith("30 epochs a minute against 15.")


def test_an_advice_that_cannot_be_judged_is_not_called_wrong(settings, db):
    source, test_id = advised(settings, {"input": "device_resident"}, promised=2.0)
    for trial in studies.trials(db, test_id):
        end(db, trial.member.run_id, accuracy=0.9 if trial.member.arm == "As it was" else 0.5)
    told = outcome_on_both(db, source, test_id)
    assert told.held is None
    assert "whether it held cannot be told. Final accuracies lie 40.0 points apart" in told.sentence

    asked = {"kind": "advice", "base": SMALL, "seeds": 2,
             "advice": {"rule": "a-rule", "changes": {"batch_size": 256}}}  # fmt: skip
    few = actions.submit(settings, Question.parse(asked), by="test")
    end_all(db, few)
    shown = report.of(db, actions.find(db, few))
    assert shown.advice.held is None
    assert "2 of 5 repeats do not tell whether it held" in shown.answer


def test_a_config_of_before_a_field_was_there_is_compared_by_what_it_did(settings, db):
    study_id = actions.submit(settings, question(frameworks=["torch"]), by="test")
    end_all(db, study_id)
    last = studies.trials(db, study_id)[-1].member.run_id
    older = "UPDATE runs SET config = json_remove(config, '$.loader_workers') WHERE id = ?"
    db.execute(older, [last])
    assert report.of(db, actions.find(db, study_id)).verdict.level != "red"
    _, predicted = actions.preview(settings, question(frameworks=["torch"]))
    assert predicted.seconds == pytest.approx(4 * 10.0)


def test_a_saturation_study_names_its_knee_and_the_sizes_that_failed(settings, db):
    sizes = [16, 64, 256, 1024]
    asked = question(kind="saturation", frameworks=["torch"], batch_sizes=sizes)
    study_id = actions.submit(settings, asked, by="test")
    rates = {"batch 16 in fp32": 100.0, "batch 64 in fp32": 390.0, "batch 256 in fp32": 400.0}
    for trial in studies.trials(db, study_id):
        arm = trial.member.arm
        status = "SUCCEEDED" if arm in rates else "FAILED"
        end(db, trial.member.run_id, status, rate=rates.get(arm, 1.0), accuracy=0.5)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.answer == (
        "From batch 64 on, throughput is within 10 % of its highest; memory's edge was not reached "
        "by batch 256. These failed at every try, not for memory: batch 1,024 in fp32."
    )
    db.execute("UPDATE runs SET failure_kind = 'out_of_memory' WHERE status = 'FAILED'")
    shown = report.of(db, actions.find(db, study_id))
    (curve,) = saturation.of(shown.question, shown.cards)
    assert (curve.knee, curve.edge) == (64, 1024)
    assert shown.answer.endswith("of its highest; batch 1,024 ran out of memory.")


@pytest.mark.parametrize("fails_in", ["bf16", "fp32 and bf16"])
def test_a_precision_in_which_no_batch_fits_is_told_of(settings, db, fails_in):
    asked = question(kind="saturation", frameworks=["torch"], precisions=["fp32", "bf16"],
                     batch_sizes=[64, 128], seeds=1)  # fmt: skip
    study_id = actions.submit(settings, asked, by="test")
    for trial in studies.trials(db, study_id):
        fails = trial.member.arm.rpartition(" ")[2] in fails_in
        end(db, trial.member.run_id, "FAILED" if fails else "SUCCEEDED")
    db.execute("UPDATE runs SET failure_kind = 'out_of_memory' WHERE status = 'FAILED'")
    shown = report.of(db, actions.find(db, study_id))
    of_fp32 = (
        "no batch fits, from 64 on."
        if "fp32" in fails_in
        else "2 sizes are too few to tell a knee; memory's edge was not reached by batch 128."
    )
    assert shown.answer == f"In fp32: {of_fp32} In bf16: no batch fits, from 64 on."
    charts = study_sections.charts(shown, Prices({}))
    assert ("Saturation" in charts) == ("fp32" not in fails_in)


def test_another_arm_can_be_the_baseline_and_one_that_failed_says_so(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    for trial in studies.trials(db, study_id):
        failed = trial.member.arm.startswith("PyTorch")
        end(db, trial.member.run_id, "FAILED" if failed else "SUCCEEDED")
    shown = report.of(db, actions.find(db, study_id))
    assert shown.verdict.level == "red"
    assert (
        "The baseline, PyTorch on CPU, has no run that succeeded: nothing is compared with it. "
        "Choose another baseline: Keras/TensorFlow on CPU."
    ) in [check.sentence for check in shown.verdict.checks]
    other = report.of(db, actions.find(db, study_id), "Keras/TensorFlow on CPU")
    assert [card.standing for card in other.cards] == ["not comparable", "baseline"]
    assert report.of(db, actions.find(db, study_id), "nonsense").cards[0].standing == "baseline"


def test_a_report_says_what_was_trained_and_on_what(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    end_all(db, study_id)
    told = report.of(db, actions.find(db, study_id)).setup
    assert told["Model"] == "mlp, width 16, depth 1"
    assert (told["Epochs"], told["CPU"], told["Host"]) == ("2", "A CPU", "here")
    assert "Framework" not in told  # it is what the arms differ in


def test_while_no_measured_run_is_over_nothing_is_called_failed(settings, db):
    shown = report.of(db, actions.find(db, actions.submit(settings, question(), by="test")))
    assert shown.is_too_early
    assert {check.level for check in shown.verdict.checks} == {"amber"}


def test_a_run_that_is_deleted_while_its_study_is_read_breaks_no_report(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    end_all(db, study_id)
    study, gone = actions.find(db, study_id), studies.trials(db, study_id)[-1].member.run_id

    def delete(statement):
        if "study_runs" in statement and "metrics" in statement:  # the runs, after their places
            with database.opened(settings.store) as other:
                runs.delete(other, gone)

    db.set_trace_callback(delete)
    assert sum(len(card.repeats) for card in report.of(db, study).cards) == 5


def test_a_target_that_was_not_reached_has_no_number(settings, db):
    study_id = actions.submit(settings, question(target_accuracy=0.85), by="test")
    for trial in studies.trials(db, study_id):
        is_keras = trial.member.arm.startswith("Keras")
        missed = is_keras or (trial.member.seed == 2)
        end(db, trial.member.run_id, accuracy=0.5 if missed else 0.9)
    torch, keras = report.of(db, actions.find(db, study_id)).cards
    assert (torch.time_to_target_s, keras.time_to_target_s) == (None, None)
    assert torch.target == "reached in 2 of 3 runs, not in 2 epochs of the others"
    assert keras.target == "not reached in 2 epochs"


def test_a_page_that_polls_reads_what_is_over_only_once(settings, db):
    study_id = actions.submit(settings, question(), by="test")
    end_all(db, study_id)
    report.of(db, actions.find(db, study_id))
    asked = []
    db.set_trace_callback(asked.append)
    report.of(db, actions.find(db, study_id))
    db.set_trace_callback(None)
    assert sum("SELECT runs.*" in line for line in asked) == 1
    assert not [line for line in asked if "FROM readings" in line or "FROM points" in line]


def told(**fields):
    """A run of which only this is known."""
    return type("Told", (), {"id": "a run", "metrics": {}, "accelerator": "cpu"} | fields)


def finding(rule, facts, **fields):
    """What a rule says of one run with these facts."""
    config = RunConfig.parse(SMALL | fields).model_dump(mode="json")
    run = told(facts=facts, config=config)
    return next((f for f in findings.of_arm("an arm", [run]) if f.rule == rule), None)


def test_an_input_bound_run_is_told_what_removing_the_wait_would_give():
    ledger = {"input_wait": 3.0, "compute": 6.25, "import": 1.0}
    found = finding("input-bound", {"ledger": ledger}, input="host_loader")
    assert (found.promised, found.changes) == (1.48, {"input": "device_resident"})
    assert "1.48x" in found.sentence
    assert finding("input-bound", {"ledger": ledger}).changes == {}
    assert finding("input-bound", {"ledger": ledger | {"input_wait": 0.1}}) is None


def test_a_compile_bound_run_is_told_how_many_epochs_make_it_small():
    ledger = {"compile": 9.0, "compute": 2.0}
    found = finding("compile-bound", {"ledger": ledger})
    assert found.changes == {"epochs": 81}  # 9 s are a tenth of 90 s: 81 s of steps at 1 s each
    assert "82 %" in found.sentence
    # of 11 s for 2 epochs: 9 s and 81 s for 81
    assert found.promised == pytest.approx((11 / 2) / (90 / 81))
    assert f"{found.promised:.2f}x as many epochs a minute" in found.sentence


def test_short_steps_far_below_the_roof_are_launch_bound():
    facts = {"ledger": {"compute": 1.0}, "steady_steps": 1000, "steady_s": 1.0,
             "flops_per_step": 1e6, "bytes_per_step": 1e4, "peak_flops_per_s": 1e12,
             "peak_bytes_per_s": 1e10}  # fmt: skip
    assert finding("launch-bound", facts).changes == {"batch_size": 256}
    assert finding("launch-bound", facts | {"peak_flops_per_s": None}) is None
    assert finding("launch-bound", facts | {"flops_per_step": 5e8, "bytes_per_step": 1e6}) is None


def test_programs_compiled_while_it_trains_are_recompiling_once_they_take_a_share_of_it():
    facts = {"ledger": {"import": 5.0, "compile": 2.0, "compute": 3.0}, "recompiles": 1,
             "recompile_s": 1.0}  # fmt: skip
    found = finding("recompiling", facts, keep_last_batch=True)
    assert found.changes == {"keep_last_batch": False}
    assert found.promised == pytest.approx(10 / 9)
    assert "1.0 s of 5.0 s of training (20 %)" in found.sentence
    assert finding("recompiling", facts).changes == {}  # whose batches these were is not known
    assert finding("recompiling", facts | {"recompile_s": 0.1}) is None


HARDLY_USED = {"ledger": {"compute": 1.0}, "steady_steps": 1000, "steady_s": 1.0,
               "flops_per_step": 1e6, "bytes_per_step": 1e4, "peak_flops_per_s": 1e12,
               "peak_bytes_per_s": 1e10}  # fmt: skip


@pytest.mark.parametrize(("on_gpu", "is_small"), [(1900.0, True), (2100.0, False)])
def test_an_accelerator_hardly_faster_than_the_cpu_is_told_that_the_job_is_too_small(
    on_gpu, is_small
):
    config = RunConfig.parse(SMALL).model_dump(mode="json")
    gpu, cpu = (
        told(config=config, accelerator=kind, facts=HARDLY_USED | {"steady_samples_per_s": rate})
        for kind, rate in (("gpu", on_gpu), ("cpu", 1000.0))
    )
    found = findings.of_arm("GPU", [gpu], {}, {"GPU": [gpu], "CPU": [cpu]})
    sentences = [one.sentence for one in found if one.rule == "too-small"]
    assert bool(sentences) == is_small
    assert all("1.90x as fast as CPU" in sentence for sentence in sentences)
    assert "too-small" not in [f.rule for f in findings.of_arm("GPU", [gpu], {}, {"GPU": [gpu]})]


def test_that_a_job_is_too_small_is_tested_by_a_wider_model_on_both():
    config = RunConfig.parse(SMALL).model_dump(mode="json")
    gpu, cpu = (
        told(config=config | {"accelerator": kind}, accelerator=kind,
             facts=HARDLY_USED | {"steady_samples_per_s": 1000.0})
        for kind in ("gpu", "cpu")
    )  # fmt: skip
    found = findings.of_arm("GPU", [gpu], {}, {"GPU": [gpu], "CPU": [cpu]})
    (small,) = [one for one in found if one.rule == "too-small"]
    advice = {"rule": small.rule, "changes": small.changes, "promised": small.promised}
    asked = {"kind": "advice", "base": config | small.both, "advice": advice}
    on_cpu, on_gpu = Question.parse(asked).arms()
    assert (on_cpu.label, on_gpu.label, small.promised) == ("On CPU", "On GPU", 2.0)
    assert on_cpu.config.workload == on_gpu.config.workload
    assert on_cpu.config.workload.width == 4 * config["workload"]["width"]


def test_a_throttled_device_is_named_with_its_share_and_its_reason(settings, db):
    study_id = actions.submit(settings, question(frameworks=["torch"]), by="test")
    for trial in studies.trials(db, study_id):
        bits = [0x040 if trial.member.seed == 1 else 0x001] * 3 + [0x000] * 7
        found = [Reading("gpu:0", "throttle_reasons", 101.0 + at, float(b))
                 for at, b in enumerate(bits)]  # fmt: skip
        readings.add(db, trial.member.run_id, found)
        end(db, trial.member.run_id)
    shown = report.of(db, actions.find(db, study_id))
    (throttled,) = [one for one in shown.findings if one.rule == "throttled"]
    assert "gpu:0 was held back in 30 % of its readings" in throttled.sentence
    assert "temperature, slowed by the hardware" in throttled.sentence
    raw = advice.question(shown.study, shown.question, throttled)
    test_id = actions.submit(settings, Question.parse(raw), by="test")
    rests = {t.member.arm: runs.get(db, t.member.run_id).cool_down_s
             for t in studies.trials(db, test_id)}  # fmt: skip
    assert rests == {"As it was": 2.0, "With 30 s of rest before each run": 30.0}


def test_what_the_tpus_compiler_said_of_the_same_step_is_a_bound_and_no_point(settings, db):
    asked = question(base=SMALL | {"input": "device_resident"})
    config = asked.arms()[0].config
    check = TpuCheck(
        program=program.key(config), topology="v5e:2x2", chips=1, precision="fp32",
        compiler="libtpu", compiles=True, message=None, hbm_bytes=1, beside_bytes=0,
        hbm_available_bytes=2,
        flops=2e9, bytes=10**8, bound_s=1e-3, binds="memory", compile_s=1.0,
    )  # fmt: skip
    tpu_checks.put(db, check.program, check.topology, 1.0, check.as_json())
    study_id = actions.submit(settings, asked, by="test")
    end_all(db, study_id, facts=HARDLY_USED)
    found = report.of(db, actions.find(db, study_id)).roofline
    (bound,) = found.bounds  # both frameworks' steps are one program on a TPU
    assert (bound.intensity, bound.flops_per_s, bound.step_s) == (20.0, 2e12, 1e-3)
    assert "v5e:2x2" in bound.name
    assert {point.arm for point in found.points} == {"PyTorch on CPU", "Keras/TensorFlow on CPU"}
    assert {point.flops_per_s for point in found.points} == {1e9}  # 1,000 steps a second
    assert [roof.name for roof in found.roofs] == ["A CPU, fp32", "TPU v5e chip, bf16"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"kind": "saturation", "frameworks": ["torch", "keras"]},
            "A study of this kind has one framework, got torch, keras.",
        ),
        (
            {"kind": "input", "frameworks": ["torch"], "devices": ["cpu", "gpu"]},
            "A study of this kind has one kind of hardware, got cpu, gpu.",
        ),
        (
            {"kind": "scaling", "device_counts": ["1", "a"]},
            "Each of the device counts must be a whole number, got 'a'.",
        ),
    ],
)
def test_what_a_study_would_not_use_or_cannot_read_is_refused(settings, fields, sentence):
    raw = {"base": SMALL, "frameworks": ["torch"], "seeds": 1} | fields
    with pytest.raises(ConfigError) as refused:
        actions.check(raw, settings, devices.find())
    assert sentence in str(refused.value)


def test_arms_of_which_no_accuracy_is_known_are_named(settings, db):
    study_id = actions.submit(settings, question(seeds=1), by="test")
    for trial in studies.trials(db, study_id):
        failed = trial.member.arm == "PyTorch on CPU"
        end(db, trial.member.run_id, "FAILED" if failed else "SUCCEEDED")
    shown = report.of(db, studies.get(db, study_id))
    said = [check.sentence for check in shown.verdict.checks]
    assert any("Final accuracy is not known of PyTorch on CPU." in one for one in said)
