"""From the press of Start to the first epoch's point on the run's page, in a real browser."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from engine import launch
from engine.config import FRAMEWORK_NAMES
from engine.settings import PROJECT, Settings

WANTED_S = {"torch": 3, "keras": 6, "torch_xla": 6}
REPEATS = 3
QUIET_CPU_PERCENT = 3.0
CHROMIUM = shutil.which("chromium") if importlib.util.find_spec("playwright") else None
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

    with _dashboard(framework) as (given, address), sync_playwright() as play:
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


@contextmanager
def _dashboard(framework: str) -> Iterator[tuple[Settings, str]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        given = Settings(store=Path(folder) / "store", port=port, warm=framework)
        env = os.environ | {
            "ACCELBOARD_STORE": str(given.store),
            "ACCELBOARD_PORT": str(port),
            "ACCELBOARD_WARM": framework,
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "dashboard"], cwd=PROJECT, env=env, stdout=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _until_healthy(address)
            yield given, address
        finally:
            server.terminate()
            server.wait()
            launch.end_supervisor(given)


def _until_healthy(address: str) -> None:
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)


def _until_warm(given: Settings) -> None:
    """Until the supervisor's trainer on standby has imported all and only waits."""
    while True:
        pid = launch.supervisor_pid(given)
        waiting = [
            child
            for child in (psutil.Process(pid).children() if pid else ())
            if "--standby" in child.cmdline()
        ]
        if waiting and all(child.cpu_percent(1.0) < QUIET_CPU_PERCENT for child in waiting):
            return
        time.sleep(0.2)
