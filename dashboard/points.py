"""The points behind a chart as one CSV file: all of them, each number with every digit."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from dashboard import downloads, links
from engine import settings
from storage import database, ids, metrics, run_list
from storage.runs import Run

PATH = "points.csv"
COLUMNS = ("run", "name", "key", "step", "epoch", "at", "value")
MOST_KEYS = 20
NAMED_KEYS = 2  # that a file is named after
ROWS_AT_ONCE = 20_000


def address(run_ids: Sequence[str], keys: Sequence[str]) -> str:
    """Where the file is. Relative, so that it resolves under a base URL path too."""
    return f"{PATH}?{urlencode({'run': run_ids, 'key': keys}, doseq=True)}"


async def to_points(request: Request) -> StreamingResponse | PlainTextResponse:
    """It is sent in pieces: ten runs of 100,000 steps are 80 MB."""
    run_ids = list(dict.fromkeys(request.query_params.getlist("run")))
    keys = list(dict.fromkeys(request.query_params.getlist("key")))
    if len(run_ids) > links.MAX_COMPARED or len(keys) > MOST_KEYS:
        return PlainTextResponse(
            f"A file has the points of {links.MAX_COMPARED} runs and {MOST_KEYS} metrics at most, "
            f"got {len(run_ids):,} and {len(keys):,}. Ask for fewer.",
            status_code=400,
        )
    store = settings.load().store
    found = await asyncio.to_thread(_runs, store, run_ids)
    wanted = [(run, key) for run in found for key in keys if key in run.metrics]
    if not wanted:
        return PlainTextResponse(
            f"No points of {', '.join(keys)[:60]!r} of run {', '.join(run_ids)[:60]!r} here. "
            "A run's page says which metrics it has.",
            status_code=404,
        )
    head = {"content-disposition": f'attachment; filename="{_name(wanted)}"'}
    return StreamingResponse(_pieces(store, wanted), headers=head, media_type="text/csv")


def _runs(store: Path, run_ids: Sequence[str]) -> list[Run]:
    with database.opened(store) as db:
        return run_list.of_ids(db, [run_id for run_id in run_ids if ids.is_id(run_id)])


def _name(wanted: Sequence[tuple[Run, str]]) -> str:
    keys, found = dict.fromkeys(key for _, key in wanted), {run.id for run, _ in wanted}
    what = "-".join(keys) if len(keys) <= NAMED_KEYS else "points"
    of = found.pop() if len(found) == 1 else f"{len(found)}-runs"
    return f"{re.sub('[^A-Za-z0-9_]+', '-', what)[:60]}-{of}.csv"


def _pieces(store: Path, wanted: Sequence[tuple[Run, str]]) -> Iterator[str]:
    """Each may be read by another thread, so it has a connection of its own."""
    yield _lines([COLUMNS])
    for run, key in wanted:
        own = [run.id, *map(downloads.harmless, (run.name, key))]
        step = -1
        while True:
            with database.opened(store) as db:
                rows = metrics.after(db, run.id, key, step, ROWS_AT_ONCE)
            if not rows:
                break
            step = rows[-1][0]
            yield _lines([*own, *row] for row in rows)


def _lines(rows: Iterator[list[object]] | list[tuple[str, ...]]) -> str:
    """Python writes the shortest decimal that reads back as the same number."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
