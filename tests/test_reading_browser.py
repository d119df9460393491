"""Reading in real Chromium: links that others open, embedded pages, files, a list that keeps its
place."""

import asyncio
import re
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from benchmarks.sessions import Reader
from dashboard import links
from engine import changes
from storage import database, metrics, readings, transfer
from storage.readings import Reading
from tests.browsing import in_order, left_alone, settle
from tests.dashboard.pages import create, finished, zigzag
from tests.dashboard.test_study_pages import ask, finish_runs
from tests.processes import eventually

pytestmark = pytest.mark.browser

PUBLIC = "https://team.example/board"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with left_alone(tmp_path_factory.mktemp("reading") / "store", public_address=PUBLIC) as made:
        yield made


def test_a_copied_link_begins_with_the_public_address(site, new_page):
    page = site.visit(new_page(permissions=["clipboard-read", "clipboard-write"]), "/?q=mine")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".st-key-copy-link .spoken")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{PUBLIC}/?q=mine"


@pytest.mark.parametrize("path", ["/run?id={}&smooth=0.5", "/compare?runs={}&runs={}"])
def test_an_embedded_page_has_its_curves_and_no_navigation(site, browser_page, path):
    first, second = (finished(site.lab.store, name) for name in ("one", "two"))
    page = site.visit(browser_page, path.format(first, second) + "&embed=true")
    eventually(lambda: page.locator(".js-plotly-plot .scatterlayer .trace").count() >= 1, 20)
    assert page.get_by_role("link", name="Hardware").count() == 0
    assert page.get_by_role("button", name="Delete").count() == 0
    shown = site.visit(browser_page, path.format(first, second))
    expect(shown.get_by_role("link", name="Hardware")).to_be_visible()


