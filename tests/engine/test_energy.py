"""Energy: from counters, from power, or not at all; always with where it comes from."""

import numpy as np
import pytest
from msgspec import structs

from engine import energy
from engine.config import RunConfig
from engine.energy import (
    NVML_COUNTER,
    NVML_SAMPLED,
    RAPL_COUNTER,
    Energy,
    Training,
    counted,
    sampled,
    summed,
)
from engine.studies import cost, evidence, measured
from engine.studies.cost import Prices
from engine.studies.question import Arm
from storage import database, metrics, readings, runs
from storage.metrics import Point
from storage.readings import Reading, Series
from storage.studies import Member, Trial

GPU = {"id": "gpu:0", "name": "A GPU", "accelerator": "gpu", "uuid": "GPU-1"}
SECOND_GPU = GPU | {"id": "gpu:1", "uuid": "GPU-2"}
CPU = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu"}
TPU = {"id": "tpu:0", "name": "A TPU", "accelerator": "tpu"}


def series(at, value):
    return Series(np.array(at, dtype=float), np.array(value, dtype=float))


def each_second(watts, seconds=10, begin=0.0):
    """A counter that has begun somewhere, at a constant power."""
    at = np.arange(seconds + 1.0)
    return series(begin + at, 1000 + watts * at)


def test_a_counter_is_read_between_its_readings():
    assert counted(each_second(200), 2.5, 7.25, "counter: x") == Energy(
        950, "counter: x", "counter: x"
    )


def test_a_counter_that_begins_anew_at_a_known_range_goes_on():
    counter = series([0, 1, 2, 3, 4], [900, 1000, 76, 176, 276])
    assert counted(counter, 0, 4, "counter: x", range_j=1024).joules == pytest.approx(400)


def test_a_counter_without_a_range_that_falls_tells_nothing():
    counter = series([0, 1, 2, 3, 4], [900, 1000, 0, 100, 200])
    found = counted(counter, 0, 4, NVML_COUNTER)
    assert found.joules is None
    assert found.provenance.startswith("unavailable: the counter began anew")


def test_a_gap_matters_only_to_a_counter_that_could_have_gone_round_in_it():
    counter = series([0, 1, 100, 101], [0, 100, 10_000, 10_100])
    assert counted(counter, 0, 101, NVML_COUNTER).joules == pytest.approx(10_100)
    assert "no reading for 99 s" in counted(counter, 0, 101, RAPL_COUNTER, 65_000).provenance


def test_power_is_summed_by_trapezoids():
    ramp = series([0, 1, 2, 3, 4], [0, 100, 200, 300, 400])
    found = sampled(ramp, 0.5, 3.5)
    assert found.joules == pytest.approx(50 * (3.5**2 - 0.5**2))
    assert found.provenance == "sampled: NVML power at 1 Hz"


def test_power_with_a_gap_tells_nothing():
    at = [0, 1, 2, 3, 12, 13]
    assert sampled(series(at, [100] * 6), 0, 13) == Energy(None, "unavailable: no reading for 9 s")


@pytest.mark.parametrize("of", [lambda s, b, e: counted(s, b, e, NVML_COUNTER), sampled])
@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (3, 4.5, "1.5 s of training are too short to tell"),
        (-1, 5, "do not cover the training"),
        (5, 11, "do not cover the training"),
    ],
)
def test_a_window_that_is_too_short_or_not_covered_has_no_figure(of, begin, end, why):
    found = of(each_second(100), begin, end)
    assert found.joules is None
    assert why in found.provenance


def test_a_window_of_less_than_two_intervals_is_too_short():
    every_five_s = series([0, 5, 10, 15], [0, 500, 1000, 1500])
    assert "too short" in counted(every_five_s, 2, 11, NVML_COUNTER).provenance
    assert counted(every_five_s, 2, 12, NVML_COUNTER).joules == pytest.approx(1000)


def test_only_what_was_measured_alike_is_added_up():
    alike = [Energy(joules, NVML_COUNTER, NVML_COUNTER) for joules in (5.0, 7.0)]
    assert summed(alike) == Energy(12.0, NVML_COUNTER, NVML_COUNTER)
    assert summed([alike[0], Energy(1.0, "sampled: …", NVML_SAMPLED)]).joules is None
    assert summed([alike[0], energy.unavailable("lost")]).provenance == "unavailable: lost"


