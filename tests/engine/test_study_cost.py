"""Costs by given prices, the break-even between two arms, and what nothing beats."""

import pytest

from engine.statistics import Estimate
from engine.studies import cost, measured
from engine.studies.cost import Prices
from engine.studies.measured import Card, Repeat
from engine.studies.question import Question
from tests.processes import SMALL


def card(arm="An arm", standing="compared", **fields):
    took = fields.pop("took", 3600.0)
    usual = {
        "accelerator": "cpu", "devices": 1, "epochs": 10, "asked": 3, "failures": (),
        "waiting": 0, "is_too_large": False,
        "repeats": tuple(Repeat(str(n), n, 1.0, 100.0, None, took, 0.9) for n in range(3)),
        "step_time_ms": None, "windows": None, "samples_per_s": None,
        "took_s": Estimate(took, took / 2, took * 2, 3), "time_to_target_s": None, "target": "",
        "final_accuracy": 0.9, "peak_memory_bytes": None, "mfu": None, "energy_j": None,
        "joules_per_sample": None, "energy_provenance": "unavailable", "ledger": {},
        "start_up_s": 600.0, "epoch_s": 300.0,
    }  # fmt: skip
    return Card(arm=arm, standing=standing, **usual | fields)


def test_a_run_costs_its_devices_for_as_long_as_it_took():
    found = cost.of(card(accelerator="gpu", devices=4), Prices({"gpu": 2.5}))
    assert found.usd == (10.0, 5.0, 20.0, 3)
    assert found.all_usd == pytest.approx(30.0)


def test_virtual_devices_share_one_cpu_and_its_price():
    arm = Question.parse(
        {"kind": "scaling", "base": SMALL | {"batch_size": 64}, "device_counts": [1, 4]}
    ).arms()[1]
    assert arm.config.device_count == 4
    assert measured.card(arm, [], {}, {}, None).devices == 1


def test_electricity_is_added_where_it_was_measured_and_else_there_is_no_cost():
    prices = Prices({"cpu": 1.0}, per_kwh=0.5, g_per_kwh=400.0)
    found = cost.of(card(energy_j=7.2e6), prices)  # 2 kWh
    assert found.usd.value == pytest.approx(1.0 + 1.0)
    assert found.co2_g == pytest.approx(800.0)
    unknown = cost.of(card(), prices)
    assert (unknown.usd, unknown.co2_g) == (None, None)
    assert unknown.why_not == "energy has a price and was not measured"


def test_without_a_price_there_is_no_cost_and_a_reason():
    assert cost.of(card(), Prices({})).why_not == "no price is given for a CPU"
    assert cost.of(card(), Prices({"gpu": 2.0})).usd is None


def test_the_dearer_start_pays_from_the_first_epoch_after_the_lines_cross():
    # 10 + 1 n against 2 + 2 n: equal at 8.
    assert cost.break_even((10, 1), (2, 2)) == (0, 9)
    assert cost.break_even((2, 2), (10, 1)) == (1, 9)
    for epochs in (8, 9):
        assert (10 + epochs < 2 + 2 * epochs) == (epochs >= 9)
    assert cost.break_even((1, 1), (2, 2)) == (0, None)
    assert cost.break_even((3, 1), (2, 1)) == (1, None)


def test_the_report_says_from_when_on_and_why_not():
    cpu = card("CPU", "baseline", start_up_s=10.0, epoch_s=20.0)
    gpu = card("GPU", accelerator="gpu", start_up_s=60.0, epoch_s=1.0)
    assert cost.break_evens([cpu, gpu], Prices({})) == [
        "GPU is faster than CPU from 3 epochs on; with fewer, CPU is."
    ]
    at_once = card("GPU", accelerator="gpu", start_up_s=20.0, epoch_s=1.0)
    assert cost.break_evens([cpu, at_once], Prices({})) == [
        "GPU is faster than CPU at any number of epochs."
    ]
    slow = [card(f"slow {n}", start_up_s=60.0, epoch_s=30.0) for n in (1, 2)]
    assert cost.break_evens([cpu, *slow, at_once], Prices({})) == [
        "CPU is faster than slow 1 and slow 2 at any number of epochs.",
        "GPU is faster than CPU at any number of epochs.",
    ]
    # In $ an hour: CPU 10 + 20 n, GPU 10 (60 + n), so the start is 590 and the slope 10.
    _, by_cost = cost.break_evens([cpu, gpu], Prices({"cpu": 1.0, "gpu": 10.0}))
    assert by_cost == "GPU is cheaper than CPU from 60 epochs on; with fewer, CPU is."
    _, unknown = cost.break_evens([cpu, gpu], Prices({"cpu": 1.0}))
    assert unknown.endswith("is not known: no price is given for a GPU.")
    untold = card("GPU", accelerator="gpu", start_up_s=None, epoch_s=None)
    assert cost.break_evens([cpu, untold], Prices({"cpu": 1.0, "gpu": 10.0})) == [
        f"From when on GPU is {what} than CPU is not known: GPU has no time ledger."
        for what in ("faster", "cheaper")
    ]
    red = card("GPU", "not comparable")
    assert cost.break_evens([cpu, red], Prices({"cpu": 1.0})) == []


def test_the_front_is_what_nothing_beats():
    points = {"a": (1.0, 5.0), "b": (2.0, 2.0), "c": (5.0, 1.0), "worse": (3.0, 3.0)}
    assert cost.front(points) == ["a", "b", "c"]
    assert cost.front({"a": (1.0, 1.0), "twin": (1.0, 1.0)}) == ["a", "twin"]
