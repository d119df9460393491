"""Who gets which devices: priority, then time; whole devices; nobody starves."""

import dataclasses
import itertools

import pytest

from engine import queue
from engine.config import RunConfig
from engine.devices import Hardware
from engine.job import Device
from storage import database, runs

CPU = Device("cpu:0", "cpu", "A CPU", "a test")
GPUS = [Device(f"gpu:{i}", "gpu", "A GPU", "a test", uuid=f"GPU-{i}") for i in range(2)]
HOST = Hardware((CPU, *GPUS), {"tpu": "No Google TPU on the PCI bus."})


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


seconds = itertools.count(1000)


def submit(db, priority=0, **fields):
    config = RunConfig.parse(fields)
    return runs.create(
        db,
        name="",
        config=config.model_dump(mode="json"),
        total_steps=1,
        submitted_by="test",
        priority=priority,
        now=next(seconds),
    )


def waiting(db):
    return [(run, RunConfig.parse(run.config)) for run in runs.queue(db)]


def placed(db, taken=()):
    placements = queue.place(waiting(db), HOST, set(taken))
    return [(p.run.id, [d.id for d in p.devices]) for p in placements if not p.impossible]


def test_the_first_submitted_goes_first_and_has_the_device_to_itself(db):
    first, _ = submit(db), submit(db)
    assert placed(db) == [(first, ["cpu:0"])]
    assert placed(db, taken=["cpu:0"]) == []


def test_a_higher_priority_goes_before_an_earlier_run(db):
    submit(db)
    urgent = submit(db, priority=5)
    assert placed(db) == [(urgent, ["cpu:0"])]


def test_runs_for_different_devices_start_together(db):
    cpu, one, two = submit(db), submit(db, accelerator="gpu"), submit(db, accelerator="gpu")
    assert placed(db) == [(cpu, ["cpu:0"]), (one, ["gpu:0"]), (two, ["gpu:1"])]


def test_a_run_that_names_a_busy_device_keeps_later_ones_from_overtaking_it(db):
    submit(db, accelerator="gpu", devices=["gpu:1"])
    submit(db, accelerator="gpu")
    assert placed(db, taken=["gpu:1"]) == []


def test_a_run_for_a_busy_gpu_does_not_hold_up_the_cpu(db):
    submit(db, accelerator="gpu")
    cpu = submit(db)
    assert placed(db, taken=["gpu:0", "gpu:1"]) == [(cpu, ["cpu:0"])]


def test_virtual_devices_lease_the_one_cpu_that_they_are_on(db):
    wide = submit(db, devices=4)
    assert placed(db) == [(wide, ["cpu:0"])]
    assert placed(db, taken=["cpu:0"]) == []


def test_two_gpus_are_leased_together_and_wait_for_each_other(db):
    both = submit(db, accelerator="gpu", devices=2)
    assert placed(db, taken=["gpu:0"]) == []
    assert placed(db) == [(both, ["gpu:0", "gpu:1"])]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"accelerator": "tpu", "framework": "torch_xla"},
         "This host has no TPU. No Google TPU on the PCI bus."),
        ({"accelerator": "gpu", "devices": 4},
         "4 GPU devices were asked for, and this host has 2."),
        ({"accelerator": "gpu", "devices": ["gpu:7"]},
         "gpu:7 is no GPU of this host. Choose from: gpu:0, gpu:1."),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there_is_named_with_what_is(db, fields, sentence):
    submit(db, **fields)
    (placement,) = queue.place(waiting(db), HOST, set())
    assert placement.impossible == sentence


def test_a_device_that_was_lost_is_named_with_why(db):
    host = dataclasses.replace(HOST, missing={"gpu:2": "GPU is lost."})
    submit(db, accelerator="gpu", devices=["gpu:0", "gpu:2"])
    (placement,) = queue.place(waiting(db), host, set())
    assert placement.impossible == "gpu:2 is missing. GPU is lost."
