"""Studies under hardship: kills of all that conducts them, and a device that vanishes midway."""

import random
import time

from engine import launch
from engine.studies import actions, report
from engine.supervisor import DEVICE_MISSING_S, Supervisor
from storage import database, runs, studies
from tests.engine.studies import DEVICE, question
from tests.engine.test_comparable import GPU, record
from tests.processes import SMALL, eventually, free_port, healthy, kill, lab


def test_kills_of_supervisor_and_dashboard_at_any_moment_repeat_no_run_and_lose_none(tmp_path):
    chance = random.Random(5)
    with lab(tmp_path / "store") as here:
        asked = question(frameworks=["torch"], cool_down_s=0, base=SMALL | {"epochs": 100})
        study_id = actions.submit(here.settings, asked, by="test")
        planned = members(here, study_id)
        here.env["ACCELBOARD_PORT"] = str(port := free_port())
        for _ in range(3):
            dashboard = here.start("-m", "dashboard")
            eventually(lambda: healthy(port))
            pid = eventually(lambda: launch.supervisor_pid(here.settings))
            time.sleep(chance.uniform(0, 3))
            for doomed in (pid, dashboard.pid):
                kill(doomed)
            dashboard.wait()
        launch.ensure_supervisor(here.settings)
        over = [here.over(member.run_id, 120) for member in planned]
        assert [run.status for run in over] == ["SUCCEEDED"] * 4
        assert members(here, study_id) == planned
        for run in over:
            here.assert_intact(run.id)
            assert launch.log_tail(here.settings, run).count(f"Run {run.id}: ") == 1


def members(here, study_id):
    with database.opened(here.store) as db:
        return [trial.member for trial in studies.trials(db, study_id)]


def test_a_device_that_vanishes_midway_fails_what_is_left_of_its_arm_and_says_so(settings, db):
    """This host has no GPU: as if it had gone after the first repeat."""
    asked = question(devices=["cpu", "gpu"], frameworks=["torch"], seeds=2, cool_down_s=0)
    study_id = actions.submit(settings, asked, by="test")
    for trial in studies.trials(db, study_id):
        on_gpu = trial.member.arm.endswith("GPU")
        if not on_gpu or trial.member.seed == 0:
            record(db, trial.member.run_id, device=GPU if on_gpu else DEVICE)
    now = [0.0]
    supervisor = Supervisor(settings, clock=lambda: now[0])
    supervisor.tick(db, time.time())
    assert report.of(db, actions.find(db, study_id)).status == "RUNNING"  # it may come back
    now[0] = DEVICE_MISSING_S + 1
    supervisor.tick(db, time.time())
    shown = report.of(db, actions.find(db, study_id))
    cpu, gpu = shown.cards
    assert (shown.status, shown.progress.failed) == ("SUCCEEDED", 1)
    assert (len(cpu.repeats), len(gpu.repeats), len(gpu.failures)) == (2, 1, 1)
    assert "GPU" in gpu.failures[0]
    (doubt,) = [c for c in shown.verdict.checks if c.sentence.startswith("PyTorch on GPU: ")]
    assert doubt.sentence.startswith("PyTorch on GPU: 1 repeat; 1 failed")
    assert actions.resume(settings, study_id, by="me") == 1
    assert len(runs.queue(db)) == 1
