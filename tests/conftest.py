"""What tests share: apps served on loopback, and a real Chromium to look at them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import measured

# Two trainers share the cores here, as they never do in use: threads that wait had better sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ACCELBOARD_WARM", "none")  # but for tests of just that
# A shell starts what runs in the background deaf to Ctrl-C, and so would be what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
# As `bin/setup system` looks for it.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOUND = next((path for name in BROWSERS if (path := shutil.which(name))), "")
CHROMIUM = os.environ.get("ACCELBOARD_CHROMIUM") or FOUND
# The last one gives a host name that is not localhost: a browser trusts it as little as any http.
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    "--host-resolver-rules=MAP accelboard.test 127.0.0.1",
]
START_S = 60.0

Serve = Callable[..., str]
NewPage = Callable[..., Page]


# A worker takes a file at a time, and one that begins with these last waits for the other's.
LONGEST_FILES_FIRST = (
    *("test_nothing_lost", "test_frameworks", "test_replicas", "test_browser", "test_tpu_check"),
    *("test_reading_browser", "test_cli", "test_workloads", "test_advice", "test_compare_browser"),
    *("test_runs_browser", "test_studies", "test_plot_component", "test_parity"),
    *("test_unusable_store", "test_run_page", "test_pages"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST_FILES_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session", autouse=True)
def few_are_measured() -> None:
    measured.hold_back()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests. Its event loop runs on: no `asyncio.run` beside it."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(
            f"No browser {CHROMIUM or 'here'}: install Chromium or Chrome, "
            "or name one in ACCELBOARD_CHROMIUM."
        )
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Open pages, each in a context of its own: `new_page(color_scheme="dark", …)`."""
    contexts = []

    def open_page(**options: Any) -> Page:
        contexts.append(chromium.new_context(reduced_motion="reduce", **options))
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def browser_page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serve a Streamlit script on a free loopback port until the session ends; return its URL.

    The same script and settings are served once: `serve(path, "--theme.base=dark")`.
    """
    servers: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], str]] = {}

    def start(script: Path, *settings: str) -> str:
        key = (str(script), *settings)
        if key not in servers:
            log = tmp_path_factory.mktemp("serve") / "server.log"
            servers[key] = _start_server(script, settings, log)
        return servers[key][1]

    yield start
    for process, _ in servers.values():
        process.terminate()
    for process, _ in servers.values():
        process.wait(timeout=20)


def _start_server(
    script: Path, settings: tuple[str, ...], log: Path
) -> tuple[subprocess.Popen[bytes], str]:
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    command += ["--server.address=127.0.0.1", "--server.headless=true", *settings]
    command += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    _wait_until_healthy(process, url, log)
    return process, url


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    process.kill()
    pytest.fail(f"No server at {url}:\n{log.read_text('utf-8')}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
