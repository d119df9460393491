"""What the store takes: points in, a page of runs and curves out.

    python -m benchmarks.store [--runs 10000] [--json]

Fills a store of its own: runs of 50 epochs with 8 metrics, and 20 runs of 100,000 points. Each
run's journal is written as a trainer writes it, and the supervisor's own function copies it. Only
that is timed, to the end of a checkpoint that puts it on the disk; a journal is copied at once, as
after a time without a supervisor. Other times are medians on a store that was just filled, so in
the page cache.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, show
from dashboard import curves
from dashboard.charts import Drawing
from dashboard.components import plot
from dashboard.curves import CurveView
from engine import ingest, journal, queries
from engine.config import RunConfig
from engine.events import Metrics
from storage import database, run_list, runs
from storage.database import Database
from storage.run_list import Wanted
from storage.runs import Run

EPOCHS, STEPS_PER_EPOCH = 50, 469
KEYS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "learning_rate", "epoch_s", "samples_per_s", "compiles")  # fmt: skip
LONG_RUNS, LONG_POINTS, PEAK = 20, 100_000, 1e6
CURVES, REPEATS = 10, 15
PAGE_ROWS = 100  # of the Runs page
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
        by_epoch, by_step = fill(db, store, count)
        whole = by_epoch + by_step
        yield Figure("Ingest, journal to durable SQLite", whole.rate, "points/s", ">= 150000",
                     note=whole.told)  # fmt: skip
        yield Figure("  of epochs", by_epoch.rate, "points/s", "", note=by_epoch.told)
        yield Figure("  of steps", by_step.rate, "points/s", "", note=by_step.told)
        yield Figure("On disk", (_size(store) - before) / whole.points, "bytes/point", "<= 40",
                     note="runs' rows, indexes and log included")  # fmt: skip
        yield from _pages(db, count)
        yield from _curves(db)


@dataclass
class Filled:
    """What was ingested, and the seconds that it took."""

    points: int = 0
    lines: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.points / self.seconds

    @property
    def told(self) -> str:
        return f"{self.points:,} points in {self.lines:,} lines"

    def __add__(self, other: Filled) -> Filled:
        return Filled(
            self.points + other.points, self.lines + other.lines, self.seconds + other.seconds
        )


def fill(db: Database, store: Path, count: int) -> tuple[Filled, Filled]:
    """Runs of epochs, and long runs: each one's journal is written as a trainer writes it, and then
    ingested by what the supervisor ingests it with. Only that is timed, with what makes it durable.
    """
    rng, by_epoch, by_step = random.Random(0), Filled(), Filled()
    for number in range(count):
        run_id = _run(db, number)
        _ingest(db, store, run_id, _epochs(rng, BEGUN + number), by_epoch)
        runs.finish(db, run_id, "SUCCEEDED" if number % 10 else "FAILED", finished_at=BEGUN)
    _make_durable(db, by_epoch)
    for number in range(LONG_RUNS):
        run_id = _run(db, count + number)
        _ingest(db, store, run_id, _long(number), by_step)
        runs.finish(db, run_id, "SUCCEEDED", finished_at=BEGUN)
    _make_durable(db, by_step)
    return by_epoch, by_step


def _ingest(
    db: Database, store: Path, run_id: str, logged: Iterable[tuple[float, Metrics]], filled: Filled
) -> None:
    """The journal is removed afterwards: pages do not read it, and it is as large as the store."""
    path = store / "events.jsonl"
    at = 0.0
    writer = journal.Writer(path, clock=lambda: at)
    for at, event in logged:  # noqa: B007  the clock tells it
        writer.append(event)
        filled.points, filled.lines = filled.points + len(event.values), filled.lines + 1
    writer.close()
    begun = time.perf_counter()
    ingest.ingest(db, run_id, path, 0, 0)
    filled.seconds += time.perf_counter() - begun
    path.unlink()


def _make_durable(db: Database, filled: Filled) -> None:
    """Into the database's own file, and that onto the disk."""
    begun = time.perf_counter()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    filled.seconds += time.perf_counter() - begun


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


def _epochs(rng: random.Random, at: float) -> Iterator[tuple[float, Metrics]]:
    """A line an epoch, with all its metrics."""
    for epoch in range(1, EPOCHS + 1):
        values: dict[str, float | None] = {key: rng.random() for key in KEYS}
        yield at + 1.7 * epoch, Metrics(epoch * STEPS_PER_EPOCH, float(epoch), values)


def _long(number: int) -> Iterator[tuple[float, Metrics]]:
    """A line a step, with its loss."""
    values = np.random.default_rng(number).normal(size=LONG_POINTS).cumsum()
    values[LONG_POINTS // 3] = PEAK + number  # to be kept
    for step, value in enumerate(values.tolist()):
        yield BEGUN + step / 100, Metrics(step, step / 1000, {"step_loss": value})


def _pages(db: Database, count: int) -> Iterator[Figure]:
    """What the Runs page asks the store for; the last two are slower ways of asking."""
    of = f"Runs page: {count + LONG_RUNS:,} runs"
    filtered = Wanted(
        query="accuracy > 0.9 and framework = torch", statuses=["SUCCEEDED"],
        vocabulary=queries.vocabulary(),
    )  # fmt: skip
    text = Wanted(text="sweep-7 torch", vocabulary=queries.vocabulary())
    every = Wanted(vocabulary=queries.vocabulary())
    for told, wanted, sort, bound in (
        ("filtered, sorted by accuracy", filtered, "-accuracy", "<= 20"),
        ("searched by words", text, run_list.NEWEST, ""),
        ("sorted by a key of the configuration", every, "learning_rate", ""),
    ):
        yield _timed(f"{of}, {told}", lambda w=wanted, s=sort: _page(db, w, s), bound)


def _page(db: Database, wanted: Wanted, sort: str) -> None:
    run_list.page(db, wanted, sort=sort, limit=PAGE_ROWS)
    runs.counts(db)


def _curves(db: Database) -> Iterator[Figure]:
    """All that the Compare page does for its chart, up to what goes to the browser."""
    chosen = runs.list_newest(db, CURVES)
    names = {run.id: run.name for run in chosen}

    def draw() -> Drawing:
        return curves.of_runs(db, chosen, names, "step_loss", CurveView())

    yield _timed(f"Curves of {CURVES} runs of {LONG_POINTS:,} points, for the screen",
                 lambda: plot.payload(draw(), 300, ""), "<= 50")  # fmt: skip
    drawn = [trace for trace in draw()["data"] if not trace.get("meta", {}).get("of")]
    kept = sum(_has_extremes(trace["y"], run) for trace, run in zip(drawn, chosen, strict=True))
    yield Figure("Curves that keep their own least and greatest point", float(kept),
                 f"of {CURVES}", f">= {CURVES}")  # fmt: skip


def _has_extremes(drawn: NDArray[np.float64], run: Run) -> bool:
    known = run.metrics["step_loss"]
    wanted = np.array([known.min, known.max], dtype=np.float32)
    found = np.array([np.nanmin(drawn), np.nanmax(drawn)], dtype=np.float32)
    return bool((wanted == found).all())


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
