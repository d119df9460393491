"""Each reason of a verdict fires, at its level, and alone: of runs that are alike in all else."""

import pytest

from dashboard import study_file
from engine.studies import actions, comparable, report
from engine.studies.cost import Prices
from storage import metrics, readings, runs, studies
from storage.metrics import Point
from storage.readings import Reading
from tests.engine.studies import DEVICE, question

CLEAN = {"commit": "a" * 40, "dirty": False}
CHANGED = {"commit": "a" * 40, "dirty": True, "changes": "1" * 64}
GPU = {"id": "gpu:0", "name": "A GPU", "accelerator": "gpu", "found_by": "a test"}
IDLE = {"utilisation": 0.0, "processes": 0}
ENVIRONMENT = {
    "git": CLEAN, "python": "3.11", "platform": "Linux", "hostname": "here", "nvidia": None,
    "packages": {"torch": "2.9"},
}  # fmt: skip
FACTS = {
    "ledger": {"compute": 6.0}, "steady_samples_per_s": 1000.0, "steady_s": 4.0,
    "steady_steps": 1000, "data_sha256": "d" * 64, "before": {"rest_s": 2.0, "host_cpu": 0.05},
}  # fmt: skip


def before(**use):
    return {"before": {"rest_s": 2.0, "host_cpu": 0.05, "gpus": {"gpu:0": IDLE | use}}}


def judged(settings, db, of_last=None, of_all=None, **asked):
    """The report of a study of which each run recorded the same, but `of_all` them, and but
    `of_last`: the last run of its last arm.
    """
    study_id = actions.submit(settings, question(**{"seeds": 5} | asked), by="test")
    trials = studies.trials(db, study_id)
    last = [t for t in trials if t.member.arm == report_arm(db, study_id)][-1]
    for trial in trials:
        record(db, trial.member.run_id, **(of_all or {}) | (of_last if trial is last else {}))
    return report.of(db, actions.find(db, study_id))


def report_arm(db, study_id):
    return report.of(db, actions.find(db, study_id)).cards[-1].arm


def record(db, run_id, *, accuracy=0.9, host=0.5, trainer=0.45, device=DEVICE, throttle=None,
           status="SUCCEEDED", config=None, **found):  # fmt: skip
    """End a run as a supervisor would."""
    if config:
        changed = "UPDATE runs SET config = json_patch(config, ?) WHERE id = ?"
        db.execute(changed, [config, run_id])
    runs.claim(db, run_id, host="here", devices=[device], now=100.0)
    taken = [("host", "cpu", host), ("trainer", "cpu", trainer)]
    taken += [("gpu:0", "throttle_reasons", throttle)] if throttle is not None else []
    readings.add(db, run_id, [Reading(who, key, 102.0, value) for who, key, value in taken
                              if value is not None])  # fmt: skip
    points = [] if accuracy is None else [Point("validation_accuracy", 10, 2.0, 104.0, accuracy)]
    environment = ENVIRONMENT | found.get("environment", {})
    metrics.ingest(db, run_id, points, last_seq=1, offset=1, environment=environment,
                   facts=FACTS | found.get("facts", {}))  # fmt: skip
    failure = "It broke." if status == "FAILED" else None
    runs.finish(db, run_id, status, finished_at=108.0, failure=failure)


def doubts(shown):
    return [check for check in shown.verdict.checks if check.level != "green"]


def test_runs_that_are_alike_in_everything_are_green(settings, db):
    shown = judged(settings, db, {})
    assert (shown.verdict.level, doubts(shown)) == ("green", [])
    assert len(shown.verdict.checks) >= 10
    assert shown.cards[1].speedup.value == 1.0


