"""What is told of compared runs: labels, figures, differences, groups, axes. No browser."""

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard import (
    bands,
    charts,
    compare_charts,
    compare_table,
    comparison,
    distinct,
    ranges,
    run_columns,
)
from dashboard.charts import Curve
from dashboard.compare_charts import Axis, Named
from engine.config import RunConfig
from engine.studies import comparable, evidence
from storage import database, metrics, run_list, runs
from storage.metrics import Point

HOSTILE = "<img src=x onerror=alert(1)> %{y}"
CPU = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}


@pytest.fixture
def make(tmp_path):
    """Runs of a real store: `make({"seed": 1}, accuracy=0.9)`."""
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:

        def one(config, *, name="a run", environment=None, **values):
            parsed = RunConfig.parse(config)
            run_id = runs.create(
                db, name=name, config=parsed.model_dump(mode="json"),
                total_steps=parsed.total_steps, submitted_by="test",
            )  # fmt: skip
            runs.claim(db, run_id, host="here", devices=[CPU], now=100.0)
            points = [Point(key, 1, 1.0, 101.0, value) for key, value in values.items()]
            metrics.ingest(db, run_id, points, last_seq=1, offset=1, environment=environment)
            runs.finish(db, run_id, "SUCCEEDED", finished_at=110.0)
            return run_list.of_ids(db, [run_id])[0]

        yield one


def labels(*found):
    return list(distinct.labels(found).values())


def test_a_label_says_only_what_differs(make):
    found = [make({"learning_rate": rate, "seed": 7}) for rate in (0.1, 0.01)]
    assert labels(*found) == ["lr 0.1", "lr 0.01"]


def test_a_sweep_with_a_seed_for_each_run_is_told_by_what_was_swept(make):
    found = [make({"batch_size": size, "seed": seed}) for seed, size in enumerate((32, 64, 32))]
    assert labels(*found) == ["batch 32 · seed 0", "batch 64 · seed 1", "batch 32 · seed 2"]


def test_repeats_are_told_apart_by_their_names_or_else_by_their_ids(make):
    assert labels(make({}, name="one"), make({}, name="two")) == ["one", "two"]
    first, second = make({}), make({})
    assert labels(first, second) == [first.id, second.id]


def test_the_same_config_of_two_commits_is_told_by_the_commits(make):
    found = [make({}, environment={"git": {"commit": c * 40, "dirty": False}}) for c in "ab"]
    assert labels(*found) == ["commit aaaaaaa", "commit bbbbbbb"]


def test_best_and_worst_follow_the_metrics_direction(make):
    found = [make({"seed": s}, validation_accuracy=0.1 * s, train_loss=0.1 * s) for s in (1, 2, 3)]
    columns = {c.key: c for c in comparison.results(found, found[0], "best")}
    assert [c.rank for c in columns["validation_accuracy"].cells] == ["worst", "", "best"]
    assert [c.rank for c in columns["train_loss"].cells] == ["best", "", "worst"]
    assert comparison.ranked(columns["validation_accuracy"]) == [2, 1, 0]
    assert comparison.ranked(columns["train_loss"]) == [0, 1, 2]


def test_equal_figures_are_neither_best_nor_worst_and_unknown_ones_are_not_ranked(make):
    found = [make({"seed": 1}, train_loss=0.5), make({"seed": 2}, train_loss=0.5), make({})]
    (column,) = comparison.results(found, found[0], "last")
    assert [c.rank for c in column.cells] == ["", "", ""]
    assert [c.text for c in column.cells] == ["0.5", "0.5", "—"]
    assert [c.delta for c in column.cells] == ["", "±0", ""]


def test_a_metric_called_as_another_is_called_for_short_keeps_its_own_figures(make):
    run = make({}, accuracy=0.25, validation_accuracy=0.75, learning_rate=0.125)
    columns = {c.raw_name: c for c in comparison.results([run], run, "best")}
    assert columns["last_accuracy"].cells[0].value == 0.25
    assert columns["best_validation_accuracy"].cells[0].value == 0.75
    assert list(comparison.results_frame([run], list(columns.values()))["last_accuracy"]) == [0.25]
    assert comparison.values([run], "metric.accuracy", "best") == [0.25]
    assert comparison.title("metric.learning_rate", "best") == "Last learning rate"
    assert comparison.title("metric.validation_loss", "best") == "Best validation loss"
    assert not {"last.accuracy", "min.loss"} & set(run_columns.options(["accuracy", "loss"], []))


