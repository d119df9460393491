"""A run's state: written at the end of epochs for a share of its time, and when it ends early."""

import numpy as np
import pytest

from engine import checkpoints
from engine.saving import CHECKPOINT_SHARE, KEEPING_SHARE, Saver
from tests.engine import trainers


class Counting:
    """A session whose state says how often it was asked for, and which takes a second to tell."""

    def __init__(self, clock):
        self.clock, self.asked = clock, 0

    def state(self):
        self.clock.now += 1
        self.asked += 1
        return {"model.asked": np.array(self.asked)}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def job(tmp_path):
    return trainers.job(tmp_path, epochs=100)


def saved(job):
    origin, state = checkpoints.load(checkpoints.path_in(job.run_dir), job.config)
    return origin.epoch, int(state["model.asked"])


def test_epochs_that_were_not_written_are_kept_and_written_when_the_run_ends_early(job, clock):
    saver = Saver(job, Counting(clock), clock)
    assert [saver.take(1), saver.take(2)] == [1, None]
    assert saved(job) == (1, 1)
    assert saver.save_kept() == 2
    assert saved(job) == (2, 2)
    assert saver.save_kept() is None


def test_taking_what_is_not_written_has_a_smaller_share_of_the_time(job, clock):
    session = Counting(clock)
    saver = Saver(job, session, clock)
    saver.take(1)
    saver.take(2)
    saver.take(3)
    assert session.asked == 2
    clock.now += 1 / CHECKPOINT_SHARE
    assert saver.take(4) == 4
    assert saver.save_kept() is None
    clock.now += 1 / KEEPING_SHARE - 1 / CHECKPOINT_SHARE
    assert [saver.take(5), saver.take(6)] == [5, None]
    assert saver.save_kept() == 6


def test_the_last_epoch_is_always_written(job, clock):
    saver = Saver(job, Counting(clock), clock)
    assert [saver.take(99), saver.take(100)] == [99, 100]
