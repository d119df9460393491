"""What every framework owes the trainer, and the trainer everybody: one suite for all of them.

Each framework runs in processes of its own: torch_xla and TensorFlow do not share one.
"""

import gc
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine import checkpoints, devices, frameworks, trainer, training
from engine.config import RunConfig
from engine.datasets import DEBIAN_FOLDER
from engine.events import Facts, Failed, Finished, Metrics, PhaseStarted, Started
from engine.failures import RunFailed
from engine.job import EXIT_FAILED, Job
from engine.ledger import ACCOUNTS
from engine.settings import PROJECT
from tests.engine import trainers

ON_CPU = [("torch", "cpu"), ("keras", "cpu"), ("torch_xla", "cpu")]
ON_GPU = [
    pytest.param((framework, "gpu"), marks=pytest.mark.gpu, id=f"{framework}-gpu")
    for framework in ("torch", "keras")
]
GONE = devices.Device("gpu:0", "gpu", "a GPU", "test", uuid="")
EPOCH_KEYS = {
    *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"),
    *("learning_rate", "epoch_s", "samples_per_s", "compiles"),
}


@pytest.fixture(scope="module", params=[*ON_CPU, *ON_GPU], ids=lambda case: "-".join(case))
def case(request):
    """A framework, and a device of this machine to run it on."""
    framework, accelerator = request.param
    if accelerator == "cpu":
        return framework, trainers.CPU
    inventory = devices.find()
    found = [device for device in inventory.devices if device.accelerator == accelerator]
    if not found:
        pytest.skip(inventory.missing.get(accelerator, f"No {accelerator} here."))
    return framework, found[0]


@pytest.fixture(scope="module")
def run(case, tmp_path_factory):
    """One whole run, for many tests to look at."""
    framework, device = case
    if device == trainers.CPU:
        return trainers.trained_once(tmp_path_factory, framework)
    return trainers.train(tmp_path_factory.mktemp("run"), device, framework=framework)


@pytest.fixture(scope="module")
def known(run):
    """All that the run found out about itself."""
    found = {}
    for event in run.events:
        if isinstance(event, Facts):
            found |= event.values
    return found


@pytest.fixture(scope="module")
def facts(case, tmp_path_factory):
    """What the framework's session did in a second process, with the same config as `run`."""
    framework, device = case
    return facts_of(tmp_path_factory.mktemp("facts"), framework, device)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """PyTorch's facts on the CPU, which the other frameworks' are held against."""
    return facts_of(tmp_path_factory.mktemp("reference"), "torch", trainers.CPU)


KNOWN_FACTS = {}


def facts_of(folder, framework, device):
    """Each process once: PyTorch's facts are its own and the reference."""
    key = framework, device.id
    if key not in KNOWN_FACTS:
        job = trainers.job(folder, device, framework=framework)
        command = [sys.executable, "-m", "tests.engine.session_facts", str(folder)]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=trainers.environment(job, is_measured=True),
            timeout=240,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        KNOWN_FACTS[key] = json.loads((folder / "facts.json").read_text("utf-8"))
    return KNOWN_FACTS[key]


def test_a_run_succeeds_and_its_events_are_numbered_from_1(run):
    assert run.exit_code == 0, run.log
    assert [record.seq for record in run.records] == list(range(1, len(run.records) + 1))
    assert run.events[-1] == Finished("SUCCEEDED")


def test_a_run_says_what_it_does_in_order(run):
    assert run.phases[:4] == ["import", "data", "build", "compile"]
    assert run.phases[4:] == ["train", "evaluate"] * 3
    assert run.events[0] == PhaseStarted("import")
    assert isinstance(run.events[1], Started)


def test_a_run_says_what_it_ran_on(run, case):
    environment = run.events[1].environment
    framework, device = case
    assert environment["packages"][devices.PACKAGES[framework]]
    assert environment["devices"][0]["id"] == device.id
    assert environment["logical_cores"] >= 1


def test_every_epoch_has_every_metric_and_each_is_a_finite_number(run):
    assert len(run.epochs) == 3
    for values in run.epochs:
        assert set(values) == EPOCH_KEYS
        assert all(math.isfinite(value) for value in values.values()), values


def test_steps_count_up_to_the_end_of_each_epoch(run):
    metrics = [event for event in run.events if isinstance(event, Metrics)]
    steps = [event.step for event in metrics if "step_loss" in event.values]
    assert steps == sorted(set(steps))
    assert steps[0] == training.WARM_UP_STEPS
    ends = [(event.step, event.epoch) for event in metrics if "epoch_s" in event.values]
    assert ends == [(34, 1), (68, 2), (102, 3)]


def test_it_learns(run):
    first, last = run.epochs[0], run.epochs[-1]
    assert last["train_loss"] < first["train_loss"] / 2
    assert last["train_accuracy"] > first["train_accuracy"]
    assert last["validation_accuracy"] > 0.9


