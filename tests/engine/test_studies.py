"""Studies: what is planned, that nothing is repeated or lost, and what the report says."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard import study_sections
from engine import devices
from engine.config import RunConfig
from engine.problems import ConfigError
from engine.studies import actions, giving_up, plan, report, saturation
from engine.studies.cost import Prices
from engine.tpu import program
from engine.tpu.check import TpuCheck
from storage import database, runs, studies, tpu_checks
from tests.engine.studies import DEVICE, HARDLY_USED, end, end_all, question
from tests.processes import SMALL


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