@pytest.mark.parametrize(
    ("of_last", "level", "sentence"),
    [
        ({"environment": {"git": CLEAN | {"commit": "b" * 40}}}, "red", "commits aaaaaaaaaa, bbb"),
        ({"environment": {"git": CHANGED}}, "red", "changes to commit aaaaaaaaaa do"),
        ({"environment": {"git": {**CLEAN, "dirty": True}}}, "amber", "how is not known"),
        ({"environment": {"git": None}}, "amber", "no Git checkout"),
        ({"facts": {"data_sha256": "e" * 64}}, "red", "SHA-256 dddddddddd and eeeeeeeeee"),
        ({"facts": {"data_sha256": None}}, "amber", "a run has no hash of its data"),
        ({"config": '{"batch_size": 32}'}, "red", "not asked the same: batch_size 32 and 64"),
        ({"config": '{"precision": "bf16"}'}, "red", "precision bf16 and fp32"),
        ({"device": DEVICE | {"accelerator": "tpu"}}, "red", "asked for cpu and was given tpu"),
        ({"device": DEVICE | {"name": "Another"}}, "red", "changed between runs: A CPU and Anoth"),
        ({"environment": {"workload_version": 2}}, "red", "the same: workload_version 1 and 2"),
        ({"environment": {"python": "3.12"}}, "amber", "Versions differ between runs: Python."),
        ({"environment": {"platform": "BSD"}}, "amber", "differ between runs: system."),
        ({"environment": {"hostname": "there"}}, "amber", "differ between runs: host."),
        ({"environment": {"nvidia": {"driver": "560"}}}, "amber", "runs: NVIDIA driver."),
        ({"environment": {"packages": {"torch": "2.8"}}}, "amber", "runs: packages of keras."),
        ({"host": None}, "amber", "Whether the host was quiet is not known"),
        ({"host": 0.9}, "amber", "other processes used up to 45 % of its cores"),
        ({"facts": {"before": {"host_cpu": None}}}, "amber", "before each run is not known"),
        ({"facts": {"before": {"host_cpu": 0.5}}}, "amber", "the runs 50 % of the host's cores"),
        ({"facts": {"steady_s": 0.1}}, "amber", "timed for only 0.1 s"),
        ({"status": "FAILED"}, "amber", "4 repeats; 1 failed"),
    ],
)
def test_each_reason_fires_for_one_run_that_is_not_like_the_others(
    settings, db, of_last, level, sentence
):
    shown = judged(settings, db, of_last)
    (doubt,) = doubts(shown)
    assert (doubt.level, shown.verdict.level) == (level, level)
    assert sentence in doubt.sentence
    assert (shown.cards[1].speedup is None) == (level == "red")


def test_what_holds_for_several_arms_is_said_once_of_all_of_them(settings, db):
    three = {"frameworks": ["torch", "keras", "torch_xla"]}
    alike = judged(settings, db, {}, **three)
    first, second, third = (card.arm for card in alike.cards)
    told = [check.sentence for check in alike.verdict.checks]
    assert f"{first}, {second} and {third}: 5 repeats." in told
    subjects = [sentence.partition(": ")[0] for sentence in told]
    assert len(set(subjects)) == len(subjects)
    no_code = judged(settings, db, {"environment": {"git": None}}, **three)
    assert [check.sentence for check in doubts(no_code)] == [
        f"{third}: Which code ran is not known for every run: no Git checkout."
    ]
    assert f"{second}: The same code: commit aaaaaaaaaa." in [
        check.sentence for check in no_code.verdict.checks
    ]


def test_pairs_that_are_alike_one_by_one_and_not_together_are_told_one_by_one(settings, db):
    """Each lies within the tolerance of the baseline, and not of the other."""
    study_id = actions.submit(
        settings, question(frameworks=["torch", "keras", "torch_xla"], seeds=5), by="test"
    )
    arms = [card.arm for card in report.of(db, actions.find(db, study_id)).cards]
    accuracies = dict(zip(arms, (0.9, 0.885, 0.915), strict=True))
    for trial in studies.trials(db, study_id):
        record(db, trial.member.run_id, accuracy=accuracies[trial.member.arm])
    shown = report.of(db, actions.find(db, study_id))
    assert shown.verdict.level == "green"
    told = [c.sentence for c in shown.verdict.checks if "Final accuracy" in c.sentence]
    assert told == [
        f"{arms[1]}: Final accuracy within 2 points: 90.0 % and 88.5 %.",
        f"{arms[2]}: Final accuracy within 2 points: 90.0 % and 91.5 %.",
    ]


@pytest.mark.parametrize(
    ("of_all", "level", "sentence"),
    [
        ({"environment": {"git": CHANGED}}, "green", "with the same changes to its files"),
        ({"accuracy": None}, "amber", "Final accuracy is not known of"),
        ({"status": "FAILED"}, "red", "no run of 5 succeeded. It broke."),
    ],
)
def test_what_all_runs_have_in_common_is_judged_too(settings, db, of_all, level, sentence):
    shown = judged(settings, db, {}, of_all)
    assert shown.verdict.level == level
    assert any(sentence in check.sentence for check in shown.verdict.checks)


