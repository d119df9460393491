"""The main job in real Chromium: configure, start, watch, stop, find, compare, share."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard.readings_view import PANELS
from engine import launch
from engine.config import RunConfig
from engine.format import metric
from tests.browsing import Site, settle
from tests.dashboard.pages import finished
from tests.processes import (
    CACHED,
    ENDLESS,
    HAS_FASHION_MNIST,
    SMALL,
    eventually,
    free_port,
    healthy,
    lab,
    locked,
)

pytestmark = pytest.mark.browser

# Epochs of some tenths of a second, as a reader would follow them.
LIVE = ENDLESS | {"dataset": SMALL["dataset"] | {"train_samples": 65_536}}

# The small job of the other tests, as an address of the form.
SMALL_FORM = (
    "workload.width=16&dataset=synthetic&dataset.height=8&dataset.width=8"
    "&dataset.train_samples=2048&dataset.test_samples=256&batch_size=64"
)

HOSTILE = (
    "<img src=x onerror=alert(1)> <b>b</b> **m** [l](javascript:alert(1)) :smile: $x^2$ 'q\" 🚀"
)

# Runs of the site that were over before its supervisor came: name -> id.
PAST = {}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with lab(tmp_path_factory.mktemp("site") / "store") as made:
        for name in ("first of two", "second of two", "to clone"):
            PAST[name] = finished(made.store, name, **SMALL | {"seed": 5, "learning_rate": 0.0123})
        for name in (HOSTILE, f"{HOSTILE}\nsecond line"):
            PAST[name] = finished(made.store, name, tags=["<i>t</i>"], **SMALL)
        made.env["ACCELBOARD_PORT"] = str(port := free_port())
        made.start("-m", "dashboard")
        eventually(lambda: healthy(port))
        yield Site(made, f"http://127.0.0.1:{port}")


def points(page: Page, key: str) -> int:
    """How many points the first trace of a chart has on the screen's side."""
    chart = f"[class*=st-key-plot-][class*='-{key}'] .js-plotly-plot"
    script = "chart => document.querySelector(chart)?._fullData?.[0]?.y?.length ?? 0"
    return page.evaluate(script, chart)


def run_id_of(page: Page) -> str:
    page.wait_for_url(re.compile(r"/run\?id="), timeout=30_000)
    return page.evaluate("new URL(location.href).searchParams.get('id')")


def field(page: Page, label: str) -> Locator:
    """An input by its label; the question mark beside it has the label in its name too."""
    return page.get_by_label(label, exact=True)


def badge(page: Page, status: str, within_s: float = 20) -> None:
    """Wait until the run's badge says one of the statuses."""
    found = page.locator(".stMarkdownBadge").filter(has_text=re.compile(f"({status})$")).first
    expect(found).to_be_visible(timeout=within_s * 1000)


@pytest.mark.skipif(not HAS_FASHION_MNIST, reason=f"No Fashion-MNIST here or in {CACHED}")
def test_the_form_as_it_stands_trains_on_fashion_mnist_and_its_page_tells_the_accuracy(
    site, browser_page
):
    """From Start through supervisor and trainer to the page; only the epochs are fewer."""
    page = site.visit(browser_page, "/new?epochs=2")
    page.get_by_role("button", name="Start run").click()
    run_id = run_id_of(page)
    badge(page, "Succeeded", within_s=240)
    run = site.lab.run(run_id)
    assert RunConfig.parse(run.config) == RunConfig.parse({"epochs": 2})
    accuracy = run.metrics["validation_accuracy"]
    assert (accuracy.points, accuracy.last > 0.8) == (2, True)
    eventually(lambda: points(page, "validation_loss") == 2 or points(page, "train_loss") == 2, 30)
    expect(page.locator(".stApp")).to_contain_text(metric("validation_accuracy", accuracy.last))
    site.lab.assert_intact(run_id)


