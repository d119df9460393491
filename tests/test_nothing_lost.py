"""What is killed, cut or filled up loses nothing that was journaled. Real processes, real kills."""

import itertools
import json
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from engine import checkpoints, launch, supervision
from engine.config import RunConfig
from engine.journal import read
from engine.studies import actions
from engine.studies.question import Question
from storage import database, runs, studies
from tests.processes import (
    ENDLESS,
    SMALL,
    alive,
    eventually,
    fill,
    free_port,
    healthy,
    kill,
    lab,
    mounted,
)


@pytest.fixture
def here(tmp_path):
    with lab(tmp_path / "store", stop_grace_s=2) as made:
        yield made


@pytest.fixture
def here_measured(tmp_path):
    with lab(tmp_path / "store", is_measured=True, stop_grace_s=2) as made:
        yield made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store, and the one run that it has, which is over."""
    with lab(tmp_path_factory.mktemp("trained") / "store") as made:
        made.supervise()
        run = made.over(made.submit(SMALL))
        assert run.status == "SUCCEEDED"
        yield made, run


def test_a_killed_trainer_is_a_failed_run_with_its_signal_and_log(here):
    here.supervise()
    run_id = here.submit(ENDLESS)
    os.kill(here.training(run_id).pid, signal.SIGKILL)
    run = here.over(run_id)
    assert (run.status, run.failure_kind) == ("FAILED", "crashed")
    assert "SIGKILL" in run.failure
    assert "did not do that for want of memory" in run.failure
    assert run_id in launch.log_tail(here.settings, run)
    here.assert_intact(run_id)


@pytest.fixture
def small_memory():
    """A control group of this host, whose processes get no more memory."""
    group = Path("/sys/fs/cgroup/memory") / f"accelboard-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"needs a control group of memory of its own: {error}")
    (group / "memory.limit_in_bytes").write_text("65536")
    yield group
    eventually(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_trainer_that_the_kernel_killed_for_want_of_memory_is_told_as_such(here, small_memory):
    supervisor = here.supervise()
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    scores = [int(Path(f"/proc/{one}/oom_score_adj").read_text()) for one in (pid, supervisor.pid)]
    assert scores[0] > scores[1]
    (small_memory / "cgroup.procs").write_text(str(pid))
    run = here.over(run_id)
    assert (run.status, run.failure_kind) == ("FAILED", "out_of_memory")
    assert "The host ran out of memory" in run.failure
    assert "has fitted here" in run.failure
    here.assert_intact(run_id)


def test_training_outlives_supervisors_killed_at_any_moment_and_nothing_is_lost_or_doubled(here):
    """One is killed while its trainer starts, the others while they copy what is journaled."""
    first = here.supervise()
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    first.kill()
    first.wait()
    chance = random.Random(7)
    for _ in range(4):
        size = here.journal(run_id).stat().st_size
        eventually(lambda size=size: here.journal(run_id).stat().st_size > size)
        one, before = here.supervise(), here.run(run_id).last_seq
        time.sleep(chance.random())
        one.kill()
        one.wait()
        assert here.run(run_id).last_seq >= before

    here.supervise()
    caught_up = here.run(run_id).epoch
    eventually(lambda: here.run(run_id).epoch > caught_up + 3)
    assert (alive(pid), here.run(run_id).pid) == (True, pid)
    launch.stop(here.settings, run_id, by="test")
    assert here.over(run_id).status == "STOPPED"
    here.assert_intact(run_id)


def test_a_supervisor_of_other_code_is_replaced_and_its_trainer_trains_on(here):
    here.supervise()
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    first = supervision.of(here.store)
    launch.ensure_supervisor(here.settings)
    assert supervision.of(here.store) == first
    noted = {"code": "as it was before an update", "settings": first.settings}
    supervision.lock_path(here.store).write_text(f"{first.pid}\n{json.dumps(noted)}\n")
    launch.keep_supervised(here.settings)
    assert launch.supervisor_pid(here.settings) == first.pid

    with ThreadPoolExecutor(3) as several:
        list(several.map(launch.ensure_supervisor, [here.settings] * 3))
    second = supervision.of(here.store)
    assert (second.code, second.pid != first.pid) == (first.code, True)
    before = here.run(run_id).epoch
    eventually(lambda: here.run(run_id).epoch > before + 3)
    assert (alive(pid), here.run(run_id).pid) == (True, pid)

    os.kill(pid, signal.SIGKILL)
    run = here.over(run_id)
    assert (run.status, run.failure_kind) == ("FAILED", "crashed")
    assert "How it exited went to the supervisor that had started it" in run.failure
    here.assert_intact(run_id)


def test_a_dashboard_replaces_a_supervisor_of_other_settings_and_a_command_says_so(here):
    here.supervise()
    first = launch.supervisor_pid(here.settings)
    others = here.settings.model_copy(update={"stall_s": 77.0})
    told = supervision.differing(supervision.of(here.store), others)
    assert told == {"stall_s": ("900.0", "77.0")}
    launch.ensure_supervisor(others)
    launch.ensure_supervisor(here.settings, as_configured=True)
    assert launch.supervisor_pid(here.settings) == first

    here.env["ACCELBOARD_STALL_S"] = "77"
    said = here.cli("submit", *(f"--set={name}" for name in ("epochs=1", "dataset=synthetic")))
    assert "runs go by those: stall_s 900.0 (here 77.0)" in said.stderr
    assert launch.supervisor_pid(here.settings) == first
    here.env["ACCELBOARD_PORT"] = str(port := free_port())
    here.start("-m", "dashboard")
    eventually(lambda: healthy(port))
    found = supervision.of(here.store)
    assert (found.pid != first, found.settings["stall_s"]) == (True, "77.0")


def test_a_killed_dashboard_changes_nothing(here):
    here.env["ACCELBOARD_PORT"] = str(port := free_port())
    dashboard = here.start("-m", "dashboard")
    eventually(lambda: healthy(port))
    run_id = here.submit(ENDLESS)
    before = here.training(run_id)
    kill(dashboard.pid)
    dashboard.wait()
    eventually(lambda: here.run(run_id).epoch > before.epoch + 3)
    assert here.run(run_id).pid == before.pid
    assert alive(launch.supervisor_pid(here.settings))


def test_when_everything_is_killed_at_once_every_epoch_that_was_journaled_is_kept(here):
    """Trainer, supervisor and dashboard, as by a host that dies with its disk in order."""
    here.env["ACCELBOARD_PORT"] = str(port := free_port())
    dashboard = here.start("-m", "dashboard")
    eventually(lambda: healthy(port))
    run_id = here.submit(ENDLESS)
    pid, supervisor_pid = here.training(run_id).pid, launch.supervisor_pid(here.settings)
    os.kill(supervisor_pid, signal.SIGSTOP)  # so that the journal is ahead of the store
    size = here.journal(run_id).stat().st_size
    eventually(lambda: here.journal(run_id).stat().st_size > size + 2000)
    for doomed in (dashboard.pid, supervisor_pid, pid):
        kill(doomed)
    dashboard.wait()
    eventually(lambda: not alive(pid) and not alive(supervisor_pid))
    assert here.stored(run_id) != here.journaled(run_id)

    here.start("-m", "dashboard")
    run = here.over(run_id)
    assert (run.status, run.failure_kind) == ("FAILED", "lost")
    here.assert_intact(run_id)
    assert here.curve(run_id, "train_loss").value.size >= 1
    eventually(lambda: healthy(port))


def test_a_line_cut_in_half_by_the_cut_is_left_out_and_the_rest_is_kept(here):
    supervisor = here.supervise()
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    supervisor.kill()
    supervisor.wait()
    kill(pid)
    eventually(lambda: not alive(pid))
    whole = here.journal(run_id).read_bytes()
    here.journal(run_id).write_bytes(whole[: whole.rstrip().rfind(b"\n") + 20])

    here.supervise()
    assert here.over(run_id).failure_kind == "lost"
    assert here.stored(run_id) == here.journaled(run_id)


def test_a_run_whose_trainer_was_never_started_goes_back_to_the_queue_and_runs(here):
    """As if the supervisor had died between claiming the run and starting its trainer."""
    run_id = here.submit(SMALL)
    with database.opened(here.store) as db:
        runs.claim(
            db, run_id, host="here", devices=[{"id": "cpu:0", "name": "CPU"}], now=time.time()
        )
    here.supervise()
    assert here.begun(run_id).status == "RUNNING"


def test_a_waiting_run_stops_at_once_and_a_running_one_in_good_order(here_measured):
    """And frees its device."""
    here = here_measured
    here.supervise()
    first, waiting, next_one = (here.submit(raw) for raw in (ENDLESS, SMALL, SMALL))
    run = here.training(first)
    launch.stop(here.settings, waiting, by="ann")
    found = here.run(waiting)
    assert (found.status, found.started_at, found.stop_requested_by) == ("STOPPED", None, "ann")
    assert here.run(first).status == "RUNNING"

    launch.stop(here.settings, first, by="ann")
    stopped = here.over(first)
    assert (stopped.status, stopped.failure) == ("STOPPED", None)
    assert read(here.journal(first), 0).records[-1].event.status == "STOPPED"
    assert not alive(run.pid)
    assert here.begun(next_one).pid
    assert here.run(waiting).pid is None


def test_a_trainer_that_does_not_listen_is_killed_and_its_device_is_free(here):
    here.supervise()
    first, second = here.submit(ENDLESS), here.submit(SMALL)
    pid = here.training(first).pid
    os.kill(pid, signal.SIGSTOP)
    launch.stop(here.settings, first, by="ann")
    assert here.over(first).status == "STOPPED"
    assert not alive(pid)
    assert here.begun(second).pid


def test_a_silent_trainer_is_stalled_but_not_one_whose_supervisor_was_away(here_measured):
    """The first supervisor's patience, which importing takes some of, is not the second's."""
    here = here_measured
    first = here.supervise()
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    first.kill()
    first.wait()
    time.sleep(7)
    epoch = here.run(run_id).epoch
    here.env["ACCELBOARD_STALL_S"] = "5"
    here.supervise()
    eventually(lambda: here.run(run_id).epoch > epoch + 3)
    assert (here.run(run_id).status, here.run(run_id).pid) == ("RUNNING", pid)
    os.kill(pid, signal.SIGSTOP)
    run = here.over(run_id)
    assert (run.status, run.failure_kind) == ("FAILED", "stalled")
    assert not alive(pid)


def test_one_run_that_cannot_be_read_does_not_keep_the_others_from_running(here):
    """A config of another version in the queue, and a journal that is a folder."""
    with database.opened(here.store) as db:
        config = RunConfig.parse(SMALL).model_dump(mode="json")
        fields = {"name": "", "total_steps": 1, "submitted_by": "test"}
        foreign = runs.create(db, config=config | {"warp": 9}, priority=9, **fields)
        stuck = runs.create(db, config=config, **fields)
        runs.claim(db, stuck, host="here", devices=[{"id": "gpu:0", "name": "GPU"}], now=1.0)
    here.journal(stuck).mkdir(parents=True)
    last = here.submit(SMALL)
    supervisor = here.supervise()
    assert here.begun(last).status == "RUNNING"
    assert "Unknown field 'warp'" in here.run(foreign).failure
    assert supervisor.poll() is None


def test_a_run_past_its_time_limit_is_ended_and_says_so(here):
    here.supervise()
    run = here.over(here.submit(ENDLESS | {"timeout_s": 8}))
    assert (run.status, run.failure_kind) == ("FAILED", "timed_out")
    assert "8 s" in run.failure


def test_a_loss_that_becomes_nan_ends_the_run_with_advice(here):
    here.supervise()
    run = here.over(here.submit(ENDLESS | {"optimizer": "adamw", "learning_rate": 1000}))
    assert (run.status, run.failure_kind) == ("FAILED", "diverged")
    assert run.failure.startswith("The loss became ")
    assert run.failure.endswith("Try a learning rate below 1000.")
    assert None not in here.stored(run.id).values()


def test_an_exception_in_the_framework_is_told_with_its_words_and_its_log(tmp_path):
    """The framework is a fake here: a package named torch that raises when it is imported."""
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('libcudart went missing')\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{broken.parent}:$PYTHONPATH" exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    with lab(tmp_path / "store", python_torch=python) as here:
        here.supervise()
        run = here.over(here.submit(SMALL))
        assert (run.status, run.failure_kind) == ("FAILED", "framework_error")
        assert "RuntimeError: libcudart went missing" in run.failure
        assert "Traceback" in launch.log_tail(here.settings, run)


def test_an_interpreter_that_cannot_be_started_is_named(tmp_path):
    not_python = tmp_path / "python"
    not_python.write_text("no program")
    with lab(tmp_path / "store", python_torch=not_python) as here:
        here.supervise()
        run = here.over(here.submit(SMALL))
        assert str(not_python) in run.failure
        assert "ACCELBOARD_PYTHON_TORCH" in run.failure


def test_of_two_supervisors_started_at_once_one_yields(here):
    both = [here.supervise(wait=False) for _ in range(2)]
    leaver = eventually(lambda: next((p for p in both if p.poll() is not None), None), 30)
    assert leaver.returncode == 5
    (stayer,) = [process for process in both if process is not leaver]
    eventually(lambda: launch.supervisor_pid(here.settings) == stayer.pid)
    assert here.begun(here.submit(SMALL)).status == "RUNNING"
    assert stayer.poll() is None


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        yield disk


def test_a_full_disk_loses_no_event_once_there_is_room_again(small_disk):
    with lab(small_disk / "store") as here:
        here.supervise()
        run_id = here.submit(ENDLESS)
        here.training(run_id)
        filler = small_disk / "filler"
        with database.opened(here.store) as db:  # SQLite wants room to open a store that nobody has
            assert runs.get(db, run_id)
            fill(filler)
            eventually(lambda: os.statvfs(small_disk).f_bavail == 0)
            time.sleep(3)
            stuck = runs.get(db, run_id)
            for refused in (here.cli("submit", "--set", "epochs=2"), here.cli("stop", run_id)):
                assert (refused.returncode, refused.stdout) == (5, "")
                assert "cannot be used: database or disk is full. Free some space" in refused.stderr
        assert stuck
        assert stuck.status == "RUNNING"
        filler.unlink()
        assert (here.count(), here.run(run_id).stop_requested_at) == (1, None)
        eventually(lambda: here.run(run_id).epoch > stuck.epoch + 2)
        launch.stop(here.settings, run_id, by="test")
        assert here.over(run_id).status == "STOPPED"
        here.assert_intact(run_id)


def test_a_job_file_is_not_part_of_the_journal(trained):
    """What a trainer was given can be read from its folder afterwards."""
    here, run = trained
    job = json.loads((here.journal(run.id).parent / "job.json").read_text())
    assert job["config"] == run.config


def test_a_killed_run_resumes_and_ends_with_the_weights_of_one_that_was_not_killed(here):
    here.supervise()
    killed = here.submit(ENDLESS)
    os.kill(here.training(killed, epochs=3).pid, signal.SIGKILL)
    before = here.over(killed)
    epochs = before.facts["checkpoint"]["epoch"] + 40
    resumed = launch.resume(here.settings, killed, by="ann", changes={"epochs": epochs})
    after = here.over(resumed)
    assert (after.status, after.failure) == ("SUCCEEDED", None)
    assert after.resumed_epoch >= before.facts["checkpoint"]["epoch"]

    curve = here.curve(resumed, "train_loss")
    assert list(curve.epoch) == list(range(1, epochs + 1))
    assert all(later >= earlier for earlier, later in itertools.pairwise(curve.at))
    first_s = curve.at[0] - after.started_at + after.earlier_s
    assert first_s == pytest.approx(here.curve(killed, "train_loss").at[0] - before.started_at)
    assert here.run(killed) == before

    whole = here.over(here.submit(ENDLESS | {"epochs": epochs}))
    digests = {digest(here, run) for run in (after, whole)}
    assert len(digests) == 1


def digest(here, run):
    return checkpoints.origin_of(launch.checkpoint_path(here.settings, run)).digest


def test_a_run_without_a_checkpoint_says_so_when_asked_to_resume(here):
    run_id = here.submit(SMALL)
    launch.stop(here.settings, run_id, by="ann")
    with pytest.raises(launch.NotPossible, match="It has no checkpoint: it ended before"):
        launch.resume(here.settings, run_id, by="ann")
    assert here.count() == 1


def test_a_damaged_checkpoint_is_refused_and_nothing_is_written(trained):
    here, run = trained
    path = launch.checkpoint_path(here.settings, run)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(launch.NotPossible, match="is damaged"):
        launch.resume(here.settings, run.id, by="ann", changes={"epochs": 9})
    assert here.count() == 1


def test_a_run_takes_the_trainer_that_waits_but_a_studys_run_does_not_and_no_second_is_lost(
    tmp_path,
):
    with lab(tmp_path / "store", warm="torch") as here:
        supervisor = here.supervise()
        waiting = eventually(lambda: on_standby(supervisor.pid))
        eventually(lambda: waiting.cpu_percent(0.5) < 5, 60)  # it has imported all
        run = here.over(here.submit(SMALL | {"epochs": 400}))
        assert (run.status, run.pid) == ("SUCCEEDED", waiting.pid)
        ledger = run.facts["ledger"]
        assert ledger["import"] < 1
        wall_s = run.finished_at - run.started_at
        assert sum(ledger.values()) == pytest.approx(wall_s, rel=0.01)

        next_one = eventually(lambda: on_standby(supervisor.pid))
        eventually(lambda: next_one.cpu_percent(0.5) < 5, 60)
        asked = Question.parse({"base": SMALL, "seeds": 1, "cool_down_s": 0})
        study_id = actions.submit(here.settings, asked, by="test")
        with database.opened(here.store) as db:
            first, _ = studies.trials(db, study_id)
        own = here.over(first.member.run_id)
        assert own.pid != next_one.pid  # its import is in every time of a study's run, or in none
        assert own.facts["ledger"]["import"] > 1
        assert next_one.is_running()
        supervisor.kill()
        supervisor.wait()
        eventually(lambda: not alive(next_one.pid))


def test_a_waiting_trainer_that_is_killed_costs_no_run(tmp_path):
    with lab(tmp_path / "store", is_measured=True, warm="torch") as here:
        supervisor = here.supervise()
        kill(eventually(lambda: on_standby(supervisor.pid)).pid)
        assert here.begun(here.submit(SMALL)).status == "RUNNING"


def on_standby(supervisor_pid):
    """The supervisor's process that waits for a run."""
    children = psutil.Process(supervisor_pid).children()
    return next((child for child in children if "--standby" in child.cmdline()), None)
