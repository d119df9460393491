"""The HTML file of a report in real Chromium without a network."""

import pytest

from dashboard import study_file
from engine.studies import report
from engine.studies.cost import Prices
from storage import database, studies
from tests.dashboard.test_study_pages import ask, finish_runs
from tests.processes import eventually

pytestmark = pytest.mark.browser


# Of each chart: by how much tick labels are cut off, and by how much the legend covers what stands
# at the axes.
CUT_AND_COVERED = """() => [...document.querySelectorAll(".js-plotly-plot")].map(chart => {
    const box = chart.querySelector(".main-svg").getBoundingClientRect()
    const ticks = [...chart.querySelectorAll(".xtick text, .ytick text")]
        .map(tick => tick.getBoundingClientRect())
    const axes = [...chart.querySelectorAll(".xtick text, .xtitle")]
        .map(text => text.getBoundingClientRect().bottom)
    const legend = chart.querySelector(".legend .bg")?.getBoundingClientRect()
    return [
        ticks.length,
        Math.max(...ticks.map(t => Math.max(box.left - t.left, t.bottom - box.bottom))),
        legend ? Math.max(...axes) - legend.top : 0,
    ]
})"""


def test_the_file_opens_offline_and_asks_for_nothing(here, settings, new_page, tmp_path):
    study_id = ask(settings, name="<b>hostile</b>")
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    with database.opened(here) as db:
        shown = report.of(db, studies.get(db, study_id))
    file = tmp_path / "report.html"
    file.write_bytes(study_file.page(shown, Prices({"cpu": 3600.0}, g_per_kwh=400.0)))
    page = new_page(offline=True)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg")
    assert asked == [file.as_uri()]
    assert errors == []
    text = page.inner_text("body")
    for title in ("Comparability", "Report card", "From when on", "Accuracy against time",
                  "Time and cost", "Findings"):  # fmt: skip
        assert title in text
    assert "$8.00" in text
    assert "Costs by: $3600 an hour for a CPU, 400 g CO2 a kWh." in text
    assert "<b>hostile</b>" in text
    assert page.locator(".js-plotly-plot").count() == 4

    def fits(width):
        charts = page.evaluate(CUT_AND_COVERED)
        is_whole = all(ticks > 2 and max(cut, covered) <= 1 for ticks, cut, covered in charts)
        return is_whole and page.evaluate("document.documentElement.scrollWidth") <= width

    for width in (1280, 400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        eventually(lambda wide=width: fits(wide), 30)
