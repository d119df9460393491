"""Reading in real Chromium: links that others open, embedded pages, files, a list that keeps its
place."""

import asyncio
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from benchmarks.sessions import Reader
from engine import supervision
from storage import database, runs
from tests.dashboard.test_pages import create, finished
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
