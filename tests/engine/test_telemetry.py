"""Readings: of real processes and this host; of GPUs, TPUs and RAPL through named fakes."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pynvml
import pytest

from engine import devices, telemetry
from engine.config import RunConfig
from engine.readings import READINGS, shown, throttled
from engine.settings import Settings
from engine.sources import HostCpu, Missing, ProcessTree, Sources
from engine.telemetry import Sampler
from storage import database, readings, runs
from storage.readings import Reading
from tests.fake_hardware import UUID, FakeNvml, FakeTpuMonitoring, fake_powercap
from tests.processes import ENDLESS, SMALL, eventually, lab

GPU = {"id": "gpu:0", "name": "A GPU", "accelerator": "gpu", "uuid": UUID}
TPUS = [{"id": f"tpu:{n}", "name": "A TPU", "accelerator": "tpu"} for n in range(2)]
CPU = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu"}


def values(found, device):
    return {r.key: r.value for r in found if isinstance(r, Reading) and r.device == device}


def reasons(found):
    return dict(one for one in found if isinstance(one, Missing))


def of_gpu(nvml):
    return list(Sources(nvml).of_devices([GPU]))


def test_a_gpu_tells_all_its_readings():
    assert values(of_gpu(FakeNvml()), "gpu:0") == {
        "energy_j": 5000,
        "power_w": 300,
        "utilisation": 0.87,
        "memory_bytes": 3 << 30,
        "temperature_c": 61,
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "throttle_reasons": 4,
    }


def test_a_field_that_a_gpu_does_not_support_leaves_only_itself_out():
    nvml = FakeNvml(errors={"nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED})
    found = of_gpu(nvml)
    assert reasons(found) == {"gpu:0 Energy counter": "unavailable: Not Supported"}
    assert len(values(found, "gpu:0")) == 7


@pytest.mark.parametrize("function", ["power instant", "nvmlDeviceGetFieldValues"])
def test_power_is_an_average_where_the_driver_cannot_tell_the_moments(function):
    nvml = FakeNvml(errors={function: pynvml.NVML_ERROR_NOT_SUPPORTED})
    assert values(of_gpu(nvml), "gpu:0")["power_w"] == 301


class SurprisingNvml(FakeNvml):
    """As a library that does not go with its driver: what it raises is no error of NVML's."""

    fails = True

    def nvmlDeviceGetUtilizationRates(self, handle):
        if self.fails:
            raise TypeError("an integer is required")
        return super().nvmlDeviceGetUtilizationRates(handle)


def test_an_error_that_nobody_expected_costs_one_sources_readings_and_is_said_once(store, tmp_path):
    said, nvml = [], SurprisingNvml()
    run_id = running(store, [GPU], os.getpid())
    sampler = Sampler(Sources(nvml, fake_powercap(tmp_path, 1), say=said.append))
    for _ in range(2):
        sampler.take(store)
        sampler.store(store)
    why = "TypeError: an integer is required"
    assert said == [f"A reading of gpu:0 failed ({why}). It is left out, others go on."]
    assert runs.get(store, run_id).facts["readings"] == {"gpu:0": f"unavailable: {why}"}
    assert {device for device, _ in has(store, run_id)} == {"gpu:0", "host", "package:0", "trainer"}
    assert ("gpu:0", "utilisation") not in has(store, run_id)
    nvml.fails = False
    sampler.take(store)
    sampler.store(store)
    assert ("gpu:0", "utilisation") in has(store, run_id)
    assert runs.get(store, run_id).facts["readings"] == {}


def test_an_older_driver_tells_throttle_reasons_under_their_older_name():
    code = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    nvml = FakeNvml(errors={"nvmlDeviceGetCurrentClocksEventReasons": code})
    assert values(of_gpu(nvml), "gpu:0")["throttle_reasons"] == 4


