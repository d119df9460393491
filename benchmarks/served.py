"""A dashboard on a store for as long as a benchmark needs it, and Chromium to look at it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import launch
from engine.settings import PROJECT, Settings

CHROMIUM = shutil.which("chromium") if importlib.util.find_spec("playwright") else None
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@dataclass(frozen=True)
class Served:
    settings: Settings
    address: str
    pid: int


@contextmanager
def served(store: Path, warm: str = "none") -> Iterator[Served]:
    """Serve the store on a free port; its supervisor, if it has started one, ends with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = Settings(store=store, port=port, warm=warm)
    env = os.environ | {
        "ACCELBOARD_STORE": str(store),
        "ACCELBOARD_PORT": str(port),
        "ACCELBOARD_WARM": warm,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "dashboard"], cwd=PROJECT, env=env, stdout=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _until_healthy(address, server)
        yield Served(given, address, server.pid)
    finally:
        server.terminate()
        server.wait()
        if launch.supervisor_pid(given) != os.getpid():
            launch.end_supervisor(given)


def _until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    while True:
        assert server.poll() is None, f"The server ended with status {server.returncode}"
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
