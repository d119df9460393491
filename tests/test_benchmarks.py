"""Benchmarks tell all that they are said to; how fast anything is, no test asks."""

from benchmarks import store
from benchmarks.figures import Figure


def test_the_stores_benchmark_tells_every_figure_and_its_curves_keep_their_peaks(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "LONG_POINTS", 5_000)
    told: list[Figure] = list(store.figures(tmp_path, 20))
    assert [figure.name.partition(":")[0].partition(",")[0] for figure in told] == [
        "Ingest", "  of epochs", "  of steps", "On disk", *["Runs page"] * 3,
        "Curves of 10 runs of 5", "Curves that keep their own least and greatest point",
    ]  # fmt: skip
    assert None not in [figure.value for figure in told]
    assert told[-1].value == store.CURVES
