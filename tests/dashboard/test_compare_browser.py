"""The Compare page in real Chromium: what is pointed at, what is exported, what a link restores."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine import launch
from engine.config import RunConfig
from storage import database, metrics, runs
from storage.metrics import Point
from tests.processes import ENDLESS, Lab, eventually, free_port, healthy, lab

pytestmark = pytest.mark.browser
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
HOSTILE = "=1+1 <img src=x onerror=alert(1)> %{y}"
CPU = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}
LONG_POINTS = 100_000


class Site:
    def __init__(self, made: Lab, url: str, ids: list[str], long_ids: list[str]) -> None:
        self.lab, self.url, self.ids, self.long_ids = made, url, ids, long_ids

    def path(self, ids: list[str], **state: str) -> str:
        named = [f"runs={run_id}" for run_id in ids]
        return f"{self.url}/compare?{'&'.join([*named, *(f'{k}={v}' for k, v in state.items())])}"

    def visit(self, page: Page, ids: list[str], **state: str) -> Page:
        page.goto(self.path(ids, **state))
        settle(page)
        return page


def settle(page: Page) -> None:
    page.wait_for_selector(SETTLED, timeout=60_000)
    page.wait_for_timeout(300)
    page.wait_for_selector(SETTLED, timeout=60_000)
    assert page.locator('[data-testid="stException"]').count() == 0
    page.wait_for_selector(".accelboard-plot[data-state=drawn]", timeout=60_000)
    page.wait_for_selector(".cmp", timeout=60_000)  # what is below the charts comes after them
    page.wait_for_selector(SETTLED, timeout=60_000)
    waiting = "document.querySelectorAll('.accelboard-plot[data-state=loading]').length"
    eventually(lambda: page.evaluate(waiting) == 0, 30)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with lab(tmp_path_factory.mktemp("compare") / "store") as made:
        database.prepare(made.settings.store)
        with database.opened(made.settings.store) as db:
            ids = [_short(db, seed) for seed in range(4)]
            long_ids = [_long(db, seed) for seed in range(10)]
        made.env["ACCELBOARD_PORT"] = str(port := free_port())
        made.start("-m", "dashboard")
        eventually(lambda: healthy(port))
        yield Site(made, f"http://127.0.0.1:{port}", ids, long_ids)


def _run(db, name, seed):
    config = RunConfig.parse({"seed": seed, "learning_rate": 0.01 * (1 + seed % 2)})
    run_id = runs.create(db, name=name, config=config.model_dump(mode="json"), total_steps=100,
                         submitted_by="test")  # fmt: skip
    runs.claim(db, run_id, host="here", devices=[CPU], now=1000.0)
    return run_id


def _short(db, seed):
    """Ten epochs; the last run's loss ends far out."""
    run_id = _run(db, HOSTILE, seed)
    points = [
        Point(key, epoch * 10, float(epoch), 1000.0 + epoch, value)
        for epoch in range(1, 11)
        for key, value in (
            ("validation_accuracy", 0.5 + 0.04 * epoch + 0.01 * seed),
            ("train_loss", 1e6 if seed == 3 and epoch == 10 else 1 / epoch + 0.01 * seed),
        )
    ]
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    runs.finish(db, run_id, "SUCCEEDED", finished_at=1011.0)
    return run_id


def _long(db, seed):
    run_id = _run(db, f"long {seed}", seed)
    values = np.random.default_rng(seed).normal(size=LONG_POINTS).cumsum()
    points = [Point("step_loss", s, s / 1000, 1000 + s / 100, float(values[s]))
              for s in range(LONG_POINTS)]  # fmt: skip
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    runs.finish(db, run_id, "SUCCEEDED", finished_at=2000.0)
    return run_id


def lit(page: Page) -> dict[str, list[str]]:
    """Of each chart the runs whose curves stand out; under "" the runs of lit rows and names."""
    return page.evaluate(
        """() => {
        const found = {};
        for (const root of document.querySelectorAll(".accelboard-plot[data-lit]")) {
          const canvas = root.querySelector(".js-plotly-plot");
          const name = root.getAttribute("aria-label");
          found[name] = canvas._fullData
            .filter((t) => canvas.querySelector(`.trace${t.uid}.lit`)).flatMap((t) => t.meta.runs);
        }
        const rows = document.querySelectorAll("[data-run].lit");
        if (rows.length) found[""] = [...rows].map((row) => row.dataset.run);
        return found;
    }"""
    )