def test_a_file_of_a_run_is_downloaded_and_no_other(site):
    run_id = finished(site.lab.store)
    folder = site.lab.store / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_bytes(b"<b>text</b>")
    with urllib.request.urlopen(f"{site.url}/files/{run_id}/trainer.log") as answer:
        assert answer.read() == b"<b>text</b>"
        assert answer.headers["Content-Disposition"].startswith("attachment")
    for path in (
        f"{run_id}/..%2f..%2faccelboard.sqlite",
        f"{run_id}/nothing",
        "nobody/trainer.log",
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{site.url}/files/{path}")
        assert refused.value.code in (400, 404)


def test_readers_who_come_at_the_same_moment_each_get_their_page(site):
    async def all_of_them():
        url, until = site.url.replace("http", "ws", 1), time.monotonic() + 6
        readers = [Reader("", "", 0.5) for _ in range(25)]
        await asyncio.gather(*(r.read(f"{url}/_stcore/stream", until, 0) for r in readers))
        return readers

    with ThreadPoolExecutor(1) as apart:  # the browser's event loop runs in this thread
        readers = apart.submit(asyncio.run, all_of_them()).result()
    assert any(reader.taken_s for reader in readers)
    log = (site.lab.store / "process-0.log").read_text()
    assert "A page failed" not in log


def test_a_browser_too_slow_to_stop_asking_for_the_page_it_left_shows_the_other_one(
    site, browser_page
):
    """What it sends every two seconds for the table of runs is sent on, as it would be until it
    had heard of the Compare page."""
    first, second = (finished(site.lab.store, f"slow {n}") for n in range(2))
    server, sent = [], []

    def between(browser):
        server.append(browser.connect_to_server())
        browser.on_message(lambda message: (sent.append(message), server[0].send(message)))

    browser_page.route_web_socket("**/_stcore/stream", between)
    page = site.visit(browser_page, "/?q=slow")
    page.get_by_role("button", name="Select all 2 found").click()
    compare = page.get_by_role("button", name="Compare 2 runs")
    expect(compare).to_be_enabled(timeout=20_000)
    settle(page)
    sent.clear()
    while not sent:
        page.wait_for_timeout(50)
    asks_for_table = sent[0]
    compare.click()
    for _ in range(20):
        server[0].send(asks_for_table)
        page.wait_for_timeout(50)
    expect(page.locator("h1.page-title")).to_have_text("Compare", timeout=20_000)
    eventually(lambda: page.locator(".accelboard-plot[data-state=drawn]").count() >= 3, 20)
    named = parse_qs(urlsplit(page.evaluate("location.href")).query)["runs"]
    assert set(named) == {first, second}
    assert "does not exist anymore" not in (site.lab.store / "process-0.log").read_text()


def test_no_page_is_wider_than_its_window(site, new_page):
    """One visit for both widths: the window is made narrow while the page is there."""
    store = site.lab.store
    run_id = finished(store, "w" * 200)
    (store / "runs" / run_id).mkdir(parents=True)
    (store / "runs" / run_id / "trainer.log").write_text("w" * 2000)
    with database.opened(store) as db:
        metrics.ingest(db, run_id, [], last_seq=7, offset=70,
                       facts={"ledger": {"compute": 20.0}, "steady_samples_per_s": 12.0},
                       environment={"path": "w" * 300})  # fmt: skip
        readings.add(db, run_id, [Reading("host", "cpu", float(at), 0.5)
                                  for at in range(99, 126)])  # fmt: skip
    study_id = ask(site.lab.settings, name="w" * 80)
    finish_runs(store, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    page = new_page(color_scheme="dark")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for path in ("/", "/new", f"/compare?runs={run_id}", "/hardware", "/studies?plan=true",
                 f"/study?id={study_id}", f"/run?id={run_id}"):  # fmt: skip
        page.set_viewport_size({"width": 1280, "height": 900})
        site.visit(page, path)
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page)
            assert page.evaluate(overflow) <= 0, (path, width)
    for tab in links.TABS:  # of the run's page, narrow
        page.get_by_role("tab", name=tab).click()
        settle(page)
        assert page.evaluate(overflow) <= 0, tab


LOSS = "document.querySelector('[class*=st-key-plot-][class*=-train_loss] .js-plotly-plot')"


def test_curves_are_smoothed_over_what_was_measured_on_a_logarithmic_axis(site, new_page):
    page = site.visit(new_page(), f"/run?id={zigzag(site.lab.store)}")
    swings = (f"{LOSS}?._fullData.filter(t => t.y?.length)"
              ".map(t => [t.opacity, Math.max(...t.y) - Math.min(...t.y)])")  # fmt: skip
    eventually(lambda: page.evaluate(swings) == [[1, 2]] * 2, 20)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    eventually(lambda: len(page.evaluate(swings)) == 4, 20)
    page.get_by_test_id("stButtonGroup").get_by_text("Log y", exact=True).click()
    eventually(lambda: page.evaluate(f"{LOSS}._fullLayout.yaxis.type") == "log", 20)
    settle(page)
    link = page.evaluate("location.href")
    assert {"smooth=0.99", "log=y"} <= set(urlsplit(link).query.split("&"))
    fresh = new_page()
    fresh.goto(link)
    settle(fresh)
    eventually(lambda: fresh.evaluate(f"{LOSS}?._fullLayout.yaxis.type") == "log", 20)
    measured, _, smooth, _ = fresh.evaluate(swings)
    assert measured == [0.35, 2]
    assert (smooth[0], smooth[1] < 1.5) == (1, True)


def test_a_curve_that_is_hidden_by_its_name_is_hidden_for_whoever_gets_the_link(site, new_page):
    run_id = zigzag(site.lab.store)
    page = site.visit(new_page(), f"/run?id={run_id}")
    seen = f"{LOSS}?._fullData.map(t => t.visible)"
    eventually(lambda: page.evaluate(seen) == [True, True], 20)
    page.locator("[class*=-train_loss] .legendtoggle").nth(1).click()
    eventually(lambda: page.evaluate(seen) == [True, "legendonly"], 20)
    eventually(lambda: "hide=validation_loss" in page.evaluate("location.href"), 20)
    fresh = new_page()
    fresh.goto(page.evaluate("location.href"))
    settle(fresh)
    eventually(lambda: fresh.evaluate(seen) == [True, "legendonly"], 20)
    fresh.locator("[class*=-train_loss] .legendtoggle").first.dblclick()
    eventually(lambda: fresh.evaluate(seen) == [True, True], 20)
    eventually(lambda: "hide=" not in fresh.evaluate("location.href"), 20)


def test_a_run_comes_back_from_its_file_through_the_page_with_nothing_lost(site, browser_page):
    run_id = zigzag(site.lab.store, "comes <b>back</b>")

    def kept():
        with database.opened(site.lab.store) as db:
            record = transfer.read(db, run_id)
            return record.row, record.tags, list(record.points), list(record.readings)

    before = kept()
    page = site.visit(browser_page, f"/run?id={run_id}&tab=Files")
    with page.expect_download() as found:
        page.get_by_role("link", name="Download the whole run").click()
    file = found.value.path()
    site.visit(page, "/")
    page.get_by_role("button", name="Import").click()
    page.locator("input[type=file]").set_input_files(
        {"name": found.value.suggested_filename, "mimeType": "application/zip",
         "buffer": file.read_bytes()})  # fmt: skip
    add = page.get_by_test_id("stPopoverBody").get_by_role("button", name="Import", exact=True)
    add.click()
    expect(page.get_by_text(f"Run {run_id} is in this store already")).to_be_visible()
    changes.delete(site.lab.settings, run_id, by="test")
    add.click()
    page.wait_for_url(re.compile(f"/run.id={run_id}"), timeout=20_000)
    settle(page)
    assert page.locator("h1.page-title").inner_text() == "comes <b>back</b>"
    assert kept() == before
    log = site.lab.store / "runs" / run_id / "trainer.log"
    assert log.read_text() == "what it printed"


def test_a_saved_view_shows_the_same_to_whoever_opens_its_short_link(site, new_page):
    for name in ("viewed one", "viewed two", "other"):
        create(site.lab.store, name)
    page = site.visit(new_page(), "/?q=viewed&columns=name&columns=tags&sort=name")
    page.get_by_role("button", name="Views").click()
    page.get_by_label("Name of this view").fill("ours")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Save view").click()
    link = page.get_by_role("link", name=f"{PUBLIC}/v/")
    short = urlsplit(link.get_attribute("href", timeout=20_000)).path.partition("/v/")[2]
    fresh = site.visit(new_page(), f"/v/{short}")
    assert fresh.evaluate("location.href") == page.evaluate("location.href")
    expect(fresh.get_by_text(re.compile(r"^2 of \d+ runs, by name, rising"))).to_be_visible()
    eventually(lambda: in_order(fresh, "viewed ") == ["o", "t"], 20)


def test_a_study_that_is_resumed_is_followed_and_its_charts_go_away_cleanly(site, browser_page):
    study_id = ask(site.lab.settings, name="resumed")
    rates = {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0}
    finish_runs(site.lab.store, study_id, rates, failing=["Keras/TensorFlow on CPU"])
    complaints = []
    browser_page.on("console", lambda said: complaints.append(said.text))
    page = site.visit(browser_page, f"/study?id={study_id}")
    page.wait_for_selector(".accelboard-plot[data-state=drawn]")
    page.get_by_role("button", name="Resume").first.click()
    expect(page.locator(".st-key-stop-study button")).to_be_visible()
    finish_runs(site.lab.store, study_id, rates)
    expect(page.get_by_text("12 of 12 runs over")).to_be_visible(timeout=15_000)
    page.get_by_role("link", name="Hardware").click()
    expect(page.locator(".accelboard-plot")).to_have_count(0)
    assert not [said for said in complaints if "querySelector" in said]