@pytest.mark.parametrize(
    ("of_last", "level", "sentence"),
    [
        ({"facts": before()}, "green", "0 % in use at most, 0 processes of others"),
        ({"facts": before(utilisation=0.6)}, "amber", "60 % in use at most, 0 processes"),
        ({"facts": before(processes=2)}, "amber", "0 % in use at most, 2 processes"),
        ({"facts": before(processes=None)}, "amber", "their driver did not say"),
        ({"throttle": 0x40}, "amber", "gpu:0 was throttled in run"),
        ({"device": GPU | {"name": "Another"}}, "red", "A GPU and Another"),
    ],
)
def test_each_reason_fires_for_a_gpu(settings, db, of_last, level, sentence):
    on_gpu = {"devices": ["gpu"], "frameworks": ["torch", "keras"]}
    of_all = {"device": GPU, "facts": before(), "throttle": 0x1}
    shown = judged(settings, db, of_last, of_all, **on_gpu)
    assert shown.verdict.level == level
    assert any(c.level == level and sentence in c.sentence for c in shown.verdict.checks)
    assert len(doubts(shown)) == (level != "green")


def test_gpus_that_were_named_apart_may_be_of_two_models(settings, db):
    study_id = actions.submit(
        settings, question(devices=["gpu:0", "gpu:1"], frameworks=["torch"], seeds=5), by="test"
    )
    for trial in studies.trials(db, study_id):
        number = trial.member.arm[-1]
        other = GPU | {"id": f"gpu:{number}", "name": f"GPU of kind {number}"}
        use = {"before": {"host_cpu": 0.0, "gpus": {other["id"]: IDLE}}}
        record(db, trial.member.run_id, device=other, facts=use)
    assert report.of(db, actions.find(db, study_id)).verdict.level == "green"


def test_what_is_varied_on_purpose_is_no_reason(settings, db):
    kinds = {"kind": "saturation", "batch_sizes": [32, 64], "frameworks": ["torch"]}
    shown = judged(settings, db, {}, **kinds)
    assert (shown.verdict.level, doubts(shown)) == ("green", [])


def test_virtual_devices_and_xla_on_a_cpu_are_told_apart_from_hardware(settings, db):
    kinds = {"kind": "scaling", "device_counts": [1, 2], "frameworks": ["torch"]}
    (doubt,) = doubts(judged(settings, db, {}, **kinds))
    assert doubt.sentence.startswith("Virtual devices are on one CPU")
    shown = judged(settings, db, {}, frameworks=["torch", "torch_xla"])
    assert "XLA on a CPU exercises the TPU's code" in shown.verdict.checks[-1].sentence


def test_compared_runs_of_other_bytes_are_red_and_of_other_hardware_are_not(settings, db):
    study_id = actions.submit(settings, question(frameworks=["torch"], seeds=3), by="test")
    warm_up, first, second, third = [t.member.run_id for t in studies.trials(db, study_id)]
    record(db, warm_up)
    record(db, first, facts={"data_sha256": "e" * 64})
    record(db, second, device=DEVICE | {"name": "Another"})
    record(db, third, environment={"workload_version": 2})
    found = runs.of_study(db, study_id)
    known = {run_id: report.evidence.of(db, run) for run_id, run in found.items()}
    assert comparable.speeds([found[warm_up], found[second]], known).level == "green"
    assert comparable.speeds([found[warm_up], found[first]], known).level == "red"
    other_model = comparable.speeds([found[warm_up], found[third]], known)
    assert other_model.checks[0].sentence.endswith("the same job: workload.version 1, 2.")


def test_a_red_pair_has_no_speedup_in_json_nor_in_the_file(settings, db):
    slow = {"facts": {"steady_samples_per_s": 500.0}, "config": '{"batch_size": 32}'}
    shown = judged(settings, db, slow, frameworks=["keras", "torch"])
    assert shown.answer == ""
    _, other = shown.as_json()["report_card"]
    assert (other["comparable"], other["speedup"]) == ("red", None)
    assert other["no_speedup"] == "no speed-up: the two are not comparable"
    page = study_file.page(shown, Prices({"cpu": 1.0})).decode()
    assert "<td>no speed-up: the two are not comparable</td>" in page
    assert "Comparability: red" in page
    body = page.replace("1.0x", "")
    assert not [row for row in body.split("<tr>") if "<th>Speed-up</th>" in row and "x (" in row]