def test_a_run_that_is_pointed_at_stands_out_in_all_charts_and_tables(site, browser_page):
    page, third = site.visit(browser_page, site.ids), site.ids[2]
    page.locator(".cmp-legend li").nth(2).hover()
    eventually(lambda: lit(page), 10)
    found = lit(page)
    assert {"Validation accuracy by epoch", "Training loss by epoch"} <= set(found)
    assert len(found) == 5  # two of curves, two of parameters, and the rows
    assert all(set(runs_lit) == {third} for runs_lit in found.values())

    chart = page.locator(".st-key-panel-validation_accuracy .nsewdrag").first.bounding_box()
    page.mouse.move(chart["x"] + chart["width"] / 2, chart["y"] + 5)  # above: the highest curve
    eventually(lambda: set(lit(page).get("", [])) == {site.ids[3]}, 10)
    page.mouse.move(5, 5)
    eventually(lambda: lit(page) == {}, 10)

    page.locator(".cmp-legend button").nth(0).focus()
    eventually(lambda: set(lit(page).get("", [])) == {site.ids[0]}, 10)


def test_a_name_hides_its_curves_in_all_charts_until_it_is_pressed_again(site, browser_page):
    page = site.visit(browser_page, site.ids)
    drawn = "[...document.querySelectorAll('.scatterlayer')].map(l => l.children.length)"
    before = page.evaluate(drawn)
    name = page.locator(".cmp-legend button").nth(1)
    name.focus()
    page.keyboard.press("Enter")
    eventually(lambda: page.evaluate(drawn) == [count - 1 for count in before], 10)
    expect(name).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Last", exact=True).or_(
        page.get_by_role("radio", name="Last", exact=True)
    ).click()  # draws the page anew
    settle(page)
    assert page.evaluate(drawn) == [count - 1 for count in before]
    expect(name).to_have_attribute("aria-pressed", "false")
    link = page.evaluate("location.href")
    assert f"hide={site.ids[1]}" in link
    page.goto(link)  # as whoever gets the link
    settle(page)
    eventually(lambda: page.evaluate(drawn) == [count - 1 for count in before], 10)
    expect(name).to_have_attribute("aria-pressed", "false")
    name.click()
    eventually(lambda: page.evaluate(drawn) == before, 10)
    eventually(lambda: "hide" not in page.evaluate("location.href"), 10)


def test_a_chart_is_downloaded_as_png_svg_and_data(site, browser_page):
    page = site.visit(browser_page, site.ids, group="learning_rate")

    def downloaded(title):
        with page.expect_download() as found:
            button = page.locator(f".st-key-panel-train_loss [aria-label='{title}']")
            button.focus()
            page.keyboard.press("Enter")
        return found.value.suggested_filename, Path(found.value.path()).read_bytes()

    name, png = downloaded("Download as PNG")
    assert name == "training-loss-by-epoch.png"
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) >= 700  # twice as wide as drawn
    name, svg = downloaded("Download as SVG")
    text = svg.decode()
    assert "Training loss by epoch" in text
    assert "learning rate 0.01" in text  # a legend of its own
    name, data = downloaded("Download data as CSV")
    rows = list(csv.reader(io.StringIO(data.decode())))
    assert rows[0] == ["curve", "Epoch", "Training loss", "band from", "band to"]
    assert rows[1][:2] == ["learning rate 0.01", "1"]
    assert [float(value) for value in rows[1][2:]] == pytest.approx([1.01, 1.0, 1.02])
    assert len(rows) == 1 + 2 * 10


def test_parallel_axes_are_downloaded_as_a_row_a_run_with_its_values(site, browser_page):
    page = site.visit(browser_page, site.ids, dims="seed&dims=learning_rate")
    with page.expect_download() as found:
        chart = page.locator("[class*=plot-compare-parallel]")
        chart.locator("[aria-label='Download data as CSV']").first.click(force=True)
    rows = list(csv.reader(Path(found.value.path()).read_text().splitlines()))
    assert rows[0] == ["run", "name", "Seed", "Learning rate"]
    assert [row[0] for row in rows[1:]] == site.ids
    assert [float(row[2]) for row in rows[1:]] == [0, 1, 2, 3]