@pytest.mark.parametrize("framework", ["keras", "torch_xla"])
def test_a_run_of_each_framework_is_started_from_the_form_and_its_curve_grows(
    site, browser_page, framework
):
    page = site.visit(browser_page, f"/new?framework={framework}&epochs=100000&{SMALL_FORM}")
    page.get_by_role("button", name="Start run").click()
    run_id = run_id_of(page)
    eventually(lambda: points(page, "train_loss") >= 2, 120)
    before = points(page, "train_loss")
    eventually(lambda: points(page, "train_loss") > before, 30)
    expect(page.locator(".st-key-page-header")).to_contain_text(run_id)
    page.locator(".st-key-stop button").click()
    badge(page, "Stopped", within_s=60)
    assert site.lab.run(run_id).status == "STOPPED"
    assert site.lab.run(run_id).framework == framework
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_two_runs_are_found_compared_and_the_link_opens_in_a_fresh_browser(site, new_page):
    first, second = PAST["first of two"], PAST["second of two"]
    page = site.visit(new_page(), "/?q=of+two")
    table = page.locator('[data-testid="stDataFrame"]')
    box = table.bounding_box()
    for row in (0, 1):
        page.mouse.click(box["x"] + 18, box["y"] + 40 + 36 * row + 18)
        expect(page.get_by_text(f"{row + 1} selected.")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Compare 2 runs").click()
    page.wait_for_url(re.compile("/compare"), timeout=30_000)
    # Looked for in its place: names of roles in the whole page take the browser from drawing it.
    page.locator(".st-key-compare-x").get_by_text("Time", exact=True).click()
    eventually(lambda: "x=time" in page.evaluate("location.href"), 20)
    link = page.evaluate("location.href")
    assert f"runs={first}" in link
    assert f"runs={second}" in link

    fresh = new_page()
    fresh.goto(link)
    settle(fresh)
    shown = "document.querySelector('[class*=st-key-plot-compare] .js-plotly-plot')"
    eventually(lambda: fresh.evaluate(f"{shown}?.data?.length === 2"), 20)
    assert "Time" in fresh.evaluate(f"{shown}._fullLayout.xaxis.title.text")
    assert fresh.evaluate("location.href") == link


@pytest.mark.parametrize(
    "path", ["/", "/new?framework=keras&epochs=3&seed=7", "/hardware", "/compare", "/run?id=none"]
)
def test_every_page_has_its_link_to_copy(site, new_page, path):
    page = site.visit(new_page(permissions=["clipboard-read", "clipboard-write"]), path)
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".st-key-copy-link .spoken")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.evaluate("location.href")
    assert copied == site.url + path


def test_a_form_in_the_address_fills_the_form_and_what_is_typed_fills_the_address(
    site, browser_page
):
    page = site.visit(browser_page, "/new?framework=keras&epochs=3&name=from+a+link&tags=a&tags=b")
    expect(field(page, "Epochs")).to_have_value("3")
    expect(field(page, "Batch size")).to_have_value("32")
    field(page, "Seed").fill("11")
    field(page, "Seed").press("Enter")
    settle(page)
    eventually(lambda: "seed=11" in page.evaluate("location.href"), 10)
    page.reload()
    settle(page)
    expect(field(page, "Seed")).to_have_value("11")
    expect(field(page, "Name")).to_have_value("from a link")


# One of each kind; `test_form_address` holds the sentences of many against the command line's.
BAD_ADDRESSES = [
    ("epochs=lots", "Epochs must be a whole number, got 'lots'."),
    ("framework=keras&accelerator=tpu", "Keras/TensorFlow has no TPU trainer here"),
    ("accelerator=gpu&devices=gpu:9", re.compile("This host has no GPU|gpu:9 is no GPU of this")),
    (f"name={'x' * 10_000}", "Name may have 200 characters at most, got 10,000."),
]


@pytest.mark.parametrize(
    ("query", "sentence"), BAD_ADDRESSES, ids=[q[:30] for q, _ in BAD_ADDRESSES]
)
def test_what_is_invalid_in_an_address_gets_the_same_sentence_and_starts_nothing(
    site, browser_page, query, sentence
):
    before = site.lab.count()
    page = site.visit(browser_page, f"/new?{query}")
    said = page.get_by_role("alert").filter(has_text=sentence)
    expect(said).to_have_count(1)
    button = page.get_by_role("button", name="Start run")
    if button.is_enabled():
        button.click()
        settle(page)
    expect(said).to_have_count(1)
    assert site.lab.count() == before


def test_hostile_text_is_shown_as_it_is_everywhere(site, new_page):
    run_id, other = PAST[HOSTILE], PAST[f"{HOSTILE}\nsecond line"]
    page = new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in ("/", f"/run?id={run_id}", f"/compare?runs={run_id}&runs={other}",
                 f"/new?clone={run_id}", "/hardware"):  # fmt: skip
        site.visit(page, path)
        assert page.locator('img[src="x"]').count() == 0
        assert page.locator('a[href^="javascript"]').count() == 0
    site.visit(page, f"/run?id={run_id}")
    assert page.locator("h1.page-title").inner_text() == HOSTILE
    assert dialogs == []


@pytest.mark.parametrize("run_id", ["../../etc/passwd", ""])
def test_an_id_that_is_none_gets_a_plain_page_with_a_way_back(site, browser_page, run_id):
    page = site.visit(browser_page, f"/run?id={run_id}")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.get_by_role("link", name="All runs").click()
    page.wait_for_url(re.compile(r"/(\?.*)?$"), timeout=20_000)
    settle(page)
    assert page.locator("h1.page-title").inner_text() == "Runs"


# From here on a run has the CPU: what is started meanwhile waits, and costs no training.


@pytest.fixture(scope="module")
def live(site):
    run_id = site.lab.submit(LIVE)
    site.lab.training(run_id, epochs=5)
    yield run_id
    launch.stop(site.lab.settings, run_id, by="test")
    assert site.lab.over(run_id).status == "STOPPED"


