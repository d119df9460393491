"""Reading in real Chromium: links that others open, embedded pages, files, a list that keeps its
place."""

import asyncio
import re
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from benchmarks.sessions import Reader
from dashboard import links
from engine import changes, supervision
from storage import database, metrics, readings, runs, transfer
from storage.metrics import Point
from storage.readings import Reading
from tests.dashboard.test_pages import DEVICE, create, finished
from tests.dashboard.test_study_pages import ask, finish_runs
from tests.processes import eventually, free_port, healthy, lab
from tests.test_browser import Site, settle

pytestmark = pytest.mark.browser
PUBLIC = "https://team.example/board"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Its supervisor's lock is held here, so that runs stay as the test makes them."""
    with lab(tmp_path_factory.mktemp("reading") / "store", public_address=PUBLIC) as made:
        made.env["ACCELBOARD_PORT"] = str(port := free_port())
        with supervision.locked(made.store):
            server = made.start("-m", "dashboard")
            eventually(lambda: healthy(port))
            yield Site(made, f"http://127.0.0.1:{port}")
            server.terminate()
            server.wait()


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


# How many buttons archive, where the table is scrolled to, how many update it: each that was seen.
KEEP_LOOKING = """
const count = label => [...document.querySelectorAll('button')]
  .filter(button => button.innerText.includes(label)).length;
const place = () => document.querySelector('[data-testid=stDataFrame] .dvn-scroller')?.scrollTop;
const look = () => {
  const now = [count('Archive'), place() ?? null, count('The list has changed')];
  if (String(now) !== String(window.seen.at(-1))) window.seen.push(now);
};
window.seen = [];
look();
new MutationObserver(look).observe(document.body, {subtree: true, childList: true});
"""


# Each message of the server is drawn before the next one comes, as over a slow line.
ONE_AT_A_TIME = """
let last = Promise.resolve();
const listen = WebSocket.prototype.addEventListener;
WebSocket.prototype.addEventListener = function (kind, listener, ...others) {
  const later = event => last = last.then(() => new Promise(done => {
    listener.call(this, event);
    setTimeout(done, window.seen ? 50 : 0);
  }));
  listen.call(this, kind, kind === 'message' ? later : listener, ...others);
};
"""


def test_a_new_run_moves_neither_the_rows_nor_the_selection(site, browser_page):
    for number in range(30):
        create(site.lab.store, f"row {number}")
    browser_page.add_init_script(ONE_AT_A_TIME)
    page = site.visit(browser_page, "/")
    table = page.locator('[data-testid="stDataFrame"]')
    box = table.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    scroller = "document.querySelector('[data-testid=stDataFrame] .dvn-scroller')?.scrollTop"
    page.mouse.wheel(0, 300)
    eventually(lambda: (page.evaluate(scroller) or 0) > 100, 20)
    settle(page)
    page.mouse.click(box["x"] + 18, box["y"] + 40 + 36 * 3 + 18)
    eventually(lambda: page.get_by_role("button", name="Archive").count() == 1, 20)
    settle(page)
    before = page.evaluate(scroller)
    assert before > 100
    page.evaluate(f"() => {{ {KEEP_LOOKING} }}")
    place = table.bounding_box()
    create(site.lab.store, "late")
    update = page.get_by_role("button", name="The list has changed")
    expect(update).to_be_visible(timeout=20_000)
    page.wait_for_timeout(1000)
    assert table.bounding_box() == place
    assert page.evaluate("window.seen") == [[1, before, 0], [1, before, 1]]
    update.click()
    expect(update).to_have_count(0, timeout=20_000)
    with database.opened(site.lab.store) as db:
        assert runs.list_newest(db, 1)[0].name == "late"