def test_names_in_a_charts_data_are_as_they_were_given_and_no_formula(site, browser_page):
    page = site.visit(browser_page, [site.ids[0]])
    with page.expect_download() as found:
        page.locator(".st-key-panel-train_loss [aria-label='Download data as CSV']").click()
    assert found.value.suggested_filename == f"train_loss-{site.ids[0]}.csv"
    rows = list(csv.reader(Path(found.value.path()).read_text().splitlines()))
    assert rows[1][:4] == [site.ids[0], f"'{HOSTILE}", "train_loss", "10"]


def test_a_comparison_is_one_file_that_opens_without_a_network(
    site, chromium, browser_page, tmp_path
):
    page = site.visit(browser_page, site.ids, base=site.ids[1])
    with page.expect_download() as found:
        page.get_by_role("button", name="Export (HTML)").click()
    found.value.save_as(file := tmp_path / "comparison.html")
    context = chromium.new_context(offline=True, reduced_motion="reduce")
    try:
        alone, asked, problems = context.new_page(), [], []
        alone.on("request", lambda request: asked.append(request.url))
        alone.on("pageerror", lambda error: problems.append(str(error)))
        alone.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        alone.goto(file.as_uri())
        eventually(lambda: alone.locator(".scatterlayer .trace").count() >= 3 * 4, 20)
        assert asked == [file.as_uri()]
        assert problems == []
        assert alone.locator(".js-plotly-plot").count() == 3
        expect(alone.get_by_role("heading", name="What differs")).to_be_visible()
        rows = alone.locator(".cmp").first.locator("tbody tr")
        assert rows.count() == 4
        expect(rows.nth(3)).to_contain_text("best")
        assert site.ids[1] in alone.locator(".told").inner_text()
        assert alone.locator("img[src=x]").count() == 0
    finally:
        context.close()


def test_the_file_has_what_the_reader_made_of_the_page(site, chromium, browser_page, tmp_path):
    page = site.visit(
        browser_page, site.ids, sort="validation_accuracy", hide=site.ids[3], metric="train_loss"
    )
    with page.expect_download() as found:
        page.get_by_role("button", name="Export (HTML)").click()
    found.value.save_as(file := tmp_path / "comparison.html")
    context = chromium.new_context(offline=True)
    try:
        alone = context.new_page()
        alone.goto(file.as_uri())
        chart = alone.locator(".js-plotly-plot").first
        eventually(lambda: chart.locator(".scatterlayer .js-line").count() == 3, 20)
        expect(alone.locator(".cmp").first.locator("tbody tr").first).to_contain_text("best")
        assert "hidden" in alone.locator(".told").inner_text()
        chart.locator(".legend .traces").nth(3).locator(".legendtoggle").click()
        eventually(lambda: chart.locator(".scatterlayer .js-line").count() == 4, 20)
    finally:
        context.close()


def test_the_axis_is_that_of_the_curves_that_are_shown(site, browser_page):
    page = site.visit(browser_page, site.ids, metric="train_loss", full="1")
    top = "document.querySelector('.st-key-panel-train_loss .js-plotly-plot')._fullLayout.yaxis.range[1]"  # noqa: E501
    eventually(lambda: page.evaluate(top) > 1e5, 10)
    page = site.visit(page, site.ids, metric="train_loss")
    expect(page.get_by_text("One outlying point")).to_be_visible()
    page.locator(".cmp-legend button").nth(3).click()  # its loss ends far out
    expect(page.locator(".accelboard-plot[data-lit]")).to_have_count(0)  # the others are not faint
    expect(page.get_by_text("One outlying point")).to_have_count(0, timeout=10_000)
    eventually(lambda: page.evaluate(top) < 1.2, 10)


