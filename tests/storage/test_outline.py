"""Long curves from far fewer points: for the screen with every peak kept, or averaged."""

import numpy as np
import pytest
from sqlite_utils import Database as Known

from engine.config import RunConfig
from storage import database, metrics, runs
from storage.buckets import BUCKET_POINTS, READ_WHOLE
from storage.metrics import AVERAGED_WHOLE, Point
from storage.migrations import migrations


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


@pytest.mark.parametrize("batch", [211, 100_000])
def test_a_long_noisy_curve_averages_to_its_mean_and_not_to_that_of_its_extremes(db, batch):
    noise = np.random.default_rng(0).exponential(size=AVERAGED_WHOLE + 1_001)
    values = noise.tolist()
    values[::1_000] = [None] * len(values[::1_000])
    run_id = create(db)
    add(db, run_id, values, batch)
    known = np.array(values, dtype=float)
    curve, weight = metrics.averages(db, run_id, "loss")
    assert len(curve.value) == len(weight) == len(values) // BUCKET_POINTS + 1
    assert weight.sum() == np.isfinite(known).sum()
    assert np.average(curve.value, weights=weight) == pytest.approx(np.nanmean(known))
    third = slice(2 * BUCKET_POINTS, 3 * BUCKET_POINTS)
    assert curve.value[2] == pytest.approx(np.nanmean(known[third]))
    assert curve.epoch[2] == pytest.approx(np.arange(len(values))[third].mean() / 100)
    assert np.nanmean(metrics.outline(db, run_id, "loss").value) > 2 * np.nanmean(known)


def test_a_bucket_in_which_nothing_was_finite_has_no_mean(db):
    run_id = create(db)
    gap = [None] * (2 * BUCKET_POINTS)
    add(db, run_id, gap + [1.0] * AVERAGED_WHOLE, 10_000)
    curve, weight = metrics.averages(db, run_id, "loss")
    assert weight[:3].tolist() == [0, 0, BUCKET_POINTS]
    assert np.isnan(curve.value[:2]).all()
    assert curve.step[1] == 191
    assert curve.value[2] == 1.0


def test_a_curve_of_moderate_length_is_averaged_from_all_its_points(db):
    run_id = create(db)
    add(db, run_id, [1.0, None, *([2.0] * READ_WHOLE)], 1_000)
    curve, weight = metrics.averages(db, run_id, "loss")
    assert len(curve.value) == READ_WHOLE + 2
    assert weight[:3].tolist() == [1, 0, 1]


def test_a_store_of_before_there_were_sums_gets_them(tmp_path):
    with database.opened(tmp_path) as db:
        migrations.apply(Known(db), stop_before="sum_buckets")
        run_id = create(db)
        db.execute("INSERT INTO series VALUES (1, ?, 'loss', 40000, 1, 0, 1)", [run_id])
        rows = [(1, i, i / 100, 1000.0 + i, None if i % 3 == 0 else i % 7) for i in range(40_000)]
        db.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", rows)
        old = [(1, bucket, *(0.0,) * 8) for bucket in range(313)]
        db.executemany("INSERT INTO buckets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", old)
        db.commit()
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        kept = [*map(tuple, db.execute("SELECT low, bucket FROM buckets"))]
        curve, weight = metrics.averages(db, run_id, "loss")
        known = np.array([row[4] for row in rows], dtype=float)
        assert kept == [(0.0, bucket) for bucket in range(313)]
        assert weight.sum() == np.isfinite(known).sum()
        assert np.average(curve.value, weights=weight) == pytest.approx(np.nanmean(known))
        assert curve.at[1] == pytest.approx(1000 + np.arange(128, 256).mean())
        stored = "SELECT 1, step, epoch, at, value FROM metrics WHERE run_id = ? ORDER BY step"
        assert [*map(tuple, db.execute(stored, [run_id]))] == rows
