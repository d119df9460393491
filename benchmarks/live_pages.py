"""Live pages: how soon a logged point is drawn, and what fifty readers cost the server."""

from __future__ import annotations

import asyncio
import random
import statistics
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import store
from benchmarks.figures import Figure
from benchmarks.served import CHROMIUM, FLAGS, Served, served
from benchmarks.sessions import Reader
from engine import devices, launch, supervision
from storage import database, metrics
from storage.metrics import Point

# An epoch of about half a second on one core: points come about as often as they are looked for.
LIVE = {
    "framework": "torch", "accelerator": "cpu", "epochs": 100_000, "batch_size": 64,
    "workload": {"name": "mlp", "width": 64},
    "dataset": {"name": "synthetic", "height": 16, "width": 16, "train_samples": 32_768,
                "test_samples": 256},
}  # fmt: skip
WATCHED_S, STARTED_S = 30.0, 120.0
READERS, READ_RUNS, EVERY_S, READ_S, SETTLE_S = 50, 5, 2.0, 30.0, 8.0
# Notes when the chart of the loss first showed each epoch, at each frame of the screen.
WATCH = """() => {
    window.seen = [];
    const look = () => {
        const chart = document.querySelector('[class*=-train_loss] .js-plotly-plot');
        const last = chart?._fullData?.[0]?.x?.at(-1) ?? -1;
        if (last > (window.seen.at(-1)?.[0] ?? -1)) window.seen.push([last, Date.now() / 1000]);
        requestAnimationFrame(look);
    };
    look();
}"""


def figures(folder: Path) -> Iterator[Figure]:
    with served(folder) as at:
        yield _logged_to_drawn(at)
    with supervision.locked(folder), served(folder) as at, _logging(folder) as run_ids:
        yield from _readers(at, run_ids)


def _logged_to_drawn(at: Served) -> Figure:
    """From the time that the trainer gave a point to the first frame with it, or a later one."""
    from playwright.sync_api import sync_playwright

    config, details = launch.check(LIVE, {}, at.settings, devices.find())
    run_id = launch.submit(at.settings, config, details, by="benchmark")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{at.address}/run?id={run_id}")
        page.evaluate(WATCH)
        page.wait_for_function("window.seen.length > 2", timeout=1000 * STARTED_S)
        page.wait_for_timeout(1000 * WATCHED_S)
        seen: list[list[float]] = page.evaluate("window.seen")
        browser.close()
    with database.opened(at.settings.store) as db:
        curve = metrics.curve(db, run_id, "train_loss")
    _stop(at, run_id)
    waits = _waits(seen[1:], curve.epoch.tolist(), curve.at.tolist())
    low, high = np.percentile(waits, [2.5, 97.5])
    note = f"{len(waits)} points of a real run; 95 % of them within the interval"
    median = statistics.median(waits)
    return Figure("Logged to drawn on a live page, median", median, "s", "<= 1.5", low, high, note)


def _stop(at: Served, run_id: str) -> None:
    """And wait for its trainer to leave the cores: it would train on without a supervisor."""
    launch.stop(at.settings, run_id, by="benchmark")
    with database.opened(at.settings.store) as db:
        until = time.monotonic() + STARTED_S
        while launch.find(db, run_id).active:
            assert time.monotonic() < until, f"Run {run_id} does not stop"
            time.sleep(0.1)


def _waits(seen: list[list[float]], epochs: list[float], at: list[float]) -> list[float]:
    """Of each point that came after the first that was seen."""
    shown = [epoch for epoch, _ in seen]
    waits = []
    for epoch, logged in zip(epochs, at, strict=True):
        if shown[0] < epoch <= shown[-1]:
            waits.append(seen[bisect_left(shown, epoch)][1] - logged)
    return waits


@contextmanager
def _logging(folder: Path) -> Iterator[list[str]]:
    """Runs that train as far as the store knows: an epoch of each is ingested every second."""
    with database.opened(folder) as db:
        run_ids = [store.started(db, 10**6 + number) for number in range(READ_RUNS)]
    over = threading.Event()
    writer = threading.Thread(target=_log, args=(folder, run_ids, over))
    writer.start()
    try:
        yield run_ids
    finally:
        over.set()
        writer.join()


def _log(folder: Path, run_ids: list[str], over: threading.Event) -> None:
    rng, epoch = random.Random(0), 0
    with database.opened(folder) as db:
        while not over.wait(1.0):
            epoch += 1
            step, now = epoch * store.STEPS_PER_EPOCH, time.time()
            for run_id in run_ids:
                points = [Point(key, step, float(epoch), now, rng.random()) for key in store.KEYS]
                metrics.ingest(db, run_id, points, last_seq=epoch, offset=epoch, phase="train")


def _readers(at: Served, run_ids: list[str]) -> Iterator[Figure]:
    readers = [Reader("run", f"id={run_ids[i % READ_RUNS]}", EVERY_S) for i in range(READERS)]
    cores = asyncio.run(_read(at, readers))
    taken = [1000 * s for reader in readers for s in reader.taken_s[reader.settled :]]
    median, p95 = np.percentile(taken, [50, 95])
    told = f"{READERS} open live pages polling every {EVERY_S:g} s"
    note = f"{len(taken)} script runs, request to end; median {median:.0f} ms"
    yield Figure(f"{told}: script run, p95", float(p95), "ms", "<= 100", note=note)
    yield Figure(f"{told}: the server's CPU", cores, "cores", "<= 1")


async def _read(at: Served, readers: list[Reader]) -> float:
    """Cores that the server took while all of them were reading."""
    url = f"{at.address.replace('http', 'ws', 1)}/_stcore/stream"
    until = time.monotonic() + SETTLE_S + READ_S
    reading = [
        asyncio.create_task(reader.read(url, until, i * SETTLE_S / 2 / len(readers)))
        for i, reader in enumerate(readers)
    ]
    await asyncio.sleep(SETTLE_S)
    for reader in readers:
        reader.settled = len(reader.taken_s)
    cores = await _cores(psutil.Process(at.pid), READ_S - 1)
    await asyncio.gather(*reading)
    return cores


async def _cores(process: psutil.Process, seconds: float) -> float:
    before: Any = process.cpu_times()
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    after: Any = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / (time.monotonic() - begun)
