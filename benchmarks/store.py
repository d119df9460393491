"""What the store takes: points in, a page of runs and curves out.

    python -m benchmarks.store [--runs 10000] [--json]

Fills a store of its own through the ordinary ingest path: runs of 50 epochs with 8 metrics, and 20
runs of 100,000 points. Times are medians on a store that was just filled, so in the page cache.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.figures import Figure, show
from engine import queries
from engine.config import RunConfig
from storage import database, metrics, run_list, runs
from storage.database import Database
from storage.metrics import Point
from storage.run_list import Wanted

EPOCHS, STEPS_PER_EPOCH = 50, 469
KEYS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "learning_rate", "epoch_s", "samples_per_s", "compiles")  # fmt: skip
LONG_RUNS, LONG_POINTS, READ_AT_ONCE = 20, 100_000, 10_000
CURVES, REPEATS = 10, 15
FRAMEWORKS = ("torch", "keras", "torch_xla")
BEGUN = 1_700_000_000.0


@click.command(help=__doc__)
@click.option("--runs", "count", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a figure.")
def main(count: int, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if show(figures(Path(folder), count), as_json) else 1)


def figures(store: Path, count: int) -> Iterator[Figure]:
    database.prepare(store)
    before = _size(store)
    with database.opened(store) as db:
        points, seconds = fill(db, count)
        note = f"{points:,} points"
        yield Figure("Ingest", points / seconds, "points/s", ">= 150000", note=note)
        yield Figure("On disk", (_size(store) - before) / points, "bytes/point", "<= 40",
                     note="runs' rows, indexes and log included")  # fmt: skip
        yield _timed(f"Runs page: {count + LONG_RUNS:,} runs, filtered, sorted by accuracy",
                     lambda: _page(db), "<= 20")  # fmt: skip
        yield from _curves(db)


def fill(db: Database, count: int) -> tuple[int, float]:
    """Points stored, and the seconds that ingesting them took."""
    rng, points, seconds = random.Random(0), 0, 0.0
    for number in range(count):
        run_id = _run(db, number)
        batch = _epochs(rng, BEGUN + number)
        points, seconds = points + len(batch), seconds + _ingest(db, run_id, batch)
        runs.finish(db, run_id, "SUCCEEDED" if number % 10 else "FAILED", finished_at=BEGUN)
    for number in range(LONG_RUNS):
        run_id = _run(db, count + number)
        for batch in _long(number):
            points, seconds = points + len(batch), seconds + _ingest(db, run_id, batch)
        runs.finish(db, run_id, "SUCCEEDED", finished_at=BEGUN)
    begun = time.perf_counter()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return points, seconds + time.perf_counter() - begun


def _ingest(db: Database, run_id: str, batch: list[Point]) -> float:
    begun = time.perf_counter()
    metrics.ingest(db, run_id, batch, last_seq=1, offset=1)
    return time.perf_counter() - begun


def _run(db: Database, number: int) -> str:
    config = RunConfig.parse({"framework": FRAMEWORKS[number % 3], "seed": number % 5})
    return runs.create(
        db,
        name=f"run {number}",
        config=config.model_dump(mode="json"),
        total_steps=EPOCHS * STEPS_PER_EPOCH,
        submitted_by="benchmark",
        tags=[f"sweep-{number % 20}"],
        now=BEGUN + 60 * number,
    )


def started(db: Database, number: int) -> str:
    """A run that trains, as far as the store knows."""
    run_id = _run(db, number)
    device = {"id": f"cpu:{run_id}", "name": "A CPU", "accelerator": "cpu", "found_by": "benchmark"}
    runs.claim(db, run_id, host="here", devices=[device], now=time.time())
    return run_id


def _epochs(rng: random.Random, at: float) -> list[Point]:
    return [
        Point(key, epoch * STEPS_PER_EPOCH, float(epoch), at + 1.7 * epoch, rng.random())
        for epoch in range(1, EPOCHS + 1)
        for key in KEYS
    ]


def _long(number: int) -> Iterator[list[Point]]:
    values = np.random.default_rng(number).normal(size=LONG_POINTS).cumsum()
    values[LONG_POINTS // 3] = 1e6  # a peak, to be kept
    for begin in range(0, LONG_POINTS, READ_AT_ONCE):
        yield [
            Point("step_loss", step, step / 1000, BEGUN + step / 100, float(values[step]))
            for step in range(begin, begin + READ_AT_ONCE)
        ]


def _page(db: Database) -> run_list.Page:
    wanted = Wanted(
        query="accuracy > 0.9 and framework = torch", statuses=["SUCCEEDED"],
        vocabulary=queries.vocabulary(),
    )  # fmt: skip
    return run_list.page(db, wanted, sort="-accuracy")


def _curves(db: Database) -> Iterator[Figure]:
    chosen = [run.id for run in runs.list_newest(db, CURVES)]
    draw = lambda: [metrics.outline(db, run_id, "step_loss") for run_id in chosen]  # noqa: E731
    yield _timed(f"Curves of {CURVES} runs of {LONG_POINTS:,} points, for the screen",
                 draw, "<= 50")  # fmt: skip
    kept = sum(curve.value.max() == 1e6 for curve in draw())
    yield Figure("Peaks kept", float(kept), f"of {CURVES}", f">= {CURVES}")


def _timed(name: str, work: Callable[[], object], wanted: str) -> Figure:
    taken = []
    for _repeat in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
    note = f"median of {REPEATS}, least and most beside"
    return Figure(name, statistics.median(taken), "ms", wanted, min(taken), max(taken), note)


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.glob(f"{database.FILE_NAME}*"))


if __name__ == "__main__":
    main()
