"""Runs in the store: states change once, devices are leased whole, final states stay."""

import json
import subprocess
import sys

import pytest
from sqlite_utils import Database as Known

from engine.config import RunConfig
from engine.settings import PROJECT
from storage import database, ids, metrics, runs
from storage.metrics import Point
from storage.migrations import migrations
from storage.points import LAST_STEP

CONFIG = RunConfig.parse({}).model_dump(mode="json")


@pytest.fixture
def store(tmp_path):
    database.prepare(tmp_path)
    return tmp_path


@pytest.fixture
def db(store):
    with database.opened(store) as db:
        yield db


def create(db, **fields):
    given = {"name": "a run", "config": CONFIG, "total_steps": 10, "submitted_by": "test"} | fields
    return runs.create(db, **given)


def claim(db, run_id, device="cpu:0"):
    return runs.claim(db, run_id, host="here", devices=[{"id": device}], now=5.0)


def test_ids_sort_by_time_and_are_safe_words():
    made = [ids.new(1_700_000_000 + second) for second in range(3)]
    assert made == sorted(made)
    assert all(ids.is_id(one) for one in made)
    assert not any(ids.is_id(bad) for bad in ("../../etc/passwd", "' OR 1=1", "", made[0] + "\n"))


def test_ids_of_one_millisecond_differ_and_sort_as_they_were_made():
    made = [ids.new(1_700_000_000) for _ in range(5_000)]
    assert made == sorted(set(made))


def test_a_run_reads_back_as_it_was_written(db):
    name = "<b>'; DROP TABLE runs; --\n🚀"
    run = runs.get(db, create(db, name=name, tags=["b", "a"], notes="why", priority=3))
    assert (run.name, run.tags, run.notes, run.priority) == (name, ("a", "b"), "why", 3)
    assert run.config == CONFIG
    assert (run.status, run.started_at, run.metrics) == ("PENDING", None, {})


def test_tags_are_added_and_removed_one_by_one_beside_a_colleagues(db):
    run_id = create(db, tags=["theirs"])
    runs.add_tags(db, run_id, ["mine", "theirs", "more"])
    runs.remove_tags(db, run_id, ["more", "never there"])
    assert runs.get(db, run_id).tags == ("mine", "theirs")


def test_a_device_is_one_runs_at_a_time(db):
    first, second = create(db), create(db)
    assert claim(db, first)
    assert not claim(db, second)
    runs.finish(db, first, "SUCCEEDED", finished_at=6.0)
    assert claim(db, second)
    assert runs.leases(db) == {"cpu:0": second}


def test_a_run_is_claimed_once(db):
    run_id = create(db)
    assert claim(db, run_id)
    assert not claim(db, run_id, device="gpu:0")
    assert runs.leases(db) == {"cpu:0": run_id}


def test_finished_run_keeps_its_first_status(db):
    run_id = create(db)
    claim(db, run_id)
    assert runs.finish(db, run_id, "SUCCEEDED", finished_at=6.0)
    assert not runs.finish(db, run_id, "FAILED", finished_at=7.0, failure_kind="lost")
    assert not runs.request_stop(db, run_id, "test", 8.0)
    run = runs.get(db, run_id)
    assert (run.status, run.finished_at, run.failure_kind) == ("SUCCEEDED", 6.0, None)


def test_stop_ends_a_waiting_run_and_asks_a_running_one(db):
    waiting, running = create(db), create(db)
    claim(db, running)
    assert runs.request_stop(db, waiting, "ann", 6.0)
    assert runs.request_stop(db, running, "bob", 7.0)
    assert runs.get(db, waiting).status == "STOPPED"
    asked = runs.get(db, running)
    assert (asked.status, asked.stop_requested_by) == ("RUNNING", "bob")
    assert not claim(db, waiting, device="gpu:0")