@pytest.mark.parametrize(
    ("shares", "told", "deltas"),
    [
        ((0.9996, 1.0), ["99.96 %", "100.00 %"], ["", "+0.04 pt"]),
        ((0.88, 0.8801, 0.8801), ["88.00 %", "88.01 %", "88.01 %"], ["", "+0.01 pt", "+0.01 pt"]),
        ((0.8814, 0.8816), ["88.14 %", "88.16 %"], ["", "+0.02 pt"]),
        ((0.1 + 0.2, 0.3), ["30.0 %", "30.0 %"], ["", "±0"]),
        ((0.881, 0.882, 0.881), ["88.1 %", "88.2 %", "88.1 %"], ["", "+0.1 pt", "±0"]),
    ],
)
def test_shares_that_differ_are_told_apart(make, shares, told, deltas):
    found = [make({"seed": s}, validation_accuracy=share) for s, share in enumerate(shares)]
    (column,) = comparison.results(found, found[0], "best")
    assert [c.text for c in column.cells] == told
    assert [c.delta for c in column.cells] == deltas


@pytest.mark.parametrize(
    ("value", "base", "unit", "told"),
    [
        (0.91, 0.9, "%", "+1.0 pt"),
        (150.0, 100.0, "samples/s", "+50.0 %"),
        (90.0, 100.0, "", "-10.0 %"),
        (1200.0, 100.0, "", "×12"),
        (1.0, 0.0, "", ""),
        (None, 1.0, "", ""),
    ],
)
def test_a_distance_is_in_points_percent_or_times(value, base, unit, told):
    assert comparison.delta(value, base, unit) == told


def test_speeds_of_less_than_two_runs_that_started_are_not_judged(make, tmp_path):
    with database.opened(tmp_path) as db:
        config = RunConfig.parse({}).model_dump(mode="json")
        waiting = runs.create(db, name="w", config=config, total_steps=1, submitted_by="test")
        found = run_list.of_ids(db, [make({}).id, waiting])
        assert comparable.speeds(found, {run.id: evidence.of(db, run) for run in found}) is None


def test_the_same_job_on_another_host_is_compared_with_reserve(make, tmp_path):
    git = {"commit": "a" * 40, "dirty": False}
    found = [make({"seed": s}, environment={"hostname": h, "git": git})
             for s, h in ((1, "a"), (2, "b"))]  # fmt: skip
    with database.opened(tmp_path) as db:
        verdict = comparable.speeds(found, {run.id: evidence.of(db, run) for run in found})
    assert verdict.level == "amber"
    sentences = " ".join(check.sentence for check in verdict.checks)
    assert "Versions differ between runs: host." in sentences
    assert "The same job: mlp on Fashion-MNIST." in sentences
    assert "Steady steps" not in sentences  # how long they were timed is not known


def test_only_what_differs_is_shown_unless_all_is_asked_for(make):
    found = [make({"seed": s}, environment={"python": "3.11", "hostname": h})
             for s, h in ((1, "a"), (2, "b"))]  # fmt: skip
    every = comparison.differences(found)
    keys = [row.key for row in comparison.wanted(every, every=False, search="")]
    assert keys == ["seed", "hostname"]
    found_by = [row.key for row in comparison.wanted(every, every=True, search="RATE learn")]
    assert found_by == ["learning_rate"]
    frame = comparison.differences_frame(every, found)
    assert list(frame[frame["key"] == "seed"][found[1].id]) == [2]


def test_the_base_comes_first_and_what_differs_from_it_is_marked(make):
    found = [make({"seed": s}) for s in (1, 2, 1)]
    rows = comparison.wanted(comparison.differences(found), every=False, search="")
    names = {run.id: f"run {i}" for i, run in enumerate(found)}
    colors = {run.id: i for i, run in enumerate(found)}
    table = compare_table.differences(rows, found, found[1], names, colors=colors)
    assert table.index("run 1") < table.index("run 0") < table.index("run 2")
    assert table.count("value differs") == 2  # both of seed 1, as the base is seed 2


def test_names_that_mean_harm_are_escaped_in_every_table(make):
    run = make({}, name=HOSTILE, train_loss=1.0)
    other = make({"seed": 3}, name=HOSTILE, train_loss=2.0, environment={"host": HOSTILE})
    names, colors = {run.id: HOSTILE, other.id: HOSTILE}, {run.id: 0, other.id: 1}
    columns = comparison.results([run, other], run, "best")
    rows = comparison.differences([run, other])
    shown = [
        compare_table.results([run, other], run, names, columns, colors=colors),
        compare_table.differences(rows, [run, other], run, names, colors=colors),
        compare_table.legend([(HOSTILE, [run])]),
    ]
    assert all("<img" not in table and "&lt;img" in table for table in shown)


