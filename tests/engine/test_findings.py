"""What a study finds in its runs, what it advises, and whether an advice held."""

import pytest

from engine.config import RunConfig
from engine.studies import actions, advice, findings, report
from engine.studies.question import Question
from storage import readings, runs, studies
from storage.readings import Reading
from tests.engine.studies import HARDLY_USED, end, end_all, question
from tests.processes import SMALL


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
