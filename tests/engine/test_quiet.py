"""The rest before a run: how busy the host was in it, and who has to wait for it."""

import subprocess
import sys
import time

import pytest

from engine import quiet
from engine.config import RunConfig
from tests.processes import SMALL, eventually, lab

BUSY = "while True: pass"


def waiting(name, accelerator="cpu", cool_down_s=0.0):
    run = type("Waiting", (), {"id": name, "cool_down_s": cool_down_s})
    framework = "torch" if accelerator == "gpu" else "keras"
    raw = SMALL | {"accelerator": accelerator, "framework": framework}
    return run, RunConfig.parse(raw)


def names(found):
    return [run.id for run, _ in found]


def test_a_run_that_cools_down_keeps_later_ones_off_its_hardware_only():
    queue = [waiting("a"), waiting("b", cool_down_s=5.0), waiting("c"), waiting("d", "gpu")]
    assert names(quiet.rested(queue, 4.9)) == ["a", "d"]
    assert names(quiet.rested(queue, 5.0)) == ["a", "b", "c", "d"]


def test_a_rest_that_is_too_short_tells_nothing():
    assert quiet.Rest().host_cpu() is None


def test_a_busy_core_is_seen():
    rest = quiet.Rest()
    burner = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        time.sleep(1.5)
        assert rest.host_cpu() > 0.5 / (quiet.psutil.cpu_count() or 1)
    finally:
        burner.kill()
        burner.wait()


def test_what_was_long_ago_is_forgotten():
    now = [0.0]
    rest = quiet.Rest(clock=lambda: now[0])
    for at in range(0, 60):
        now[0] = float(at)
        rest.look()
    assert rest.seconds == 59.0
    assert now[0] - rest._earlier.at <= 2 * quiet.WINDOW_S


@pytest.mark.parametrize("cool_down_s", [3.0])
def test_a_run_waits_for_its_cool_down_and_knows_what_the_host_did_in_it(tmp_path, cool_down_s):
    from storage import database, runs

    with lab(tmp_path / "store") as here:
        first = here.submit(SMALL)
        config = here.run(first).config
        with database.opened(here.store) as db:
            second = runs.create(db, name="rested", config=config, submitted_by="test",
                                 total_steps=here.run(first).total_steps,
                                 cool_down_s=cool_down_s)  # fmt: skip
        here.supervise()
        before = here.over(first)
        assert eventually(lambda: here.run(second).status == "PENDING")
        after = here.over(second)
    assert after.started_at - before.finished_at >= cool_down_s - 0.5
    assert after.facts["before"]["rest_s"] >= cool_down_s
    assert 0.0 <= after.facts["before"]["host_cpu"] <= 1.0
    assert after.facts["before"]["gpus"] == {}
    assert after.facts["data_sha256"] == before.facts["data_sha256"]