def test_a_legend_that_is_pointed_at_says_what_people_call_the_runs(make):
    group = [make({"seed": seed}, name=name) for seed, name in enumerate(("first try", "a", "a"))]
    assert 'title="first try\na"' in compare_table.legend([("batch 32", group)])
    many = [make({"seed": seed}, name=f"try {seed}") for seed in range(12)]
    assert "try 9\nand 2 more" in compare_table.legend([("batch 32", many)])


def test_groups_hold_the_runs_that_have_a_key_in_common(make):
    found = [make({"batch_size": b, "seed": s}) for b in (32, 64) for s in (1, 2)]
    assert comparison.group_words(found) == ["repeats", "batch_size"]
    groups = comparison.groups(found, "repeats")
    assert list(groups) == ["batch 32", "batch 64"]
    assert [len(of) for of in groups.values()] == [2, 2]
    assert list(comparison.groups(found, "batch_size")) == ["batch size 32", "batch size 64"]


def test_a_band_holds_the_median_between_the_lowest_and_the_highest():
    x = np.array([1.0, 2.0])
    band = bands.of([(x, np.array([1.0, 5.0])), (x, np.array([3.0, 4.0])), (x, np.array([2, 9.0]))])
    assert band.median.tolist() == [2, 5]
    assert (band.low.tolist(), band.high.tolist()) == ([1, 4], [3, 9])


def test_one_run_of_many_that_failed_to_learn_does_not_stretch_their_band():
    x = np.array([1.0])
    band = bands.of([(x, np.array([value])) for value in (1.0, 1, 1, 1, 1e6)])
    assert band.high.tolist() == [1]


def test_runs_that_were_taken_at_other_times_are_interpolated_but_not_beyond_their_ends():
    long = np.linspace(0, 10, 1000)
    band = bands.of([(long, long), (long / 2 + 0.001, long)])
    late = band.x > 6
    assert len(band.x) == bands.GRID_POINTS
    assert np.allclose(band.low[late], band.high[late])
    early = band.x < 4
    assert np.allclose(band.high[early], 2 * (band.x[early] - 0.001).clip(0), atol=0.02)


def test_against_time_runs_meet_at_the_same_epoch_and_time_never_falls():
    epochs = np.array([1.0, 2, 3])
    fast, slow = (epochs, epochs * 10), (epochs[:2], epochs[:2] * 100)
    assert bands.reached(epochs, [fast, slow]).tolist() == [55, 110, 110]


def test_no_points_make_an_empty_band():
    assert len(bands.of([(np.array([1.0]), np.array([np.nan]))]).x) == 0


@pytest.mark.parametrize(
    ("value", "wanted"), [(1.0, (0.95, 1.0)), (0.1, (0.05, 0.15)), (0.0, (0.0, 0.05))]
)
def test_a_flat_accuracy_is_drawn_on_an_axis_within_0_and_100_percent(value, wanted):
    shown = ranges.shown([np.full(5, value)], "%", robust=False)
    assert shown == pytest.approx(wanted)
    flat = Curve("a", "r", np.arange(3), np.full(3, value))
    figure = go.Figure(charts.curves([flat], y_title="", unit="%", x_axis="epoch"))
    assert figure.layout.yaxis.range == pytest.approx(wanted)


def test_a_curve_that_moves_has_the_range_that_plotly_finds():
    assert ranges.shown([np.array([0.1, 0.9])], "%", robust=True) is None
    decay = 2.3 * np.exp(-np.arange(100) / 20) + 0.25
    assert ranges.shown([decay], "", robust=True) is None


def with_a_peak(**options):
    y = np.sin(np.arange(200) / 10)
    y[150] = 1e6
    curve = Curve("a", "r", np.arange(200), y, runs=("r",))
    return go.Figure(charts.curves([curve], y_title="Loss", x_axis="step", **options))


def test_an_outlier_is_marked_at_the_edge_of_an_axis_that_it_does_not_stretch():
    figure = with_a_peak(robust=True)
    low, high = figure.layout.yaxis.range
    assert (low, high) == (pytest.approx(-1.1, abs=0.01), pytest.approx(1.1, abs=0.01))
    assert figure.layout.meta["beyond"] == 1
    mark = figure.data[-1]
    assert (mark.x[0], mark.y[0], mark.customdata[0]) == (150, high, 1e6)
    assert mark.marker.symbol == "triangle-up"
    assert max(figure.data[0].y) == 1e6  # the curve keeps its peak