def test_a_gpu_that_is_lost_midway_is_said_once_and_found_again():
    nvml = FakeNvml()
    sources = Sources(nvml)
    assert values(sources.of_devices([GPU]), "gpu:0")
    nvml.lost = True
    for _ in range(2):
        found = list(sources.of_devices([GPU]))
        assert found == [Missing("gpu:0", "unavailable: GPU is lost")]
        assert nvml.opened == 0
    nvml.lost = False
    assert len(values(sources.of_devices([GPU]), "gpu:0")) == 8
    assert nvml.opened == 1


@pytest.mark.skipif(bool(devices.find().of("gpu")), reason="this host has NVIDIA GPUs")
def test_a_gpu_without_a_driver_has_the_drivers_word_for_it():
    (only,) = Sources().of_devices([GPU])
    assert only == Missing("gpu:0", "unavailable: NVML Shared Library Not Found")


def test_a_tpu_tells_its_duty_cycle_and_memory():
    monitoring = FakeTpuMonitoring(
        duty_cycle_pct=["12.5", "80"], hbm_capacity_usage=["1024", "2048"]
    )
    found = list(Sources(tpu_monitoring=monitoring).of_devices(TPUS))
    assert values(found, "tpu:0") == {"duty_cycle": 0.125, "memory_bytes": 1024}
    assert values(found, "tpu:1") == {"duty_cycle": 0.8, "memory_bytes": 2048}


def test_a_tpu_with_nothing_to_tell_yet_has_no_reading():
    monitoring = FakeTpuMonitoring(duty_cycle_pct=[], hbm_capacity_usage=["1024", ""])
    found = list(Sources(tpu_monitoring=monitoring).of_devices(TPUS))
    assert [one.source for one in found if isinstance(one, Missing)] == [
        "TPU Duty cycle",
        "TPU Memory used",
    ]
    assert values(found, "tpu:1") == {}


def test_rapl_tells_each_package_and_where_its_counter_begins_anew(tmp_path):
    sources = Sources(powercap=fake_powercap(tmp_path, 1_500_000, 2_000_000))
    found = list(sources.of_host())
    assert values(found, "package:0") == {"energy_j": 1.5}
    assert values(found, "package:1") == {"energy_j": 2.0}
    assert {r.device for r in found} == {"host", "package:0", "package:1"}
    assert sources.rapl.ranges_j == {"package:0": 262143.32885, "package:1": 262143.32885}


def test_a_host_without_rapl_says_so(tmp_path):
    found = list(Sources(powercap=tmp_path / "absent").of_host())
    assert reasons(found) == {
        "RAPL": "unavailable: this host shows no energy counter of a CPU package"
    }


def test_rapl_that_only_root_may_read_says_so(tmp_path, monkeypatch):
    """Tests may run as root, whom no file mode stops."""
    powercap = fake_powercap(tmp_path, 1)
    counter = powercap / "intel-rapl:0" / "energy_uj"
    if os.geteuid():
        counter.chmod(0)
    else:
        counter.unlink()
        counter.mkdir()
    why = reasons(Sources(powercap=powercap).of_host())["RAPL"]
    assert str(counter) in why


def test_the_hosts_first_share_of_cpu_needs_two_readings():
    cpu = HostCpu()
    assert list(cpu.read()) == []
    time.sleep(0.2)
    (reading,) = cpu.read()
    assert 0 <= reading.value <= 1


def test_the_host_tells_its_memory():
    used = values(Sources().of_host(), "host")["memory_bytes"]
    assert 0 < used < psutil.virtual_memory().total


BUSY_WITH_CHILD = """
import subprocess, sys
hundred_mib = bytearray(b"x" * (100 << 20))
child = subprocess.Popen([sys.executable, "-c", "x = bytearray(b'x' * (50 << 20)); input()"],
                         stdin=subprocess.PIPE)
print("ready", flush=True)
while True:
    pass
"""