def test_a_repeat_has_the_same_losses_to_the_last_digit_however_its_steps_are_parcelled(run, facts):
    repeated = [loss / samples for loss, _, samples in facts["parcelled"]["totals"]]
    assert repeated == [values["train_loss"] for values in run.epochs]
    loss, correct, samples = facts["parcelled"]["evaluations"][0]
    assert loss / samples == run.epochs[-1]["validation_loss"]
    assert correct / samples == run.epochs[-1]["validation_accuracy"]


def test_a_run_that_was_resumed_ends_with_the_very_weights_of_one_that_was_not(run, facts):
    """The run was whole; the facts are of another process, restored before its last epoch."""
    origin = checkpoints.origin_of(checkpoints.path_in(run.folder))
    assert origin.epoch == 3
    assert facts["resumed"] == origin.digest


def test_a_loader_on_the_host_feeds_the_same_job(facts):
    assert facts["host_loader"] == pytest.approx(facts["losses"]["adam"], rel=1e-5)


def test_workers_hand_out_the_same_samples_in_the_same_order(facts):
    assert facts["workers"] == facts["host_loader"]


def test_a_smaller_last_batch_trains_alike_and_is_compiled_once(facts, reference):
    assert facts["ragged"]["losses"] == pytest.approx(reference["ragged"]["losses"], rel=1e-3)
    assert len(set(facts["ragged"]["compiles"])) == 1


def test_a_changing_rate_with_momentum_trains_as_it_does_in_pytorch(facts, reference):
    """With SGD, which a rate that stays is no other arithmetic for."""
    assert facts["scheduled"][1] < facts["scheduled"][0]
    assert facts["scheduled"] == pytest.approx(reference["scheduled"], rel=1e-3)


def test_pytorch_takes_numbers_too_small_to_be_normal_for_zero(reference):
    assert reference["subnormal"] == 0


def test_one_cycle_is_pytorchs(reference):
    assert reference["one_cycle"]["ours"] == pytest.approx(reference["one_cycle"]["theirs"])


def test_the_ledger_holds_every_second_of_the_process(run, known):
    ledger = known["ledger"]
    assert set(ledger) <= set(ACCOUNTS)
    assert sum(ledger.values()) == pytest.approx(run.records[-1].at - run.began_at, rel=0.01)
    assert ledger["compute"] == pytest.approx(known["steady_s"], rel=0.2)
    assert ledger["import"] > ledger["checkpoint"] > 0
    assert known["compiles"] > 0


def test_a_framework_that_compiles_says_what_that_took(known):
    assert (known["compiles"] > 0) == (known["ledger"].get("compile", 0) > 0)


def test_what_a_step_takes_is_counted_alike_for_all_frameworks(known):
    """Two matrix products forward; backward two more of each, but no gradient of the pixels."""
    batch, pixels, hidden, classes = 60, 144, 32, 10
    first, second = 2 * batch * pixels * hidden, 2 * batch * hidden * classes
    assert known["flops_per_step"] == 2 * first + 3 * second
    assert known["parameters"] == pixels * hidden + hidden + hidden * classes + classes
    assert known["bytes_per_step"] > 7 * 4 * known["parameters"]
    assert known["peak_memory_bytes"] > 0


def test_looking_twice_gives_the_same(facts):
    first, second = facts["parcelled"]["evaluations"]
    assert first == second
    assert first[2] == 300


def test_nothing_is_compiled_for_a_number_of_steps_nor_for_a_step(facts):
    before, first_epoch, *later = facts["parcelled"]["compiles"]
    assert first_epoch - before <= 3  # the epoch's layout; the optimizer's state; a step
    assert set(later) == {first_epoch}


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_each_optimizer_trains_as_it_does_in_pytorch(facts, reference, optimizer):
    losses = facts["losses"][optimizer]
    assert losses[1] < losses[0]
    assert losses == pytest.approx(reference["losses"][optimizer], rel=1e-3)


def test_bf16_trains_and_is_another_arithmetic(facts):
    first, second = facts["bf16"]
    assert second < first
    assert facts["bf16"] != facts["losses"]["adam"]
    assert facts["bf16"] == pytest.approx(facts["losses"]["adam"], rel=0.05)


def test_fp16_trains_and_a_step_that_overflows_is_left_out(facts):
    if facts["fp16"] is None:
        pytest.skip("PyTorch/XLA runs on no device here that has fp16")
    first, second = facts["fp16"]["losses"]
    assert second < first
    assert facts["fp16"]["losses"] == pytest.approx(facts["losses"]["adam"], rel=0.02)
    assert facts["fp16"]["kept"]
    assert facts["fp16"]["scale"] == 2.0**119


def test_a_loss_that_is_not_finite_is_handed_on(facts):
    assert not math.isfinite(facts["diverged"][-1])


def test_its_own_out_of_memory_is_known_as_such(facts):
    assert facts["out_of_memory"] == "host"


