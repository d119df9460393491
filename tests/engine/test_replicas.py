"""One run on several devices of a host: on virtual ones of a CPU, as GPUs and chips are found."""

import dataclasses
import importlib.util
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from engine import checkpoints
from engine.config import RunConfig
from engine.events import Facts, Failed, Finished
from engine.frameworks import processes
from engine.job import EXIT_FAILED, Device, Job
from tests.engine import trainers

FRAMEWORKS = ["torch", "torch_xla", "keras"]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def pair(request, tmp_path_factory):
    """The same run on one device and on two."""
    one = trainers.trained_once(tmp_path_factory, request.param)
    folder = tmp_path_factory.mktemp("two")
    return one, trainers.train(folder, is_measured=True, framework=request.param, devices=2)


def test_two_virtual_devices_do_the_job_of_one(pair):
    one, two = pair
    assert (one.exit_code, two.exit_code) == (0, 0), two.log
    for alone, together in zip(one.epochs, two.epochs, strict=True):
        for name in ("train_loss", "validation_loss"):
            assert together[name] == pytest.approx(alone[name], rel=1e-3)
    assert two.events[-1] == Finished("SUCCEEDED")


def test_one_journal_tells_of_all_replicas(pair):
    _, two = pair
    assert [record.seq for record in two.records] == list(range(1, len(two.records) + 1))
    assert two.phases[4:] == ["train", "evaluate"] * 3
    facts = [event.values for event in two.events if isinstance(event, Facts)]
    known = {name: value for one in facts for name, value in one.items()}
    assert known["peak_memory_bytes"] > 0
    assert known["ledger"]["compute"] > 0


def test_replicas_go_on_from_a_checkpoint(pair, tmp_path):
    _, two = pair
    before = Job.load(two.folder)
    config = RunConfig.parse(before.config.model_dump(mode="json") | {"epochs": 4})
    shutil.copy(checkpoints.path_in(two.folder), checkpoints.path_in(tmp_path))
    job = dataclasses.replace(before, config=config, run_dir=tmp_path, resumes=True)
    job.save()
    resumed = trainers.outcome(job, trainers.start(job))
    assert resumed.exit_code == 0, resumed.log
    (last,) = resumed.epochs
    assert last["train_loss"] < two.epochs[-1]["train_loss"]