def test_what_can_be_done_to_selected_runs_is_in_sight_in_a_low_window(site, new_page):
    for number in range(20):
        create(site.lab.store, f"low {number}")
    page = site.visit(new_page(viewport={"width": 1280, "height": 640}), "/?q=low")
    place = page.locator('[data-testid="stDataFrame"]').bounding_box()
    page.mouse.click(place["x"] + 18, place["y"] + 40 + 18)
    expect(page.get_by_role("button", name="Archive")).to_be_in_viewport(timeout=20_000)
    expect(page.get_by_text(re.compile(r"newest first\. 1 selected\.$"))).to_be_in_viewport()
    site.visit(page, "/?q=low")
    focus_table(page)
    for row in range(1, 15):
        to_row(page, row)
    actions = page.get_by_role("button", name="Compare", exact=True)
    grid = page.locator('[data-testid="stDataFrame"]')
    scrolled = page.evaluate(f"{SCROLLER}?.scrollTop ?? 0")
    eventually(
        lambda: grid.bounding_box()["y"] + 40 + 36 * 15 - scrolled < actions.bounding_box()["y"], 5
    )


# Each message of the server comes later, as over a far line.
FAR = """
const listen = WebSocket.prototype.addEventListener;
WebSocket.prototype.addEventListener = function (kind, listener, ...others) {
  const later = event => setTimeout(() => listener.call(this, event), 500);
  listen.call(this, kind, kind === 'message' ? later : listener, ...others);
};
"""


def test_a_table_is_downloaded_whenever_its_button_is_clicked(site, browser_page):
    """Between two polls, or while one is under way: the file is that of the button."""
    create(site.lab.store, "fetched")
    browser_page.add_init_script(FAR)
    page = site.visit(browser_page, "/?q=fetched")
    page.get_by_role("button", name="Download").click()
    csv = page.get_by_role("button", name="CSV")
    expect(csv).to_be_visible(timeout=20_000)
    for _ in range(12):
        with page.expect_download(timeout=20_000) as found:
            csv.click()
        assert "fetched" in found.value.path().read_text()
        page.wait_for_timeout(130)


SCROLLER = "document.querySelector('[data-testid=stDataFrame] .dvn-scroller')"
CELLS = "document.querySelector('[data-testid=stDataFrame] canvas').textContent"


def focus_table(page):
    """With Tab alone, from the field above it. A table that is drawn later takes no focus."""
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    settle(page)
    page.get_by_label("Query", exact=True).focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            return
    raise AssertionError("Tab does not lead into the table.")


def to_row(page, row):
    """One row down; the grid moves the focus to its cell a little later."""
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"document.activeElement.id.endsWith('-{row}')")


def test_runs_are_opened_selected_and_compared_with_the_keyboard_alone(site, browser_page):
    first, second, _ = (create(site.lab.store, f"keys {n}") for n in range(3))
    page = site.visit(browser_page, "/?q=keys")
    focus_table(page)
    to_row(page, 1)
    page.keyboard.press("Space")
    expect(page.get_by_role("link", name=f"Open {second}")).to_be_visible(timeout=20_000)
    to_row(page, 2)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Compare 2 runs")).to_be_enabled()
    settle(page)
    for _ in range(3):
        page.keyboard.press("Tab")
        if "Compare 2 runs" in page.evaluate("document.activeElement.innerText ?? ''"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/compare"), timeout=20_000)
    assert {first, second} == set(parse_qs(urlsplit(page.evaluate("location.href")).query)["runs"])
    site.visit(page, "/?q=keys")
    focus_table(page)
    to_row(page, 1)
    to_row(page, 2)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/run.id={first}"), timeout=20_000)


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


def test_a_run_that_arrives_and_figures_that_change_leave_a_short_table_where_it_was(
    site, new_page
):
    """Scrolled to the right, which a new table would undo; then with a row selected."""
    live = create(site.lab.store, "short live")
    create(site.lab.store, "short other")
    with database.opened(site.lab.store) as db:
        runs.claim(db, live, host="here", devices=[DEVICE], now=time.time())
    page = new_page(viewport={"width": 700, "height": 900})
    site.visit(page, "/?q=short&columns=name&columns=last.train_loss&columns=progress"
               "&columns=took&columns=submitted&columns=status&columns=tags")  # fmt: skip
    eventually(lambda: page.evaluate(f"{SCROLLER}?.scrollWidth - {SCROLLER}?.clientWidth") > 100)
    focus_table(page)  # with the focus, the table is there as text too
    page.evaluate(f"{SCROLLER}.scrollLeft = 90")
    late = create(site.lab.store, "short late")
    eventually(lambda: late in page.evaluate(CELLS), 20)
    assert page.evaluate(f"{SCROLLER}.scrollLeft") == 90
    box = page.locator('[data-testid="stDataFrame"]').bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 40 + 36 * 2 + 18)
    expect(page.get_by_role("link", name=f"Open {live}")).to_be_visible(timeout=20_000)
    with database.opened(site.lab.store) as db:
        metrics.ingest(db, live, [Point("train_loss", 9_000, 5.0, time.time(), 0.4321)],
                       last_seq=1, offset=1)  # fmt: skip
    eventually(lambda: "0.4321" in page.evaluate(CELLS), 20)
    assert page.evaluate(f"{SCROLLER}.scrollLeft") == 90
    expect(page.get_by_role("link", name=f"Open {live}")).to_be_visible()


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


