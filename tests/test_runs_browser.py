"""The table of runs in real Chromium: it keeps its place, and is worked with mouse and keyboard."""

import re
import time
from datetime import datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from storage import database, metrics, runs
from storage.metrics import Point
from tests.browsing import CELLS, focus_table, in_order, left_alone, settle
from tests.dashboard.pages import DEVICE, create, zigzag
from tests.processes import eventually

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with left_alone(tmp_path_factory.mktemp("runs") / "store") as made:
        yield made


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