def test_only_a_run_that_never_began_goes_back_to_the_queue(db):
    fresh, begun = create(db), create(db)
    claim(db, fresh)
    claim(db, begun, device="gpu:0")
    runs.record_process(db, begun, {"pid": 12})
    assert runs.unclaim(db, fresh)
    assert not runs.unclaim(db, begun)
    assert runs.leases(db) == {"gpu:0": begun}


def test_a_run_is_read_whose_metric_is_the_greatest_of_numbers(db):
    """Fifteen of its digits are more than any float."""
    run_id, greatest = create(db), sys.float_info.max
    metrics.ingest(db, run_id, [Point("loss", 1, 1.0, 1.0, greatest)], last_seq=1, offset=9)
    assert runs.get(db, run_id).metrics["loss"].last == greatest


@pytest.mark.parametrize("value", [0.37195384521484376, -1 / 3, 1e-17, 0.0, 2.0**60 + 2**9])
def test_a_summary_has_every_digit_of_its_figures(db, value):
    run_id = create(db)
    metrics.ingest(db, run_id, [Point("loss", 1, 1.0, 1.0, value)], last_seq=1, offset=9)
    metrics.ingest(db, run_id, [Point("other", 1, 1.0, 1.0, None)], last_seq=2, offset=18)
    kept = runs.get(db, run_id).metrics
    assert kept["loss"] == runs.Summary(points=1, last=value, min=value, max=value)
    assert kept["other"] == runs.Summary(points=1, last=None, min=None, max=None)


def test_summaries_follow_the_points(db):
    run_id = create(db)
    values = [3.0, None, 1.0, 2.0]
    points = [Point("loss", i, i / 10, float(i), v) for i, v in enumerate(values)]
    metrics.ingest(db, run_id, points[:2], last_seq=2, offset=20)
    metrics.ingest(db, run_id, points[2:], last_seq=4, offset=40, phase="train")
    run = runs.get(db, run_id)
    assert run.metrics["loss"] == runs.Summary(points=4, last=2.0, min=1.0, max=3.0)
    assert (run.step, run.last_seq, run.journal_offset, run.phase) == (3, 4, 40, "train")
    curve = metrics.curve(db, run_id, "loss")
    assert curve.step.tolist() == [0, 1, 2, 3]
    assert str(curve.value.tolist()) == "[3.0, nan, 1.0, 2.0]"
    assert metrics.ends(db, run_id, "loss") == (points[0], points[3])


def test_a_deleted_run_takes_its_points_along_and_not_its_neighbours(db):
    run_ids = [create(db) for _ in range(3)]
    points = [Point("loss", 0, 0.0, 1.0, 2.0), Point("loss", LAST_STEP, 1.0, 2.0, None)]
    for run_id in run_ids:
        metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    runs.finish(db, run_ids[1], "STOPPED", finished_at=2.0)
    assert runs.delete(db, run_ids[1])
    kept = db.execute("SELECT run_id, key, step, epoch, at, value FROM metrics")
    wanted = [(run_id, *point) for run_id in (run_ids[0], run_ids[2]) for point in points]
    assert sorted(map(str, map(tuple, kept))) == sorted(map(str, wanted))
    assert db.execute("SELECT count(*) FROM points").fetchone()[0] == 4


def test_a_read_of_the_journal_is_stored_whole_or_not_at_all(db):
    run_id = create(db)
    half_bad = [Point("loss", 1, 0.1, 1.0, 1.0), Point("loss", 2, None, None, 1.0)]
    with pytest.raises(Exception, match="NOT NULL"):
        metrics.ingest(db, run_id, half_bad, last_seq=2, offset=20)
    assert runs.get(db, run_id).last_seq == 0
    assert metrics.curve(db, run_id, "loss").step.size == 0


def test_the_queue_is_by_priority_then_time(db):
    late, early, urgent = create(db, now=3.0), create(db, now=1.0), create(db, priority=1, now=9.0)
    assert [run.id for run in runs.queue(db)] == [urgent, early, late]
    assert [run.id for run in runs.list_newest(db, 2)] == [urgent, late]


