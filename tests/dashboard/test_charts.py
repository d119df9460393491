import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.io.json import to_json_plotly

from dashboard import charts
from dashboard.charts import Curve

LIGHT, DARK = "#ffffff", "#0f141b"


def curve(y, name="run", run_id="r1", x=None, **options):
    y = np.asarray(y, dtype=float)
    return Curve(name, run_id, np.arange(len(y)) if x is None else np.asarray(x), y, **options)


def draw(*drawn, x_axis="epoch", y_title="Loss", **options):
    return go.Figure(charts.curves(list(drawn), y_title=y_title, x_axis=x_axis, **options))


def test_new_points_leave_identity_and_revision_alone():
    before, after = draw(curve([1, 2])), draw(curve([1, 2, 3]))
    assert [t.uid for t in before.data] == [t.uid for t in after.data]
    assert before.layout.uirevision == after.layout.uirevision
    assert before.layout.xaxis.uirevision == after.layout.xaxis.uirevision
    assert before.layout.yaxis.uirevision == after.layout.yaxis.uirevision


def test_another_axis_drops_the_zoom_of_that_axis_only():
    linear, log = draw(curve([1, 2])), draw(curve([1, 2]), log_y=True)
    assert linear.layout.yaxis.uirevision != log.layout.yaxis.uirevision
    assert linear.layout.xaxis.uirevision == log.layout.xaxis.uirevision
    assert log.layout.yaxis.type == "log"


def test_epochs_have_a_tick_each_once_the_first_is_over():
    begun, over = (draw(curve([1, 2], x=[0.02, end])) for end in (0.16, 1.0))
    assert begun.layout.xaxis.dtick is None  # else there would be no tick at all
    assert over.layout.xaxis.dtick == 1


@pytest.mark.parametrize(("least", "ticks"), [(0.33, 4), (0.1, 3), (1e-8, 3), (-1.0, 4)])
def test_a_short_logarithmic_axis_has_more_ticks(least, ticks):
    drawn = draw(curve([2.3, least, np.nan], x=[least, 2.0, 2.3]), log_y=True, log_x=True)
    assert (drawn.layout.yaxis.nticks, drawn.layout.xaxis.nticks) == (ticks, ticks)


def test_time_in_another_unit_drops_the_zoom():
    """A range of 60..90 s must not become 60..90 min."""
    seconds, minutes = (draw(curve([1, 2], x=[0, end]), x_axis="time") for end in (120, 240))
    assert seconds.layout.xaxis.uirevision != minutes.layout.xaxis.uirevision


def test_curves_keep_their_identity_whatever_their_order():
    a, b = curve([1], "a"), curve([2], "b")
    assert {t.uid for t in draw(a, b).data} == {t.uid for t in draw(b, a).data}


def test_two_curves_of_one_name_and_run_are_still_two():
    uids = [t.uid for t in draw(curve([1]), curve([2])).data]
    assert len(set(uids)) == 2


def test_identities_are_safe_in_a_css_selector():
    (trace,) = draw(curve([1], name="a/b c.d")).data
    assert trace.uid.isalnum()


def test_legend_stands_only_where_there_is_a_choice():
    assert not draw(curve([1])).layout.showlegend
    assert draw(curve([1]), curve([2])).layout.showlegend


@pytest.mark.parametrize(
    ("longest", "title", "last"), [(179, "s", 179), (600, "min", 10), (10_800, "h", 3)]
)
def test_time_is_told_in_a_unit_people_use(longest, title, last):
    figure = draw(curve([1, 2], x=[0, longest]), x_axis="time")
    assert figure.layout.xaxis.title.text == f"Time ({title})"
    assert figure.data[0].x[-1] == last
    assert figure.data[0].hovertemplate.count(f" {title}<br>") == 1


def test_curves_share_one_unit_of_time():
    figure = draw(curve([1, 2], x=[0, 60]), curve([1, 2], x=[0, 7200]), x_axis="time")
    assert [t.x[-1] for t in figure.data] == [1, 120]


def test_accuracy_is_drawn_as_percent():
    figure = draw(curve([0.5, 0.9]), y_title="Accuracy", unit="%")
    assert figure.layout.yaxis.tickformat.endswith("%")
    assert "%{y:.2%}" in figure.data[0].hovertemplate
    assert figure.layout.yaxis.title.text == "Accuracy"


def test_unit_stands_in_the_axis_title_and_the_hover():
    figure = draw(curve([100.0]), y_title="Throughput", unit="samples/s")
    assert figure.layout.yaxis.title.text == "Throughput (samples/s)"
    assert "samples/s<extra>" in figure.data[0].hovertemplate
    assert draw(curve([1.0]), y_title="", unit="s").layout.yaxis.title.text == "s"


def test_hover_has_every_digit_before_the_point():
    assert "%{y:,.7~g}" in draw(curve([1_234_567.8])).data[0].hovertemplate
    assert "%{y:,.5~g}" in draw(curve([0.123456789])).data[0].hovertemplate


def test_gap_stays_a_gap():
    y = draw(curve([1, np.nan, 3])).data[0].y
    assert np.isnan(y[1])


