"""The points behind a chart, as a browser gets them."""

import asyncio
import csv
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.requests import Request

from dashboard import links, points
from engine.config import RunConfig
from storage import database, metrics, runs
from storage.metrics import Point

MANY = points.ROWS_AT_ONCE + 7


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELBOARD_STORE", str(tmp_path))
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def recorded(db, name, values, key="loss/a"):
    config = RunConfig.parse({}).model_dump(mode="json")
    run_id = runs.create(db, name=name, config=config, total_steps=9, submitted_by="test")
    found = [Point(key, i, i / 3, 1e9 + i / 7, value) for i, value in enumerate(values)]
    metrics.ingest(db, run_id, found, last_seq=1, offset=1)
    return run_id


def asked(address):
    """The status, the file's name and the text."""

    async def answer():
        query = address.partition("?")[2].encode()
        scope = {"type": "http", "method": "GET", "query_string": query, "headers": []}
        found = await points.to_points(Request(scope))
        if found.status_code != 200:
            return found.status_code, None, found.body.decode()
        text = "".join([str(piece) async for piece in found.body_iterator])
        return 200, found.headers["content-disposition"], text

    with ThreadPoolExecutor(1) as apart:  # the browser's event loop may have this thread
        return apart.submit(lambda: asyncio.run(answer())).result()


def test_every_point_is_in_the_file_with_every_digit(db):
    values = np.random.default_rng(0).normal(size=MANY).tolist()
    values[5] = None
    long, short = recorded(db, "=1+1", values), recorded(db, 'a "b",\nc', [0.1])
    status, name, text = asked(points.address([long, short, long], ["loss/a", "none"]))
    assert (status, name) == (200, 'attachment; filename="loss-a-2-runs.csv"')
    head, *rows = csv.reader(io.StringIO(text))
    assert tuple(head) == points.COLUMNS
    assert len(rows) == MANY + 1
    assert rows[-1] == [short, 'a "b",\nc', "loss/a", "0", "0.0", "1000000000.0", "0.1"]
    assert {(row[0], row[1]) for row in rows[:-1]} == {(long, "'=1+1")}
    assert [float(row[6]) if row[6] else None for row in rows[:-1]] == values
    assert [float(row[4]) for row in rows[:-1]] == [i / 3 for i in range(MANY)]


def test_a_file_is_named_after_what_its_chart_shows(db):
    run_id = recorded(db, "a", [0.1], key="train_loss")
    more = [Point(key, 1, 1.0, 1.0, 0.5) for key in ("validation_loss", "epoch_s")]
    metrics.ingest(db, run_id, more, last_seq=2, offset=2)
    keys = ["train_loss", "validation_loss", "epoch_s"]
    names = [asked(points.address([run_id], keys[:count]))[1] for count in (1, 2, 3)]
    files = [
        f"{what}-{run_id}.csv" for what in ("train_loss", "train_loss-validation_loss", "points")
    ]
    assert names == [f'attachment; filename="{name}"' for name in files]


@pytest.mark.parametrize(
    ("run_ids", "keys", "status", "told"),
    [
        (["nobody"], ["loss/a"], 404, "No points of 'loss/a' of run 'nobody' here"),
        (["../../etc/passwd", "' OR 1=1 --"], ["loss/a"], 404, "No points"),
        ([], [], 404, "No points"),
        ([f"{i:012}" for i in range(links.MAX_COMPARED + 1)], ["a"], 400, "at most, got 51 and 1"),
    ],
)
def test_what_is_not_there_or_too_much_is_said_in_a_sentence(db, run_ids, keys, status, told):
    recorded(db, "one", [1.0])
    got, _, text = asked(points.address(run_ids, keys))
    assert (got, told in text) == (status, True)
