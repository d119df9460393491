"""From the press of Start to the first epoch's point on the run's page, in a real browser."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.served import CHROMIUM, served
from engine import launch
from engine.config import FRAMEWORK_NAMES
from engine.settings import Settings

WANTED_S = {"torch": 3, "keras": 6, "torch_xla": 6}
REPEATS = 3
QUIET_CPU_PERCENT, WARM_S = 3.0, 120.0
# The first card of the run page, once it holds a figure.
HAS_POINT = """() => {
    const value = document.querySelector('[data-testid=stMetricValue]');
    return value && /[0-9]/.test(value.textContent);
}"""


def figures(frameworks: tuple[str, ...]) -> Iterator[Figure]:
    for framework in frameworks:
        name = f"{FRAMEWORK_NAMES[framework]}: Start to first epoch's point, trainer warm"
        wanted = f"<= {WANTED_S[framework]}"
        if CHROMIUM is None:
            yield Figure(name, None, "s", wanted, note="skipped: needs chromium and playwright")
            continue
        taken = list(_taken(framework))
        note = f"n = {len(taken)}, after one to warm up"
        value = statistics.median(taken)
        yield Figure(name, value, "s", wanted, min(taken), max(taken), note)


def _taken(framework: str) -> Iterator[float]:
    """Seconds, of each repeat."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "store", warm=framework) as at,
        sync_playwright() as play,
    ):
        given, address = at.settings, at.address
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        for repeat in range(REPEATS + 1):
            _until_warm(given)
            page.goto(f"{address}/new?framework={framework}&accelerator=cpu&epochs=2")
            start = page.get_by_role("button", name="Start run")
            start.wait_for()
            page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
            begun = time.perf_counter()
            start.click()
            page.wait_for_url("**/run?id=*")
            page.wait_for_function(HAS_POINT, polling=50, timeout=120_000)
            if repeat:
                yield time.perf_counter() - begun
            page.get_by_text("SUCCEEDED").first.wait_for(timeout=120_000)
        browser.close()


def _until_warm(given: Settings) -> None:
    """Until the supervisor's trainer on standby has imported all and only waits."""
    until = time.monotonic() + WARM_S
    while True:
        assert time.monotonic() < until, f"No trainer is warm after {WARM_S:g} s"
        pid = launch.supervisor_pid(given)
        waiting = [
            child
            for child in (psutil.Process(pid).children() if pid else ())
            if "--standby" in child.cmdline()
        ]
        if waiting and all(child.cpu_percent(1.0) < QUIET_CPU_PERCENT for child in waiting):
            return
        time.sleep(0.2)