# What is below the charts also comes when they take very long: here it does not.
PATIENT = """
const soon = window.setTimeout;
window.setTimeout = (call, ms, ...given) => soon(call, ms === 4000 ? 120_000 : ms, ...given);
"""
# A connection that loses what is said, for as long as the page has no other word.
DEAF = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (said) { if (!window.isDeaf) send.call(this, said); };
"""


def held_back(page: Page, path: str) -> list:
    """The page before its drawing library comes, and what lets that come."""
    held = []
    page.route("**/assets/plotly*", lambda route: held.append(route))
    page.goto(path)
    expect(page.locator(".accelboard-plot").first).to_be_visible()
    page.wait_for_selector(SETTLED)
    return held


def test_what_is_below_the_charts_comes_once_they_are_drawn(site, browser_page):
    browser_page.add_init_script(PATIENT)
    held = held_back(browser_page, site.path(site.ids, metric="train_loss"))
    assert browser_page.locator(".cmp").count() == 0
    with browser_page.expect_download() as exported:  # of all, though not all is there
        browser_page.get_by_role("button", name="Export (HTML)").click()
    assert "Parameters and metrics" in Path(exported.value.path()).read_text()
    for route in held:
        route.continue_()
    expect(browser_page.locator(".cmp")).to_have_count(2)
    expect(browser_page.locator("[class*=st-key-plot-] [data-state=drawn]")).to_have_count(3)


def test_what_is_below_the_charts_comes_though_they_cannot_be_drawn(site, browser_page):
    browser_page.add_init_script(PATIENT)
    for route in held_back(browser_page, site.path(site.ids)):
        route.abort()
    expect(browser_page.locator(".accelboard-plot[data-state=failed]").first).to_be_visible()
    expect(browser_page.locator(".cmp")).to_have_count(2)


def test_what_is_below_the_charts_comes_though_the_connection_was_lost_meanwhile(
    site, browser_page
):
    browser_page.add_init_script(DEAF)
    held = held_back(browser_page, site.path(site.ids, metric="train_loss"))
    browser_page.evaluate("window.isDeaf = true")
    for route in held:
        route.continue_()
    expect(browser_page.locator(".accelboard-plot[data-state=drawn]")).to_have_count(1)
    browser_page.wait_for_timeout(1000)
    browser_page.evaluate("window.isDeaf = false")
    expect(browser_page.locator(".cmp")).to_have_count(2)


def test_all_that_was_chosen_is_restored_in_a_fresh_browser(site, new_page):
    page = site.visit(new_page(), site.ids)
    page.get_by_role("button", name="Step", exact=True).or_(
        page.get_by_role("radio", name="Step", exact=True)
    ).click()
    settle(page)
    page.get_by_role("combobox", name=re.compile("Group by")).click()
    page.get_by_role("option", name="Learning rate").click()
    settle(page)
    page.get_by_role("button", name="Runs (4)").click()
    page.get_by_role("combobox", name=re.compile("4 of up to 50 runs")).click()
    page.keyboard.press("Escape")
    page.keyboard.press("Backspace")
    settle(page)
    expect(page.get_by_role("button", name="Runs (3)")).to_be_visible()
    link = page.evaluate("location.href")
    assert "x=step" in link
    assert "group=learning_rate" in link
    assert link.count("runs=") == 3

    fresh = new_page()
    fresh.goto(link)
    settle(fresh)
    shown = "document.querySelector('[class*=st-key-plot-compare-train_loss] .js-plotly-plot')"
    eventually(lambda: fresh.evaluate(f"{shown}?._fullData.filter(t => !t.meta.of).length") == 2)
    assert fresh.evaluate(f"{shown}._fullLayout.xaxis.title.text") == "Step"
    assert fresh.evaluate("location.href") == link


def test_the_farthest_outlier_is_marked_and_the_axis_shows_all_on_demand(site, browser_page):
    page = site.visit(browser_page, site.ids)
    axis = "document.querySelector('.st-key-panel-train_loss .js-plotly-plot')._fullLayout.yaxis"
    page.wait_for_selector(".st-key-panel-train_loss [data-state=drawn]")
    assert page.evaluate(f"{axis}.range[1]") < 2
    expect(page.get_by_text("One outlying point lies beyond the axis")).to_be_visible()
    page.get_by_role("button", name="Curves", exact=True).click()
    page.get_by_test_id("stPopoverBody").get_by_text("All values", exact=True).click()
    eventually(lambda: page.evaluate(f"{axis}.range[1]") > 1e6, 20)
    settle(page)
    assert "full=1" in page.evaluate("location.href")


def test_ten_runs_of_100_000_points_are_drawn_with_their_peaks(site, new_page):
    """Of each curve about 2,000 points are sent, its peaks among them."""
    page = new_page()
    page.goto(site.path(site.long_ids))
    chart = "document.querySelector('[class*=plot-compare-step_loss] .js-plotly-plot')"
    drawn = f"{chart}?.querySelectorAll('.scatterlayer .trace .js-line').length === 10"
    eventually(lambda: page.evaluate(drawn), 60)
    sent = page.evaluate(f"{chart}._fullData.map(trace => trace.x.length)")
    assert max(sent) <= 2_010
    highest = page.evaluate(f"{chart}._fullData.map(trace => Math.max(...trace.y))")
    wanted = [np.random.default_rng(s).normal(size=LONG_POINTS).cumsum().max() for s in range(10)]
    assert highest == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
def test_the_page_fits_its_window_and_its_tables_scroll_within_it(site, new_page, width, scheme):
    page = new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    words = ("device", "workload.width", "learning_rate", "metric.validation_accuracy")
    site.visit(page, site.ids, dims="&dims=".join(words))
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    header = page.locator(".cmp thead th").first
    painted = header.evaluate("(cell) => getComputedStyle(cell).backgroundColor")
    behind = page.locator(".stApp").evaluate("(app) => getComputedStyle(app).backgroundColor")
    assert painted == behind
    assert json.dumps(lit(page)) == "{}"
    assert page.evaluate(CUT) == {"names": len(words), "cut": []}


# Of parallel axes, how many have a name, and which texts do not lie within the chart.
CUT = """() => {
  const root = document.querySelector("[class*=plot-compare-parallel] .accelboard-plot");
  const of = (part) => [...root.querySelectorAll(part)];
  const { left, right, top, bottom } = root.getBoundingClientRect();
  const isCut = (text) => {
    const box = text.getBoundingClientRect();
    return box.left < left || box.right > right || box.top < top || box.bottom > bottom;
  };
  const texts = of(".xtick text, .annotation-text");
  const isSeen = (text) => getComputedStyle(text).display !== "none";
  return {
    names: of(".xtick text").filter(isSeen).length,
    cut: texts.filter(isCut).map((text) => text.textContent),
  };
}"""


def test_a_running_run_is_followed_and_what_was_chosen_stays(site, browser_page):
    run_id = site.lab.submit(ENDLESS)
    site.lab.training(run_id, epochs=3)
    page = site.visit(browser_page, [site.ids[0], run_id], metric="train_loss")
    chart = "document.querySelector('[class*=plot-compare-train_loss] .js-plotly-plot')"
    count = f"{chart}._fullData.find(t => t.meta.runs[0] === '{run_id}').x.length"
    box = page.locator(".st-key-panel-train_loss .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    zoomed = page.evaluate(f"{chart}._fullLayout.xaxis.range")
    page.get_by_role("button", name="Runs (2)").click()
    before = page.evaluate(count)
    eventually(lambda: page.evaluate(count) > before + 1, 30)
    assert page.evaluate(f"{chart}._fullLayout.xaxis.range") == zoomed
    expect(page.get_by_test_id("stPopoverBody")).to_be_visible()
    launch.stop(site.lab.settings, run_id, by="test")
    assert site.lab.over(run_id).status == "STOPPED"
    eventually(lambda: page.get_by_text("Stopped").count() > 0, 20)


@pytest.mark.parametrize(("theme", "page_is"), [("light", (255, 255, 255)), ("dark", (15, 20, 27))])
def test_the_file_is_in_the_readers_theme(site, chromium, browser_page, tmp_path, theme, page_is):
    page = site.visit(browser_page, site.ids, metric="train_loss")
    with page.expect_download() as found:
        page.get_by_role("button", name="Export (HTML)").click()
    found.value.save_as(file := tmp_path / "comparison.html")
    context = chromium.new_context(offline=True, color_scheme=theme)
    try:
        alone = context.new_page()
        alone.goto(file.as_uri())
        painted = f"rgb{page_is}"
        first = "document.querySelector('.js-plotly-plot .main-svg').style.background"
        eventually(lambda: alone.evaluate(first) == painted, 20)
        assert alone.evaluate("getComputedStyle(document.body).backgroundColor") == painted
        of_table = "getComputedStyle(document.querySelector('.cmp th')).backgroundColor"
        assert alone.evaluate(of_table) == painted
    finally:
        context.close()