def test_a_new_point_is_on_the_screen_within_two_seconds(site, live, browser_page):
    """From an epoch's event in the journal to its point in the chart, over ten polls."""
    page = site.visit(browser_page, f"/run?id={live}")
    eventually(lambda: points(page, "train_loss") >= 2, 60)
    for _ in range(10):
        journaled = sum(key == "train_loss" for key, _ in site.lab.journaled(live))
        eventually(lambda n=journaled: drawn_epochs(page) >= n, 2.0)
        time.sleep(0.3)


def drawn_epochs(page: Page) -> float:
    """The last epoch that the loss chart shows."""
    return page.evaluate(
        "document.querySelector('[class*=-train_loss] .js-plotly-plot')._fullData[0].x.at(-1)"
    )


def test_zoom_and_hidden_traces_stay_while_points_arrive(site, live, browser_page):
    page = site.visit(browser_page, f"/run?id={live}")
    eventually(lambda: points(page, "train_loss") >= 3, 60)
    chart = page.locator("[class*=-train_loss]")
    chart.locator(".legendtoggle").first.click()
    state = (
        "(() => { const p = document.querySelector('[class*=-train_loss] .js-plotly-plot');"
        " return [p._fullData[0].visible, p._fullLayout.xaxis.range.map(x => +x.toFixed(3))] })()"
    )
    eventually(lambda: page.evaluate(state)[0] == "legendonly", 10)
    box = chart.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    zoomed, seen = page.evaluate(state), points(page, "train_loss")
    assert zoomed[0] == "legendonly"
    eventually(lambda: points(page, "train_loss") > seen, 30)
    page.wait_for_timeout(1500)
    assert page.evaluate(state) == zoomed


def test_readings_of_a_live_run_go_on_in_the_tab_that_its_link_names(site, live, browser_page):
    page = site.visit(browser_page, f"/run?id={live}")
    page.get_by_role("tab", name="Readings").click()
    memory = f"readings-{[p.title for p in PANELS].index('Memory of the trainer (RSS)')}"
    eventually(lambda: points(page, memory) >= 2, 30)
    assert "tab=Readings" in page.evaluate("location.href")
    range_of = f"document.querySelector('[class*=-{memory}] .js-plotly-plot')._fullLayout.xaxis"
    page.locator(f"[class*=-{memory}] .nsewdrag").first.scroll_into_view_if_needed()
    box = page.locator(f"[class*=-{memory}] .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    zoomed, seen = page.evaluate(f"{range_of}.range"), points(page, memory)
    eventually(lambda: points(page, memory) > seen + 1, 30)
    assert page.evaluate(f"{range_of}.range") == zoomed
    assert page.evaluate(f"{range_of}.autorange") is False


def test_a_clone_is_the_same_config(site, live, browser_page):
    """It waits for the device that the other run has."""
    original = site.lab.run(run_id := PAST["to clone"])
    page = site.visit(browser_page, f"/run?id={run_id}")
    page.get_by_role("button", name="Clone").click()
    page.wait_for_url(re.compile("/new"), timeout=30_000)
    settle(page)
    page.get_by_role("button", name="Start run").click()
    page.wait_for_url(re.compile(r"/run\?id="), timeout=30_000)
    clone = site.lab.run(run_id_of(page))
    assert (clone.id != run_id, clone.status) == (True, "PENDING")
    assert RunConfig.parse(clone.config) == RunConfig.parse(original.config)
    assert (clone.cloned_from, clone.name) == (run_id, "to clone")
    launch.stop(site.lab.settings, clone.id, by="test")


def test_a_second_click_while_the_first_waits_for_the_store_makes_no_second_run(
    site, live, browser_page
):
    before = site.lab.count()
    page = site.visit(browser_page, f"/new?epochs=1&{SMALL_FORM}")
    with locked(site.lab.store):
        for _ in range(2):
            page.get_by_role("button", name="Start run").click()
            page.wait_for_timeout(1_000)
    first = run_id_of(page)
    settle(page)
    assert site.lab.count() == before + 1
    site.visit(page, f"/new?epochs=1&{SMALL_FORM}")
    page.get_by_role("button", name="Start run").click()
    second = run_id_of(page)
    assert (second != first, site.lab.count()) == (True, before + 2)
    for run_id in (first, second):
        launch.stop(site.lab.settings, run_id, by="test")
        assert site.lab.run(run_id).status == "STOPPED"  # it waited


def test_a_busy_device_is_shown_with_its_run_and_a_second_run_waits(site, live, browser_page):
    waiting = site.lab.submit(SMALL, name="waits")
    page = site.visit(browser_page, "/hardware")
    expect(page.get_by_text("In use")).to_be_visible()
    expect(page.get_by_role("link", name=f"Run {live}")).to_be_visible()
    site.visit(page, f"/run?id={waiting}")
    expect(page.get_by_text(re.compile("Waiting, next in the queue"))).to_be_visible()
    page.locator(".st-key-stop button").click()
    badge(page, "Stopped")
