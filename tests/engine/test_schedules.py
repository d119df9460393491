"""Learning rates by step. (That one cycle is PyTorch's is told by the frameworks' facts.)"""

import numpy as np
import pytest

from engine import schedules
from engine.config import RunConfig

DATA = {"name": "synthetic", "train_samples": 100}


def rates(schedule, epochs=4):
    config = RunConfig.parse(
        {"dataset": DATA, "batch_size": 10, "epochs": epochs, "schedule": schedule}
    )
    return np.concatenate([schedules.rates(config, epoch) for epoch in range(epochs)])


def test_a_constant_rate_stays():
    assert set(rates("constant")) == {1e-3}


def test_cosine_falls_from_the_rate_over_its_half_towards_nothing():
    found = rates("cosine")
    assert (found[0], found[20]) == (1e-3, pytest.approx(5e-4))
    assert 0 < found[-1] < 1e-5
    assert all(np.diff(found) < 0)


def test_one_cycle_rises_for_three_tenths_of_the_steps_and_then_falls():
    found = rates("one_cycle")
    assert found.argmax() == 0.3 * 40 - 1
    assert found[0] == pytest.approx(1e-3 / 25)
    assert found.max() == pytest.approx(1e-3)
    assert found[-1] == pytest.approx(1e-3 / 250_000)


@pytest.mark.parametrize("schedule", schedules.SHARES)
def test_a_run_of_one_step_has_a_rate(schedule):
    config = RunConfig.parse(
        {"dataset": DATA, "batch_size": 100, "epochs": 1, "schedule": schedule}
    )
    assert 0 < schedules.rates(config, 0)[0] <= 1e-3