def test_short_curve_is_not_thinned():
    y = np.random.default_rng(0).random(charts.MAX_POINTS)
    assert len(draw(curve(y)).data[0].y) == charts.MAX_POINTS


def test_long_curve_is_thinned_and_keeps_its_extremes_and_its_ends():
    y = np.random.default_rng(0).random(100_000)
    y[70_001], y[30_001] = 9, -9
    x, kept = charts.thinned(np.arange(len(y)), y)
    assert charts.MAX_POINTS * 0.9 <= len(kept) <= charts.MAX_POINTS
    assert (kept.max(), kept.min()) == (9, -9)
    assert (x[0], x[-1]) == (0, 99_999)
    assert (np.diff(x) > 0).all()
    assert (y[x] == kept).all()


def test_thinned_curve_keeps_its_gaps():
    y = np.ones(50_000)
    y[20_000:20_010] = np.nan
    y[40_000] = np.inf
    x, kept = charts.thinned(np.arange(len(y)), y)
    assert x[~np.isfinite(kept)].tolist() == [20_000, 40_000]


def test_few_values_among_many_gaps_all_stay():
    y = np.full(10_000, np.nan)
    y[::100] = 1.0
    x, kept = charts.thinned(np.arange(len(y)), y)
    assert x[np.isfinite(kept)].tolist() == list(range(0, 10_000, 100))
    assert np.isnan(kept[1::2]).all(), "no line between values that are not neighbours"


def test_every_second_value_missing_stays_small():
    y = np.where(np.arange(100_000) % 2, np.nan, 1.0)
    assert len(charts.thinned(np.arange(len(y)), y)[1]) <= 2 * charts.MAX_POINTS


def test_curve_without_any_value_is_drawn_empty():
    assert len(charts.thinned(np.arange(5_000), np.full(5_000, np.nan))[1]) == 0


def test_points_are_marked_where_they_are_few():
    assert draw(curve([1])).data[0].mode == "lines+markers"
    assert draw(curve(np.ones(51))).data[0].mode == "lines"
    ten = draw(*[curve(np.ones(31))] * 9, curve([np.nan, 1, np.nan, *np.ones(28)])).data
    assert [trace.mode for trace in ten] == ["lines"] * 9 + ["lines+markers"]


@pytest.mark.parametrize(
    ("drawn", "awaited", "said"),
    [
        ([], True, "No points yet"),
        ([curve([])], True, "No points yet"),
        ([curve([])], False, "No points"),
        ([curve([np.nan])], True, "No finite values"),
    ],
)
def test_nothing_to_draw_is_said_in_words(drawn, awaited, said):
    figure = draw(*drawn, awaited=awaited)
    assert figure.layout.annotations[0].text == said
    assert not figure.layout.xaxis.visible


@pytest.mark.parametrize(
    "name", ["<b>x</b>", '<a href="javascript:alert(1)">x</a>', "&amp;", "a < b & c > d"]
)
def test_markup_in_a_name_is_escaped_in_legend_and_hover(name):
    trace = draw(curve([1], name)).data[0]
    for text in (trace.name, trace.text):
        assert "<" not in text.replace("<br>", "")
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def test_name_is_no_part_of_the_hover_template():
    """Plotly would read %{y} in it."""
    trace = draw(curve([1], "%{y}")).data[0]
    assert trace.hovertemplate == draw(curve([1], "other")).data[0].hovertemplate


def test_long_name_is_short_in_the_legend_and_whole_in_the_hover():
    name = "a" * 100 + "b" * 100
    trace = draw(curve([1], name)).data[0]
    assert len(trace.name) == charts.LEGEND_LETTERS
    assert trace.name[0] == "a"
    assert trace.name[-1] == "b"
    assert "…" in trace.name
    assert trace.text.replace("<br>", "") == name


def test_shortening_does_not_cut_an_escape_in_two():
    trace = draw(curve([1], "<" * 200)).data[0]
    assert set(re.split(r"&lt;|…", trace.name)) == {""}


def test_empty_name_and_line_breaks_are_harmless():
    assert draw(curve([1], "")).data[0].text == " "
    assert draw(curve([1], "two\n\tlines")).data[0].name == "two lines"


def luminance(color):
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("background", [LIGHT, DARK])
@pytest.mark.parametrize("color", charts.PALETTE)
def test_colour_stands_out_from_both_backgrounds(color, background):
    """WCAG 2.2, 1.4.11: a graphical object needs a contrast of 3 to 1."""
    light, dark = sorted([luminance(color), luminance(background)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 2.95


def test_eleventh_run_has_the_first_colour_and_another_dash():
    first, eleventh = draw(curve([1], color_index=0), curve([1], color_index=10)).data
    assert first.line.color == eleventh.line.color
    assert first.line.dash != eleventh.line.dash
    assert len({(charts.color(i), charts.dash(i)) for i in range(40)}) == 40


def test_dash_that_was_asked_for_is_drawn():
    assert draw(curve([1], dash="dot")).data[0].line.dash == "dot"


def test_points_travel_as_typed_arrays():
    figure = draw(curve(np.random.default_rng(0).random(2_000)))
    sent = json.loads(to_json_plotly(figure))["data"][0]
    assert sent["y"]["dtype"] == "f4"
    assert set(sent["x"]) == {"dtype", "bdata"}
