"""What the pages take, in real Chromium: a reader's wait, and what fifty live readers cost.

    python -m benchmarks.pages [--runs 10000] [--json]

Fills stores of its own through the ordinary ingest path. Times are from the navigation's start to
what was asked for on the screen, with the server warm. Other work on the machine is in the figures.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks import live_pages, store
from benchmarks.figures import Figure, ratio, show
from benchmarks.served import CHROMIUM, FLAGS, Served, served
from dashboard.compare_view import MOST_CHARTS
from storage import database, runs

FEW_RUNS = 100
REPEATS = 7
COMPARED = 10
# Rows are painted on a canvas: dark text where its first row is. Their text for screen readers
# follows a third of a second later.
ROWS_DRAWN = """() => {
    const table = document.querySelector('[data-testid=data-grid-canvas]');
    if (!table || table.width < 400) return 0;
    const { data } = table.getContext('2d').getImageData(60, 40, 300, 28);
    let dark = 0;
    for (let i = 0; i < data.length; i += 4) {
        dark += data[i] + data[i + 1] + data[i + 2] < 300 && data[i + 3] > 200;
    }
    return dark > 50 ? performance.now() : 0;
}"""
# So many charts of metrics, each with so many curves.
CURVES_DRAWN = """() => {
    const charts = [...document.querySelectorAll('[class*=st-key-panel-]')];
    const drawn = charts.map((at) => at.querySelectorAll('.scatterlayer path.js-line').length);
    return drawn.length === %d && Math.min(...drawn) >= %d ? performance.now() : 0;
}"""
# Those and what is below them: tables of results and of what differs, two charts of parameters.
ALL_DRAWN = """() => {
    const charts = [...document.querySelectorAll('.accelboard-plot')];
    const drawn = charts.filter((at) => at.dataset.state === 'drawn').length;
    const tables = document.querySelectorAll('.cmp table').length;
    return drawn === charts.length && drawn === %d && tables === 2 ? performance.now() : 0;
}"""
TIMEOUT_MS = 60_000


@click.command(help=__doc__)
@click.option("--runs", "count", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a figure.")
def main(count: int, as_json: bool) -> None:
    if CHROMIUM is None:
        sys.exit("Pages are measured in a browser: install chromium and playwright.")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if show(figures(Path(folder), count), as_json) else 1)


def figures(folder: Path, count: int) -> Iterator[Figure]:
    many, few = folder / "many", folder / "few"
    for one, size in ((many, count), (few, FEW_RUNS)):
        database.prepare(one)
        with database.opened(one) as db:
            store.fill(db, one, size)
    yield from _waits(many, few, count)
    yield from live_pages.figures(many)


def _waits(many: Path, few: Path, count: int) -> Iterator[Figure]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play, served(many) as large, served(few) as small:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        runs_page = f"Runs page of {count + store.LONG_RUNS:,} runs"
        _times(browser, small.address, ROWS_DRAWN, 2)
        empty, warm = _times(browser, large.address, ROWS_DRAWN)
        yield _wait(f"{runs_page}, empty browser cache", empty, "<= 2.5")
        yield _wait(f"{runs_page}, warm browser cache", warm, "<= 1.0")
        of_few, of_many = _in_turn(browser, small.address, large.address)
        yield ratio(f"Runs page, {count:,} runs against {FEW_RUNS}", of_many, of_few,
                    wanted="<= 1.2")  # fmt: skip
        for of, address, charts in _compared(large):
            drawn = CURVES_DRAWN % (charts, COMPARED)
            page = f"Compare page of {COMPARED} runs of {of}"
            empty, warm = _times(browser, address, drawn)
            yield _wait(f"{page}, empty browser cache", empty, "<= 3.0")
            yield _wait(f"{page}, warm browser cache", warm, "<= 1.5")
            _, warm = _times(browser, address, ALL_DRAWN % (charts + 2))
            yield _wait(f"{page}, warm, with all that is below the curves", warm, "")
            yield from _library(browser, address, drawn)
        browser.close()


def _compared(large: Served) -> Iterator[tuple[str, str, int]]:
    """Of long runs and of ordinary ones: the page as it comes, and how many charts it has."""
    with database.opened(large.settings.store) as db:
        newest = runs.list_newest(db, store.LONG_RUNS + COMPARED)
    long, ordinary = newest[:COMPARED], newest[store.LONG_RUNS :]
    for of, chosen, charts in (
        (f"{store.LONG_POINTS:,} points", long, 1),
        (f"{len(store.KEYS)} metrics", ordinary, MOST_CHARTS),
    ):
        query = "&".join(f"runs={run.id}" for run in chosen)
        yield of, f"{large.address}/compare?{query}", charts


def _times(
    browser: Any, address: str, drawn: str, repeats: int = REPEATS
) -> tuple[list[float], list[float]]:
    """Seconds of visits with an empty cache, and each time once more with what that left in it."""
    empty, warm = [], []
    for _repeat in range(repeats):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        empty.append(_visit(page, address, drawn))
        page.goto("about:blank")
        warm.append(_visit(page, address, drawn))
        context.close()
    return empty, warm


def _visit(page: Any, address: str, drawn: str) -> float:
    page.goto(address, wait_until="commit")
    found = page.wait_for_function(drawn, polling="raf", timeout=TIMEOUT_MS)
    return found.json_value() / 1000


def _in_turn(browser: Any, *addresses: str) -> list[list[float]]:
    """Seconds of visits with a warm cache, turn by turn, so that other work disturbs them alike."""
    pages = [browser.new_page() for _ in addresses]
    taken: list[list[float]] = [[] for _ in addresses]
    for repeat in range(2 * REPEATS + 1):
        for page, address, seconds in zip(pages, addresses, taken, strict=True):
            visit = _visit(page, address, ROWS_DRAWN)
            page.goto("about:blank")
            if repeat:
                seconds.append(visit)
    return taken


def _library(browser: Any, address: str, drawn: str) -> Iterator[Figure]:
    """How the drawing library comes: once a page, compressed, and from the cache after that."""
    page = browser.new_page()
    answers: list[Any] = []
    page.on("response", lambda answer: "plotly" in answer.url and answers.append(answer))
    _visit(page, address, drawn)
    headers = answers[0].headers
    note = f"{headers.get('content-encoding', 'plain')}, {headers.get('cache-control', 'no cache')}"
    yield Figure("Plotly's script is loaded, a visit", float(len(answers)), "times", "<= 1",
                 note=note)  # fmt: skip
    size_mb = answers[0].request.sizes()["responseBodySize"] / 1e6
    yield Figure("Plotly's script on the wire", size_mb, "MB", "<= 0.5")
    page.close()


def _wait(name: str, seconds: list[float], wanted: str) -> Figure:
    note = f"median of {len(seconds)}, least and most beside"
    value = statistics.median(seconds)
    return Figure(name, value, "s", wanted, min(seconds), max(seconds), note)


if __name__ == "__main__":
    main()
