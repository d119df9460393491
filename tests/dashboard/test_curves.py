"""Curves out of the store, as charts show them: long noisy ones keep their peaks and their mean."""

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard import curves
from dashboard.curves import CurveView
from engine.config import RunConfig
from storage import database, metrics, runs
from storage.metrics import Point

PEAK = 1e4


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    database.prepare(store)
    with database.opened(store) as db:
        yield db


@pytest.fixture(scope="module")
def noisy(db):
    """Runs of exponential noise, whose mean is 1 and whose extremes of 128 points are 0 and 5."""
    return [recorded(db, number, points) for number, points in enumerate((60_000, 60_000, 20_000))]


def recorded(db, seed, points):
    config = RunConfig.parse({"seed": seed}).model_dump(mode="json")
    run_id = runs.create(db, name=f"run {seed}", config=config, total_steps=9, submitted_by="test")
    noise = np.random.default_rng(seed).exponential(size=points)
    noise[points // 2] = PEAK
    batch = [
        Point("step_loss", step, step / 1000, 1000.0 + step, value)
        for step, value in enumerate(noise.tolist(), 1)
    ]
    metrics.ingest(db, run_id, batch, last_seq=1, offset=1)
    return runs.get(db, run_id)


def lines(figure):
    """Faint ones, and the others."""
    curves = [trace for trace in figure.data if not trace.meta.get("of")]
    return [c for c in curves if c.opacity], [c for c in curves if not c.opacity]


@pytest.mark.parametrize("x", ["epoch", "step", "time", "clock"])
def test_a_smoothed_curve_lies_at_the_mean_and_what_was_measured_keeps_its_peak(db, noisy, x):
    view = CurveView(x, smoothing=0.97, zone="UTC")
    of_one = go.Figure(curves.of_run(db, noisy[0], ("step_loss",), view))
    of_all = go.Figure(
        curves.of_runs(db, noisy, {run.id: run.name for run in noisy}, "step_loss", view)
    )
    for figure in (of_one, of_all):
        faint, smooth = lines(figure)
        assert len(faint) == len(smooth) == len(figure.data) - len(faint) - marks(figure)
        assert all(trace.y.max() == np.float32(PEAK) for trace in faint)
        for trace in smooth:
            before_peak = trace.y[: np.argmax(trace.y > 2)]
            assert np.mean(before_peak[len(before_peak) // 2 :]) == pytest.approx(1, abs=0.1)


def marks(figure):
    return sum(trace.meta.get("of") == "mark" for trace in figure.data)


def test_only_what_was_measured_is_marked_and_counted_beyond_the_axis(db, noisy):
    names = {run.id: run.name for run in noisy}
    plain = go.Figure(curves.of_runs(db, noisy, names, "step_loss", CurveView("step")))
    smooth = go.Figure(curves.of_runs(db, noisy, names, "step_loss", CurveView("step", 0.5)))
    assert plain.layout.meta["beyond"] == smooth.layout.meta["beyond"] == 3
    assert marks(plain) == marks(smooth) == 3


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_by_the_clock_a_resumed_run_begins_when_it_was_resumed_in_a_group_too(db, smoothing):
    run = recorded(db, 7, 10)  # at 1,001 to 1,010 s
    db.execute("UPDATE runs SET resumed_epoch = 0, started_at = 1005.5 WHERE id = ?", [run.id])
    run = runs.get(db, run.id)
    view = CurveView("clock", smoothing, zone="UTC")
    alone = curves.of_runs(db, [run], {run.id: "it"}, "step_loss", view)["data"][-1]
    (line,) = (
        trace for trace in curves.of_groups(db, {"all": [run]}, "step_loss", view)["data"]
        if not trace["meta"].get("of")
    )  # fmt: skip
    assert line["x"].tolist() == alone["x"].tolist()
    assert line["y"] == pytest.approx(alone["y"])
    assert len(line["x"]) == 5


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_the_median_of_a_group_of_noisy_runs_lies_at_their_mean(db, noisy, smoothing):
    group = {"all": noisy[:2]}
    figure = go.Figure(curves.of_groups(db, group, "step_loss", CurveView("step", smoothing)))
    (median,) = lines(figure)[1]
    assert np.median(median.y) == pytest.approx(1, abs=0.1)
    assert np.all(np.asarray(median.customdata)[:, 0] <= median.y)


def test_a_logarithmic_x_axis_is_for_all_but_dates(db, noisy):
    names = {run.id: run.name for run in noisy}
    for x, kind in (("step", "log"), ("clock", "date")):
        figure = go.Figure(curves.of_runs(db, noisy, names, "step_loss", CurveView(x, log=("x",))))
        assert figure.layout.xaxis.type == kind