def replicas_of(process):
    """Its replicas' processes, and not what Python has beside them."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def training(tmp_path, **config):
    """A run of two replicas that goes on until it is ended, and its processes."""
    job = trainers.job(tmp_path, framework="torch", devices=2, epochs=100_000, **config)
    process = trainers.start(job, is_measured=True)
    give_up = time.monotonic() + 120
    while not (job.journal.exists() and b"epoch_s" in job.journal.read_bytes()):
        assert process.poll() is None, job.log.read_text("utf-8")
        assert time.monotonic() < give_up, job.log.read_text("utf-8")
        time.sleep(0.05)
    return job, process, replicas_of(process)


def test_a_replica_that_is_killed_fails_the_run_and_leaves_no_orphan(tmp_path):
    job, process, replicas = training(tmp_path)
    assert len(replicas) == 2
    os.kill(max(replica.pid for replica in replicas), signal.SIGKILL)
    ended = trainers.outcome(job, process)
    assert ended.exit_code == EXIT_FAILED
    assert ended.events[-1] == Failed(
        "crashed",
        "Process 2 of the run's 2 was killed by SIGKILL, and the others cannot train "
        "without it. If nobody did that by hand, the host ran out of memory: try fewer devices or "
        "a smaller batch size.",
    )
    seqs = [record.seq for record in ended.records]
    assert seqs == list(range(1, len(seqs) + 1))
    psutil.wait_procs(replicas, timeout=10)
    assert not any(replica.is_running() for replica in replicas)


def test_replicas_leave_when_their_parent_is_killed(tmp_path):
    _, process, replicas = training(tmp_path)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(replicas, timeout=20)
    assert not alive


def test_replicas_feed_themselves_by_workers_of_their_own_and_sigterm_stops_all_in_good_order(
    tmp_path,
):
    job, process, replicas = training(tmp_path, input="host_loader", loader_workers=1)
    workers = [worker for replica in replicas for worker in replica.children()]
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGTERM)  # as the supervisor does: all of them hear it
    stopped = trainers.outcome(job, process)
    assert stopped.exit_code == 0, stopped.log
    assert stopped.events[-1] == Finished("STOPPED")
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_replicas_that_diverge_say_so_once(tmp_path):
    run = trainers.train(
        tmp_path, framework="torch", devices=2, optimizer="adamw", learning_rate=1000
    )
    assert run.exit_code == EXIT_FAILED
    assert [event.kind for event in run.events if isinstance(event, Failed)] == ["diverged"]


def test_a_residual_net_with_its_batch_norm_learns_on_two_devices(tmp_path):
    small = {"name": "synthetic", "height": 8, "width": 8, "train_samples": 512,
             "test_samples": 128}  # fmt: skip
    run = trainers.train(
        tmp_path, framework="torch", devices=2, workload={"name": "resnet", "width": 4},
        dataset=small, batch_size=32, epochs=2,
    )  # fmt: skip
    assert run.exit_code == 0, run.log
    assert run.epochs[-1]["train_loss"] < run.epochs[0]["train_loss"]
    assert run.epochs[-1]["validation_accuracy"] > 0.5


def test_any_replica_that_runs_out_of_memory_says_so_for_the_run(tmp_path):
    """The second one may take less memory than its copy of the data set needs."""
    pictures = {"name": "synthetic", "height": 512, "width": 512, "train_samples": 1000,
                "test_samples": 10}  # fmt: skip
    job = trainers.job(tmp_path, framework="torch", devices=2, dataset=pictures, batch_size=10)
    process = trainers.start(job, "tests.engine.poor_replica")
    ended = trainers.outcome(job, process)
    assert ended.exit_code == EXIT_FAILED, ended.log
    assert ended.events[-1] == Failed(
        "out_of_memory",
        "Process 2 of the run's 2 failed. The host ran out of memory. Try fewer or smaller "
        "samples, a smaller batch size or a smaller model.",
    )
    assert not list(tmp_path.glob("replica*"))


@pytest.mark.parametrize("how", [(), ("stuck",)])
def test_the_run_failed_as_its_first_replica_that_failed(tmp_path, how):
    """And not as replica 0, which failed for want of it, and was gone sooner; also if neither
    goes by itself.
    """
    job = trainers.job(tmp_path, framework="torch", devices=2)
    ended = trainers.outcome(
        job, trainers.start(job, "tests.engine.failing_replicas", *how, is_measured=True)
    )
    assert ended.exit_code == EXIT_FAILED, ended.log
    assert ended.events == [Failed("data_missing", "Process 2 of the run's 2 failed. No data.")]


def test_replicas_that_end_between_two_looks_are_not_taken_for_done():
    two = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)) for _ in "ab"]
    for process in two:
        process.start()

    def nobody_told() -> bool:  # asked after each look
        for process in two:
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return False

    assert processes._first_to_fall(two, nobody_told)[:2] == (0, -signal.SIGKILL)


def test_a_chip_that_fails_ends_those_that_wait_for_it_and_says_why(tmp_path):
    package = importlib.util.find_spec("torch_xla").origin
    real = (Path(package).parent / "_internal" / "tpu.py").read_text("utf-8")
    assert "\ndef num_local_processes() -> int:" in real  # what has a stand-in here
    chip = Device("tpu:0", "tpu", "a chip", "test")
    job = trainers.job(tmp_path, chip, framework="torch_xla", devices=2, epochs=100_000)
    ended = trainers.outcome(job, trainers.start(job, "tests.engine.poor_chip"))
    assert ended.exit_code == EXIT_FAILED, ended.log
    last = ended.events[-1]
    assert isinstance(last, Failed)
    assert last.kind == "out_of_memory"
    assert last.sentence.startswith("Process 2 of the run's 2 failed. ")
    assert "1024" in last.sentence or "GiB" in last.sentence