def zigzag(store, name="zigzag", **fields):
    """A run whose loss goes up and down, with a log."""
    run_id = create(store, name, **fields)
    points = [Point(key, step, step / 10, 100.0 + step, 3.0 + (-1) ** step)
              for step in range(1, 21) for key in ("train_loss", "validation_loss")]  # fmt: skip
    with database.opened(store) as db:
        runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
        metrics.ingest(db, run_id, points, last_seq=20, offset=60)
        readings.add(db, run_id, [Reading("host", "cpu", 101.0, 0.5)])
        runs.finish(db, run_id, "SUCCEEDED", finished_at=130.0)
    folder = store / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("what it printed")
    return run_id


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


def test_a_click_on_a_title_sorts_all_runs_and_the_link_says_so(site, new_page):
    for name in ("order b", "order c", "order a"):
        create(site.lab.store, name)
    page = site.visit(new_page(), "/?q=order&columns=name&columns=status")
    box = page.locator('[data-testid="stDataFrame"]').bounding_box()
    for sort, order in (("name", "abc"), ("-name", "cba")):
        page.mouse.click(box["x"] + 250, box["y"] + 20)
        eventually(lambda s=sort: f"sort={s}" in page.evaluate("location.href"), 20)
        settle(page)
        eventually(lambda o=order: in_order(page, "order ") == list(o), 20)
    fresh = new_page()
    fresh.goto(page.evaluate("location.href"))
    eventually(lambda: in_order(fresh, "order ") == list("cba"), 20)


def in_order(page, word):
    """The letters after a word in the table's cells, from the top."""
    focus_table(page)
    return re.findall(f"{word}(.)", page.evaluate(CELLS))


def test_times_are_those_of_the_readers_clock(site, new_page):
    run_id = create(site.lab.store, "far away")
    far = ZoneInfo("Pacific/Kiritimati")  # 14 hours ahead of UTC, as hardly a server is
    submitted = datetime.fromtimestamp(site.lab.run(run_id).submitted_at, far)
    page = site.visit(new_page(timezone_id=far.key), "/?q=far+away")
    eventually(lambda: f"{submitted:%H:%M}" in (page.evaluate(CELLS) or ""), 20)


def test_figures_are_told_with_their_distance_from_a_selected_baseline(site, browser_page):
    base = zigzag(site.lab.store, "distance base")
    other = zigzag(site.lab.store, "distance other")
    with database.opened(site.lab.store) as db:
        metrics.ingest(db, other, [Point("train_loss", 21, 2.1, 125.0, 5.0)], last_seq=21,
                       offset=70)  # fmt: skip
    page = site.visit(browser_page, "/?q=distance&columns=name&columns=max.train_loss")
    box = page.locator('[data-testid="stDataFrame"]').bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 40 + 36 + 18)
    page.get_by_role("button", name="Baseline", exact=True).click()
    eventually(lambda: f"baseline={base}" in page.evaluate("location.href"), 20)
    settle(page)
    focus_table(page)
    eventually(lambda: "+25.0 %" in page.evaluate(CELLS), 20)
    assert "±0" in page.evaluate(CELLS)
    expect(page.get_by_role("button", name="No baseline")).to_be_visible()


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