def test_one_replica_agrees_with_itself(facts):
    assert facts["parcelled"]["agreed"] == 7


def test_keras_and_pytorch_models_start_as_one(facts, reference):
    if facts["logits"] is None:
        pytest.skip("PyTorch/XLA takes PyTorch's model")
    for mine, theirs in zip(facts["logits"], reference["logits"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_sigterm_stops_a_run_in_good_order(case, tmp_path):
    framework, device = case
    job = trainers.job(tmp_path, device, framework=framework, epochs=100_000)
    process = trainers.start(job)
    wait_for_metrics(job, process)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    stopped = trainers.outcome(job, process)
    assert stopped.exit_code == 0, stopped.log
    assert stopped.events[-1] == Finished("STOPPED")
    assert time.monotonic() - asked < 30
    told = [
        event.values["checkpoint"]["epoch"]
        for event in stopped.events
        if isinstance(event, Facts) and "checkpoint" in event.values
    ]
    saved = checkpoints.origin_of(checkpoints.path_in(tmp_path)).epoch if told else None
    assert saved == (told[-1] if told else None)
    assert (tmp_path / "model.keras").exists() == (framework == "keras" and bool(told))


def wait_for_metrics(job, process):
    give_up = time.monotonic() + 120
    while not (job.journal.exists() and b"epoch_s" in job.journal.read_bytes()):
        assert process.poll() is None, job.log.read_text("utf-8")
        assert time.monotonic() < give_up, job.log.read_text("utf-8")
        time.sleep(0.05)


def test_a_device_that_is_not_there_fails_the_run(tmp_path):
    """CUDA_VISIBLE_DEVICES is empty, as if the GPU had gone since the run was queued."""
    run = trainers.train(tmp_path, GONE, is_measured=True, framework="torch")
    assert run.exit_code == EXIT_FAILED
    assert run.events[-1].kind == "device_missing"
    assert "PyTorch" in run.events[-1].sentence


def test_each_framework_says_that_it_sees_no_gpu(case, facts):
    if facts["gone"] is None:
        pytest.skip("PyTorch/XLA takes none, and where there is one it is not gone")
    kind, sentence = facts["gone"]
    assert kind == "device_missing"
    assert {"torch": "PyTorch", "keras": "TensorFlow"}[case[0]] in sentence


def test_nothing_that_is_imported_is_searched_for_garbage():
    with frameworks.importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_more_replicas_than_the_run_asked_for_refuse_it():
    raw = {"framework": "torch_xla", "accelerator": "tpu", "devices": 4}
    job = Job("test", RunConfig.parse(raw), (), Path(), Path())
    with pytest.raises(RunFailed) as failed:
        frameworks.load("torch_xla").session(job, None, frameworks.Replica(0, 8))
    assert failed.value.kind == "device_missing"
    assert "asks for 4 devices and this host has 8" in failed.value.sentence


def test_failures_are_told_apart():
    missing = RunFailed("data_missing", "No data.")
    assert trainer.failure_of(missing) == Failed("data_missing", "No data.")
    assert trainer.failure_of(MemoryError()).kind == "out_of_memory"
    other = trainer.failure_of(ValueError("first line\nsecond"))
    assert other.kind == "framework_error"
    assert other.sentence == "ValueError: first line (The log has the whole message.)"


def test_pace_leaves_warm_up_out_and_reports_once_to_four_times_a_second():
    now = iter(range(0, 1000, 10))
    pace = training.Pace(clock=lambda: next(now) / 1000)  # every run takes 10 ms
    assert pace.next_chunk(left=1) == 1
    assert pace.next_chunk(left=100) == training.WARM_UP_STEPS
    pace.timed(lambda steps: None, training.WARM_UP_STEPS)
    assert pace.steady == training.Span()
    assert pace.next_chunk(left=100) == 1
    pace.timed(lambda steps: None, 1)
    assert pace.steady.steps_per_s == pytest.approx(100)
    assert pace.next_chunk(left=100) == 25
    assert pace.next_chunk(left=7) == 7


@pytest.mark.skipif(not DEBIAN_FOLDER.exists(), reason=f"No Fashion-MNIST in {DEBIAN_FOLDER}")
@pytest.mark.parametrize("framework", ["torch", "keras", "torch_xla"])
def test_the_defaults_reach_87_percent_on_fashion_mnist(framework, tmp_path, capsys):
    run = trainers.train(tmp_path, **RunConfig.parse({"framework": framework}).model_dump())
    assert run.exit_code == 0, run.log
    accuracy = run.epochs[-1]["validation_accuracy"]
    seconds = " ".join(f"{values['epoch_s']:.2f}" for values in run.epochs)
    with capsys.disabled():
        sys.stdout.write(f"\n{framework}: accuracy {accuracy:.4f}, seconds per epoch {seconds}\n")
    assert accuracy >= 0.87
