"""Long curves for the screen: far fewer points, every peak kept."""

import numpy as np
import pytest

from engine.config import RunConfig
from storage import database, metrics, runs
from storage.metrics import BUCKET_POINTS, READ_WHOLE, Point


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def create(db):
    config = RunConfig.parse({}).model_dump(mode="json")
    return runs.create(db, name="a", config=config, total_steps=10, submitted_by="test")


def add(db, run_id, values, batch):
    """In reads of the journal of `batch` points each."""
    for begin in range(0, len(values), batch):
        points = [
            Point("loss", begin + i, (begin + i) / 100, 1000.0 + begin + i, value)
            for i, value in enumerate(values[begin : begin + batch])
        ]
        metrics.ingest(db, run_id, points, last_seq=1, offset=1)


@pytest.mark.parametrize("batch", [37, 1_000, 20_000])
def test_a_long_curve_keeps_its_ends_and_the_extremes_of_each_bucket(db, batch):
    values = np.random.default_rng(0).normal(size=10_001).tolist()
    values[7_777], values[3] = 50.0, -50.0
    run_id = create(db)
    add(db, run_id, values, batch)
    kept = metrics.outline(db, run_id, "loss")
    assert len(kept.step) <= 2 * (len(values) // BUCKET_POINTS + 1) + 2
    assert (kept.step[0], kept.step[-1]) == (0, 10_000)
    assert np.all(np.diff(kept.step) > 0)
    for begin in range(0, len(values), BUCKET_POINTS):
        of_bucket = values[begin : begin + BUCKET_POINTS]
        assert {min(of_bucket), max(of_bucket)} <= set(kept.value.tolist())
    at = kept.step.tolist().index(7_777)
    assert (kept.epoch[at], kept.at[at], kept.value[at]) == (77.77, 8_777.0, 50.0)


def test_a_short_curve_is_read_as_it_is(db):
    run_id = create(db)
    add(db, run_id, [1.0, None, 2.0], 2)
    assert str(metrics.outline(db, run_id, "loss").value.tolist()) == "[1.0, nan, 2.0]"
    assert metrics.outline(db, run_id, "nothing").step.size == 0


def test_values_that_were_not_finite_are_no_extremes(db):
    run_id = create(db)
    add(db, run_id, [None if i % 2 or i < 300 else -5.0 for i in range(READ_WHOLE + 500)], 100)
    kept = metrics.outline(db, run_id, "loss")
    assert np.isnan(kept.value[0])
    assert np.nanmax(kept.value) == -5.0


def test_a_series_without_buckets_is_read_whole(db):
    run_id = create(db)
    add(db, run_id, [float(i) for i in range(READ_WHOLE + 200)], 1_000)
    db.execute("DELETE FROM buckets")
    assert metrics.outline(db, run_id, "loss").step.size == READ_WHOLE + 200
