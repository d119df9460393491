"""A dashboard to look at in Chromium, and when its pages have settled."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from engine import supervision
from tests.processes import Lab, eventually, free_port, healthy, lab

SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
CELLS = "document.querySelector('[data-testid=stDataFrame] canvas').textContent"


class Site:
    """A dashboard on a store of its own, and pages of it in Chromium."""

    def __init__(self, made: Lab, url: str) -> None:
        self.lab, self.url = made, url

    def visit(self, page: Page, path: str) -> Page:
        page.goto(self.url + path)
        settle(page)
        return page


def settle(page: Page) -> None:
    page.wait_for_selector(SETTLED, timeout=60_000)
    page.wait_for_timeout(300)
    page.wait_for_selector(SETTLED, timeout=60_000)
    assert page.locator('[data-testid="stException"]').count() == 0


@contextmanager
def left_alone(store: Path, **settings: Any) -> Iterator[Site]:
    """A site whose supervisor's lock is held here, so that runs stay as a test makes them."""
    with lab(store, **settings) as made:
        made.env["ACCELBOARD_PORT"] = str(port := free_port())
        with supervision.locked(made.store):
            server = made.start("-m", "dashboard")
            eventually(lambda: healthy(port))
            yield Site(made, f"http://127.0.0.1:{port}")
            server.terminate()
            server.wait()


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


def in_order(page, word):
    """The letters after a word in the table's cells, from the top."""
    focus_table(page)
    return re.findall(f"{word}(.)", page.evaluate(CELLS))
