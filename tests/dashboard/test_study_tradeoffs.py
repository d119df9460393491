"""A report as figures: what is measured, what is a bound, and what is ranked with what."""

import numpy as np
import pytest

from dashboard import study_tradeoffs
from dashboard.study_tradeoffs import Spot
from engine.studies.evidence import Learning
from engine.studies.roofline import Bound, Point, Roof, Roofline


def named(figure):
    return {trace.name: trace for trace in figure.data}


def test_a_bound_is_hollow_under_a_dashed_roof_and_a_measurement_is_full():
    roofs = (Roof("Mine", 1e12, 1e11, "measured"), Roof("Chip", 2e14, 8e11, "documents"))
    found = Roofline(roofs, (Point("An <b>arm</b>", "Mine", 5.0, 2e11),),
                     (Bound("TPU bound", 50.0, 3e13, 1e-3),), ())  # fmt: skip
    drawn = named(study_tradeoffs.roofline(found, ["An <b>arm</b>"]))
    assert drawn["TPU bound"].marker.symbol == "diamond-open"
    assert drawn["Roof: Chip"].line.dash == "dash"
    assert drawn["Roof: Mine"].line.dash == "solid"
    (arm,) = [trace for name, trace in drawn.items() if "arm" in name]
    assert "<b>" not in arm.name
    assert (arm.x, arm.y) == ((5.0,), (200.0,))
    ridge, peak = drawn["Roof: Mine"].x[1], drawn["Roof: Mine"].y[1]
    assert (ridge, peak) == pytest.approx((10.0, 1000.0))


def test_each_repeat_is_faint_and_the_median_is_of_the_epochs_that_all_have():
    curves = [Learning("a", np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.3])),
              Learning("b", np.array([3.0, 4]), np.array([0.3, 0.4]))]  # fmt: skip
    figure = study_tradeoffs.learning({"An arm": curves}, target=0.5)
    faint, _, median = figure.data
    assert faint.opacity < 0.5
    assert list(median.x) == [2.0, 3.0]
    assert list(median.y) == pytest.approx([0.2, 0.3])
    assert figure.layout.shapes[0].y0 == 0.5


def test_energies_of_different_sources_are_never_on_one_front():
    spots = [Spot("a", 1.0, 9.0, 0, "counter: NVML"), Spot("b", 9.0, 9.5, 1, "sampled")]
    drawn = named(study_tradeoffs.pareto(spots, "x", "y"))
    assert drawn["b"].marker.symbol == "circle"  # beaten only by what it cannot be ranked with
    together = [spot._replace(group="") for spot in spots]
    assert named(study_tradeoffs.pareto(together, "x", "y"))["b"].marker.symbol == "circle-open"


def test_traces_are_named_so_that_plotly_can_look_for_them_when_a_chart_goes():
    """It puts the name into a CSS selector: `Keras/TensorFlow on CPU` would be none."""
    arms = ["Keras/TensorFlow on CPU", "A (R) 'model', fp32"]
    roof = Roof(arms[1], 1e12, 1e11, "measured")
    of_arm = [Learning("a", np.array([1.0]), np.array([0.1]))]
    spots = [Spot(arm, 1.0, 9.0, index, f"{arm}: W") for index, arm in enumerate(arms)]
    known = {arm: (1.0, 2.0, 3.0) for arm in arms}
    for figure in (
        study_tradeoffs.roofline(
            Roofline((roof,), (Point(arms[0], arms[1], 5.0, 2e11),),
                     (Bound("TPU bound: batch 1", 50.0, 3e13, 1e-3),), ()), arms),
        study_tradeoffs.learning({arm: of_arm for arm in arms[:1]}, None),
        study_tradeoffs.pareto(spots, "x", "y"),
        study_tradeoffs.three_scales(known, arms[:1], arms),
    ):  # fmt: skip
        uids = [trace.uid for trace in figure.data]
        assert all(uid.isalnum() for uid in uids), uids
        assert len(set(uids)) == len(uids)