# A run whose first step starts at 100 s; three epochs of 9 s of training and 1 s of validation.
EPOCHS, EPOCH_STEPS, BATCH = 3, 16, 128


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as opened:
        yield opened


def trained(db, devices, facts=None):
    config = RunConfig.parse(
        {
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "dataset": {"name": "synthetic", "train_samples": EPOCH_STEPS * BATCH},
        }
    )
    assert config.total_steps == EPOCHS * EPOCH_STEPS
    run_id = runs.create(
        db,
        name="",
        config=config.model_dump(mode="json"),
        total_steps=config.total_steps,
        submitted_by="test",
    )
    runs.claim(db, run_id, host="here", devices=devices, now=90.0)
    points = []
    for epoch in range(EPOCHS):
        step, began = (epoch + 1) * EPOCH_STEPS, 100.0 + 10 * epoch
        points.append(Point("step_loss", step - 8, epoch + 0.5, began + 4.5, 1.0))
        points.append(Point("step_loss", step, epoch + 1, began + 9, 1.0))
        points.append(Point("epoch_s", step, epoch + 1, began + 10, 9.0))
    metrics.ingest(db, run_id, points, last_seq=9, offset=9)
    runs.note_facts(db, run_id, facts or {})
    return runs.get(db, run_id)


def read(db, run, device, key, begin, end, watts):
    """A reading each second: a counter that rises by `watts`, or the power itself."""
    readings.add(
        db,
        run.id,
        [
            Reading(device, key, at, watts * at if key == "energy_j" else watts)
            for at in np.arange(begin, end + 1.0)
        ],
    )


def told(db, run):
    return {one.of: one.energy for one in energy.of_run(db, run)[1]}


EPOCH_SAMPLES = EPOCH_STEPS * BATCH


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (95.0, 200.0, Training(100.0, 130.0, 1, 3, 3 * EPOCH_SAMPLES)),
        (100.0, 130.0, Training(100.0, 130.0, 1, 3, 3 * EPOCH_SAMPLES)),
        (95.0, 125.0, Training(100.0, 120.0, 1, 2, 2 * EPOCH_SAMPLES)),
        (101.0, 200.0, Training(110.0, 130.0, 2, 3, 2 * EPOCH_SAMPLES)),
        (101.0, 119.0, None),
        (95.0, 109.0, None),
        (121.0, 200.0, None),
    ],
)
def test_training_is_of_the_whole_epochs_that_were_read(db, since, until, expected):
    assert energy.training(db, trained(db, [CPU]), since, until) == expected


def test_a_gpus_counter_comes_before_its_power(db):
    run = trained(db, [GPU])
    read(db, run, "gpu:0", "energy_j", 95, 135, 300)
    read(db, run, "gpu:0", "power_w", 95, 135, 250)
    assert told(db, run)["gpu:0"] == Energy(pytest.approx(9000), NVML_COUNTER, NVML_COUNTER)


def test_a_gpu_without_a_counter_is_told_from_its_power(db):
    run = trained(db, [GPU])
    read(db, run, "gpu:0", "power_w", 95, 135, 250)
    found = told(db, run)["gpu:0"]
    assert found == Energy(pytest.approx(7500), "sampled: NVML power at 1 Hz", NVML_SAMPLED)


def test_a_live_run_is_told_up_to_the_last_epoch_that_the_readings_cover(db):
    run = trained(db, [GPU])
    read(db, run, "gpu:0", "energy_j", 95, 125, 300)
    during, (of_gpu, _) = energy.of_run(db, run)
    assert (during.last_epoch, during.end) == (2, 120.0)
    assert of_gpu.energy.joules == pytest.approx(6000)


def test_readings_that_began_late_tell_of_the_epochs_after_that(db):
    run = trained(db, [GPU])
    read(db, run, "gpu:0", "energy_j", 104, 135, 300)
    during, (of_gpu, _) = energy.of_run(db, run)
    assert (during.first_epoch, during.last_epoch, during.epochs) == (2, 3, 2)
    assert of_gpu.energy.joules == pytest.approx(6000)


def card_of(db, of_runs):
    """The card of an arm whose repeats are these runs."""
    arm = Arm("An arm", RunConfig.parse(of_runs[0].config))
    latest = [
        Trial(Member(seed, run.id, arm.label, seed, False), "SUCCEEDED", None, None)
        for seed, run in enumerate(of_runs)
    ]
    known = {run.id: evidence.of(db, run) for run in of_runs}
    return measured.card(arm, latest, {run.id: run for run in of_runs}, known, None)