def test_a_process_tree_tells_memory_and_cpu_of_all_its_processes():
    command = [sys.executable, "-c", BUSY_WITH_CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        child = psutil.Process(process.pid).children()[0]
        eventually(lambda: child.memory_info().rss > 50 << 20)
        tree = ProcessTree(process.pid)
        (memory,) = tree.read()
        time.sleep(0.5)
        _, cpu = tree.read()
        child.kill()
        process.kill()
        process.wait()
        assert list(tree.read()) == []
    assert 150 << 20 < memory.value < 250 << 20
    assert 0 < cpu.value <= 1.1 / psutil.cpu_count()


def test_a_process_that_is_gone_has_no_readings():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert list(ProcessTree(process.pid).read()) == []


@pytest.fixture
def store(tmp_path):
    database.prepare(tmp_path / "store")
    with database.opened(tmp_path / "store") as db:
        yield db


def running(db, devices=(CPU,), pid=None):
    config = RunConfig.parse(SMALL)
    run_id = runs.create(
        db,
        name="",
        config=config.model_dump(mode="json"),
        total_steps=config.total_steps,
        submitted_by="test",
    )
    runs.claim(db, run_id, host="here", devices=list(devices), now=time.time())
    if pid:
        runs.record_process(db, run_id, {"pid": pid})
    return run_id


def has(db, run_id):
    return {(e.device, e.key) for e in readings.extents(db, run_id)}


def test_each_running_run_gets_the_hosts_readings_and_those_of_its_own(store, tmp_path):
    sampler = Sampler(Sources(FakeNvml(), fake_powercap(tmp_path, 1)))
    on_gpu, on_cpu = running(store, [GPU]), running(store, [CPU], os.getpid())
    sampler.take(store)
    sampler.store(store)
    assert {device for device, _ in has(store, on_gpu)} == {"gpu:0", "host", "package:0"}
    assert {device for device, _ in has(store, on_cpu)} == {"host", "package:0", "trainer"}


def test_why_a_source_is_missing_is_kept_with_the_run_until_it_is_there(store, tmp_path):
    powercap, run_id = tmp_path / "powercap", running(store)
    sampler = Sampler(Sources(powercap=powercap))
    for _ in range(2):
        sampler.take(store)
        sampler.store(store)
    assert list(runs.get(store, run_id).facts["readings"]) == ["RAPL"]
    fake_powercap(powercap, 1_000_000)
    sampler.take(store)
    sampler.store(store)
    facts = runs.get(store, run_id).facts
    assert facts == {"readings": {}, "energy_ranges_j": {"package:0": 262143.32885}}


def test_a_run_that_ended_gets_one_more_reading_behind_its_end(store, tmp_path):
    nvml = FakeNvml()
    sampler = Sampler(Sources(nvml, tmp_path))
    run_id = running(store, [GPU])
    sampler.take(store)
    runs.finish(store, run_id, "SUCCEEDED", finished_at=time.time())
    for energy_mj in (6_000_000, 7_000_000):
        nvml.energy_mj = energy_mj
        sampler.take(store)
    sampler.store(store)
    (series,) = readings.series(store, run_id, ["energy_j"]).values()
    assert series.value.tolist() == [5000, 6000]
    assert series.at[-1] > runs.get(store, run_id).finished_at


def test_a_run_that_starts_or_ends_is_a_surprise(store, tmp_path):
    sampler = Sampler(Sources(FakeNvml(), tmp_path))
    assert not sampler.is_surprised(store)
    run_id = running(store)
    assert sampler.is_surprised(store)
    sampler.take(store)
    assert not sampler.is_surprised(store)
    runs.finish(store, run_id, "SUCCEEDED", finished_at=time.time())
    assert sampler.is_surprised(store)


def test_without_runs_nothing_is_read(store):
    assert Sampler(Sources(None, None, None)).take(store) is None


def test_a_transaction_holds_the_readings_of_all_runs(store, tmp_path):
    sampler = Sampler(Sources(FakeNvml(), tmp_path))
    first, second = running(store, [GPU]), running(store, [CPU])
    statements = []
    sampler.take(store)
    sampler.take(store)
    store.set_trace_callback(statements.append)
    sampler.store(store)
    store.set_trace_callback(None)
    assert statements.count("BEGIN IMMEDIATE") == statements.count("COMMIT") == 1
    assert has(store, first)
    assert has(store, second)


def test_no_thread_is_started_where_readings_are_turned_off(tmp_path):
    off = Settings(store=tmp_path, readings_s=0)
    assert telemetry.start(off, threading.Event(), print) is None


def test_a_store_that_cannot_be_written_is_said_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(telemetry, "RETRY_S", 0.05)
    said, stopping = [], threading.Event()
    thread = telemetry.start(Settings(store=tmp_path / "none"), stopping, said.append)
    eventually(lambda: len(said) > 1, 10)
    assert "Trying again" in said[0]
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_row_that_cannot_be_read_stops_the_readings_only_as_long_as_it_is_there(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(telemetry, "RETRY_S", 0.05)
    run_id, said, stopping = running(store), [], threading.Event()
    with database.transaction(store):
        store.execute("UPDATE runs SET environment = '{' WHERE id = ?", [run_id])
    thread = telemetry.start(Settings(store=tmp_path / "store"), stopping, said.append)
    eventually(lambda: said, 10)
    assert said[0].startswith("Readings are missing: Expecting property name")
    with database.transaction(store):
        store.execute("UPDATE runs SET environment = '{}' WHERE id = ?", [run_id])
    eventually(lambda: has(store, run_id), 10)
    stopping.set()
    thread.join(10)


def taken(here, run_id):
    with database.opened(here.store) as db:
        return readings.series(db, run_id, ["memory_bytes", "cpu"])


def times(here, run_id):
    """When the trainer's CPU was read."""
    series = taken(here, run_id).get(("trainer", "cpu"))
    return series.at.tolist() if series else []


def test_a_run_has_readings_about_once_an_interval_also_from_the_next_supervisor(tmp_path):
    """Real processes: a trainer that trains, a supervisor that is killed, and the next one."""
    with lab(tmp_path / "store", readings_s=0.5) as here:
        first = here.supervise()
        run_id = here.submit(ENDLESS)
        here.training(run_id)
        eventually(lambda: len(times(here, run_id)) >= 8, 30)
        found = taken(here, run_id)
        assert set(found) == {(d, k) for d in ("host", "trainer") for k in ("cpu", "memory_bytes")}
        assert 0.4 < np.median(np.diff(found["trainer", "memory_bytes"].at)) < 1.0
        assert found["trainer", "memory_bytes"].value.max() > 50 << 20  # it imported torch
        first.kill()
        first.wait()
        before = times(here, run_id)

        here.supervise()
        eventually(lambda: len(times(here, run_id)) > len(before) + 3, 30)
        assert times(here, run_id)[: len(before)] == before
        assert here.stored(run_id).items() <= here.journaled(run_id).items()


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, []),
        (0x1, []),
        (0x4 | 0x40, ["power limit", "temperature, slowed by the hardware"]),
        (0x4 | 0x1000, ["power limit", "unknown reason 0x1000"]),
    ],
)
def test_throttle_reasons_are_told_in_words(bits, words):
    assert throttled(bits) == words


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("utilisation", 0.714, "71 %"),
        ("memory_bytes", 3 << 29, "1.50 GiB"),
        ("power_w", 312.4, "312 W"),
        ("energy_j", None, "—"),
    ],
)
def test_a_reading_is_shown_with_its_unit(key, value, text):
    assert shown(key, value) == text


def test_every_reading_that_is_taken_has_a_title(tmp_path):
    found = [*of_gpu(FakeNvml()), *Sources(powercap=fake_powercap(tmp_path, 1)).of_host()]
    assert {reading.key for reading in found} <= set(READINGS)
