"""Journal -> store, as the supervisor copies it at each look."""

import numpy as np
import pytest

from engine import ingest, journal
from engine.config import RunConfig
from engine.events import Facts, Finished, Metrics, PhaseStarted, Started
from storage import database, metrics, runs

STEPS = 9_123


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def create(db):
    config = RunConfig.parse({}).model_dump(mode="json")
    return runs.create(db, name="a", config=config, total_steps=10, submitted_by="test")


def written(path):
    """All kinds of events; each step's loss in a line, each tenth with a second metric."""
    writer = journal.Writer(path, clock=lambda: 1000.0)
    writer.append(Started({"python": "3.11"}))
    writer.append(PhaseStarted("train"))
    for step in range(1, STEPS + 1):
        values = {"loss": 1.0 / step if step % 100 else None}
        writer.append(Metrics(step, step / 10, values | ({"lr": 0.1} if step % 10 == 0 else {})))
    writer.append(Facts({"a": 1, "b": 1}))
    writer.append(Facts({"b": 2}))
    writer.append(Finished("SUCCEEDED"))
    writer.close()


def kept(db, run_id):
    return {
        name: [tuple(row) for row in db.execute(query, [run_id])]
        for name, query in {
            "points": "SELECT key, step, epoch, at, value FROM metrics WHERE run_id = ? "
            "ORDER BY 1, 2",
            "series": "SELECT key, points, last, min, max FROM series WHERE run_id = ? ORDER BY 1",
            "buckets": "SELECT key, bucket, low, high_step, buckets.points, finite, sum_step "
            "FROM buckets JOIN series ON id = series_id WHERE run_id = ? ORDER BY 1, 2",
        }.items()
    }


def test_a_journal_in_pieces_is_the_journal_at_once(db, tmp_path):
    path, growing = tmp_path / "j", tmp_path / "growing"
    written(path)
    whole, run_id = create(db), create(db)
    last = ingest.ingest(db, whole, path, 0, 0)
    assert last == journal.Record(STEPS + 5, 1000.0, Finished("SUCCEEDED"))
    text, at = path.read_bytes(), 0
    for size in np.random.default_rng(0).integers(1, 60_000, 200).tolist():
        with growing.open("ab") as file:
            file.write(text[at : at + size])
        at += size
        run = runs.get(db, run_id)
        ingest.ingest(db, run_id, growing, run.journal_offset, run.last_seq)
    assert at > len(text)
    assert kept(db, run_id) == kept(db, whole)
    assert len(kept(db, whole)["points"]) == STEPS + STEPS // 10
    one, other = runs.get(db, whole), runs.get(db, run_id)
    for name in ("journal_offset", "last_seq", "damaged_lines", "facts", "phase", "environment"):
        assert getattr(one, name) == getattr(other, name)
    assert (one.facts, one.phase) == ({"a": 1, "b": 2}, "train")
    assert (one.last_seq, one.damaged_lines) == (STEPS + 5, 0)
    assert (one.step, one.epoch) == (STEPS, STEPS / 10)


def test_what_was_stored_already_is_not_stored_again(db, tmp_path):
    """As when a supervisor was killed between a journal's copy and its next look."""
    written(tmp_path / "j")
    run_id = create(db)
    ingest.ingest(db, run_id, tmp_path / "j", 0, 0)
    before = kept(db, run_id)
    run = runs.get(db, run_id)
    assert ingest.ingest(db, run_id, tmp_path / "j", run.journal_offset, run.last_seq) is None
    assert ingest.ingest(db, run_id, tmp_path / "j", 0, run.last_seq) is None
    assert kept(db, run_id) == before


def test_a_damaged_line_costs_no_other_line(db, tmp_path):
    written(tmp_path / "j")
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    lines[5_000:5_000] = [b"\xff garbage\n", b"\n"]
    (tmp_path / "j").write_bytes(b"".join(lines))
    run_id = create(db)
    ingest.ingest(db, run_id, tmp_path / "j", 0, 0)
    assert runs.get(db, run_id).damaged_lines == 2
    assert len(metrics.curve(db, run_id, "loss").step) == STEPS