def test_a_band_that_reaches_beyond_the_axis_is_marked_too():
    x, y = np.arange(100), np.sin(np.arange(100) / 10)
    high = y.copy()
    high[50] = 1e6
    band = Curve("a", "g", x, y, low=y - 0.1, high=high)
    figure = go.Figure(charts.curves([band], y_title="Loss", x_axis="step", robust=True))
    assert figure.layout.meta["beyond"] == 1
    assert (figure.data[-1].x[0], figure.data[-1].customdata[0]) == (50, 1e6)


def test_all_values_are_shown_if_asked_for_or_on_a_logarithmic_axis():
    for figure in (with_a_peak(), with_a_peak(robust=True, log_y=True)):
        assert figure.layout.yaxis.range is None
        assert len(figure.data) == 1


def test_fifty_long_curves_stay_within_what_a_browser_draws():
    x = np.arange(100_000)
    many = [Curve(str(i), str(i), x, np.random.default_rng(i).normal(size=len(x)))
            for i in range(50)]  # fmt: skip
    figure = go.Figure(charts.curves(many, y_title="", x_axis="step"))
    assert sum(len(trace.x) for trace in figure.data) <= charts.CHART_POINTS + 50 * 4
    assert len(charts.curves(many[:1], y_title="", x_axis="step")["data"][0]["x"]) > 1_900


def test_absolute_time_is_a_date():
    dates = np.array(["2026-01-01T12:00", "2026-01-02"], "datetime64[ms]")
    curve = Curve("a", "r", dates, np.array([1.0, 2.0]))
    figure = go.Figure(charts.curves([curve], y_title="", x_axis="clock"))
    assert figure.layout.xaxis.type == "date"
    assert str(figure.data[0].x[0]).startswith("2026-01-01T12:00")


NAMED = [Named(f"r{i}", name, i) for i, name in enumerate(("one", HOSTILE, "three"))]


def test_a_scatter_leaves_out_runs_without_one_of_the_two():
    rate, accuracy = Axis("Rate", [0.1, None, 0.001]), Axis("Accuracy (%)", [0.5, 0.6, 0.7])
    figure = go.Figure(compare_charts.scatter(NAMED, rate, accuracy))
    assert [trace.x[0] for trace in figure.data] == [0.1, 0.001]
    assert figure.layout.xaxis.type == "log"
    assert figure.data[0].customdata[0][1] == "Accuracy (%) 50.0 %"
    assert list(figure.layout.meta["table"]) == [
        ["run", "name", "Rate", "Accuracy"],
        ["r0", "one", 0.1, 0.5], ["r1", HOSTILE, None, 0.6], ["r2", "three", 0.001, 0.7],
    ]  # fmt: skip


def test_parallel_axes_go_from_the_least_to_the_greatest_or_by_name():
    axes = [Axis("Rate", [0.1, 0.01, 0.001]), Axis("Kind", ["b", "a", "<b>"]),
            Axis("Loss", [1.0, None, 3.0])]  # fmt: skip
    figure = go.Figure(compare_charts.parallel(NAMED, axes))
    assert [list(trace.y) for trace in figure.data] == [
        pytest.approx([1, 1, 0]),
        [pytest.approx(0.5), 0.5, None],
        [pytest.approx(0, abs=1e-9), 0, 1],
    ]
    assert list(figure.layout.meta["table"]) == [
        ["run", "name", "Rate", "Kind", "Loss"],
        ["r0", "one", 0.1, "b", 1.0], ["r1", HOSTILE, 0.01, "a", None],
        ["r2", "three", 0.001, "<b>", 3.0],
    ]  # fmt: skip
    assert "&lt;b&gt;" in [note.text for note in figure.layout.annotations]
    shown = [text for trace in figure.data for text in (trace.name, *trace.text)]
    assert not [text for text in shown if "<img" in text]  # meta has it as it is, for a CSV


def test_a_run_that_is_hidden_has_no_say_in_the_range():
    good = [
        Curve(f"r{n}", f"r{n}", np.arange(9.0), np.linspace(1, 0.3 + n / 50, 9), runs=(f"r{n}",))
        for n in range(3)
    ]
    bad = Curve("bad", "bad", np.arange(9.0), np.array([1e12, *[2e3] * 8]), runs=("bad",))
    drawn = charts.curves([*good, bad], y_title="", x_axis="epoch", robust=True)
    alone = charts.curves([*good, bad], y_title="", x_axis="epoch", robust=True, hidden=["bad"])
    assert "range" in drawn["layout"]["yaxis"]
    assert "range" not in alone["layout"]["yaxis"]  # Plotly's own is that of what is seen
    assert "meta" not in alone["layout"]
    assert len(alone["data"]) == 4  # it is there, to be shown again
