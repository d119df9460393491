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
from engine import supervision
from storage import database, metrics, readings, runs
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


def test_a_new_run_moves_neither_the_rows_nor_the_selection(site, browser_page):
    for number in range(30):
        create(site.lab.store, f"row {number}")
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
    create(site.lab.store, "late")
    update = page.get_by_role("button", name="The list has changed")
    expect(update).to_be_visible(timeout=20_000)
    assert page.evaluate(scroller) == before
    assert page.get_by_role("button", name="Archive").count() == 1
    update.click()
    expect(update).to_have_count(0, timeout=20_000)
    with database.opened(site.lab.store) as db:
        assert runs.list_newest(db, 1)[0].name == "late"


SCROLLER = "document.querySelector('[data-testid=stDataFrame] .dvn-scroller')"
CELLS = "document.querySelector('[data-testid=stDataFrame] canvas').textContent"


def focus_table(page):
    """With Tab alone, from the field above it."""
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