OPEN_AND_CREATE = """
import pathlib, sys
from storage import database
from tests.storage.test_runs import create
database.prepare(pathlib.Path(sys.argv[1]))
with database.opened(pathlib.Path(sys.argv[1])) as db:
    print(create(db))
"""


def test_many_processes_may_open_a_new_store_at_once(tmp_path):
    command = [sys.executable, "-c", OPEN_AND_CREATE, str(tmp_path / "new")]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    openers = [subprocess.Popen(command, cwd=PROJECT, text=True, **both) for _ in range(3)]
    said = [opener.communicate(timeout=120) for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 3, said
    with database.opened(tmp_path / "new") as db:
        assert sorted(out.strip() for out, _ in said) == sorted(run.id for run in runs.queue(db))


def test_a_store_of_an_older_schema_is_brought_up_to_date_with_its_runs(tmp_path):
    """The first schema had no metrics: such a store gains them, and keeps what it had."""
    old = Known(tmp_path / database.FILE_NAME)
    migrations.apply(old, stop_before="create_metrics")
    run_id = "0a1b2c3d4e5f"
    old["runs"].insert(
        {
            **{"id": run_id, "name": "a run", "submitted_by": "test", "submitted_at": 1.0},
            **{"config": json.dumps(CONFIG), "workload": "mlp", "dataset": "synthetic"},
            **{"framework": "torch", "accelerator": "cpu", "total_steps": 10},
        }
    )
    assert "points" not in old.table_names()
    old.conn.close()

    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(migrations.applied(Known(db)))
        assert runs.get(db, run_id).name == "a run"
        metrics.ingest(db, run_id, [Point("loss", 1, 0.1, 1.0, 2.0)], last_seq=1, offset=9)
        assert runs.get(db, run_id).metrics["loss"].last == 2.0


def test_the_largest_batch_is_of_runs_like_it_in_all_that_memory_depends_on(db):
    def recorded(step=1, resumed_epoch=None, name="A GPU", version=None, **changes):
        config = RunConfig.parse(CONFIG | {"accelerator": "gpu"} | changes)
        run_id = create(
            db,
            config=config.model_dump(mode="json"),
            resumed_epoch=resumed_epoch,
            total_steps=1000,
        )
        here = [{"id": f"gpu:{n}", "name": name} for n in range(config.device_count)]
        runs.claim(db, run_id, host="here", devices=here, now=5.0)
        points = [Point("loss", step, 0.1, 1.0, 1.0)] * bool(step)
        surroundings = {"workload_version": version} if version else None
        metrics.ingest(db, run_id, points, last_seq=1, offset=9, environment=surroundings)
        runs.finish(db, run_id, "SUCCEEDED", finished_at=6.0)
        return run_id

    asked = runs.get(db, recorded(batch_size=32_768))
    assert runs.largest_batch(db, asked, 1) is None
    recorded(batch_size=512, seed=7, epochs=3, devices=["gpu:0"])
    recorded(batch_size=256)
    recorded(batch_size=4096, step=0)
    recorded(batch_size=8192, step=300, resumed_epoch=3)  # it has what it took over, and no more
    different = [
        {"precision": "bf16"},
        {"workload": {"name": "convnet"}},
        {"dataset": {"name": "synthetic"}},
        {"framework": "keras"},
        {"optimizer": "sgd"},
        {"input": "host_loader"},
        {"devices": 2},
        {"accelerator": "cpu"},
        {"name": "Another GPU"},
        {"version": 2},
    ]
    for change in different:
        recorded(batch_size=1024, **change)
    failed = recorded(batch_size=2048)
    db.execute("UPDATE runs SET failure_kind = 'out_of_memory' WHERE id = ?", [failed])
    assert runs.largest_batch(db, asked, 1) == 512
    assert runs.largest_batch(db, asked, 2) == 1024