def test_a_cards_energy_is_of_all_epochs_whichever_the_readings_cover(db):
    """300 W: 3 kJ for each of 3 epochs of 10 s; of the second run, only two were read."""
    whole, late = trained(db, [GPU]), trained(db, [SECOND_GPU])
    read(db, whole, "gpu:0", "energy_j", 95, 135, 300)
    read(db, late, "gpu:1", "energy_j", 104, 135, 300)
    for of_runs in ([whole], [late], [whole, late]):
        card = card_of(db, of_runs)
        assert card.energy_j == pytest.approx(9000)
        assert card.joules_per_sample == pytest.approx(9000 / (3 * EPOCH_SAMPLES))
        assert card.energy_provenance == f"GPU, {NVML_COUNTER}"
    found = cost.of(card, Prices({}, per_kwh=0.4, g_per_kwh=400.0))
    assert found.co2_g == pytest.approx(1.0)  # 9 kJ are 2.5 Wh


def test_repeats_on_another_gpu_or_at_another_rate_are_still_measured_alike(db):
    first, second = trained(db, [GPU]), trained(db, [SECOND_GPU])
    read(db, first, "gpu:0", "power_w", 95, 135, 300)
    at = np.arange(95.0, 136.0, 1.01)
    readings.add(db, second.id, [Reading("gpu:1", "power_w", one, 300.0) for one in at])
    card = card_of(db, [first, second])
    assert card.energy_j == pytest.approx(9000)
    assert card.energy_provenance == f"GPU, {NVML_SAMPLED}"


def test_repeats_that_were_measured_in_different_ways_have_no_common_energy(db):
    by_counter, by_power = trained(db, [GPU]), trained(db, [SECOND_GPU])
    read(db, by_counter, "gpu:0", "energy_j", 95, 135, 300)
    read(db, by_power, "gpu:1", "power_w", 95, 135, 300)
    card = card_of(db, [by_counter, by_power])
    assert card.energy_j is None
    assert card.energy_provenance == "unavailable: the runs were measured in different ways"


def test_several_gpus_are_added_up(db):
    run = trained(db, [GPU, SECOND_GPU])
    for device in ("gpu:0", "gpu:1"):
        read(db, run, device, "energy_j", 95, 135, 300)
    assert told(db, run)["gpu:0, gpu:1"].joules == pytest.approx(18_000)


def test_packages_are_added_up_over_the_place_where_a_counter_begins_anew(db):
    run = trained(db, [CPU], {"energy_ranges_j": {"package:0": 5000.0, "package:1": 1e6}})
    at = np.arange(95.0, 136.0)
    for device, range_j in (("package:0", 5000.0), ("package:1", 1e6)):
        counter = zip(at, (50 * at) % range_j, strict=True)
        readings.add(db, run.id, [Reading(device, "energy_j", *pair) for pair in counter])
    assert told(db, run) == {"CPU": Energy(pytest.approx(3000), RAPL_COUNTER, RAPL_COUNTER)}


def test_what_is_unavailable_says_why_in_the_words_that_were_kept_with_the_run(db):
    kept = {"gpu:0": "unavailable: GPU is lost", "RAPL": "unavailable: only root may read it"}
    run = trained(db, [GPU, TPU], {"readings": kept})
    assert told(db, run) == {
        "gpu:0": Energy(None, "unavailable: GPU is lost"),
        "TPU": Energy(None, "unavailable: a TPU does not tell its power"),
        "CPU": Energy(None, "unavailable: only root may read it"),
    }


@pytest.mark.parametrize("watts", [None, 300])
def test_epochs_that_a_resumed_run_took_over_are_none_of_its_own(db, watts):
    run = structs.replace(trained(db, [GPU]), resumed_epoch=1)
    if watts:
        read(db, run, "gpu:0", "energy_j", 95, 135, watts)
    during, (of_gpu, _) = energy.of_run(db, run)
    assert during == Training(110.0, 130.0, 2, 3, 2 * EPOCH_SAMPLES)
    assert of_gpu.energy.joules == (watts and pytest.approx(6000))


def test_a_run_without_an_epoch_has_no_energy_to_tell(db):
    run_id = runs.create(
        db,
        name="",
        config=RunConfig.parse({}).model_dump(mode="json"),
        total_steps=1,
        submitted_by="test",
    )
    assert energy.of_run(db, runs.get(db, run_id)) == (None, [])
