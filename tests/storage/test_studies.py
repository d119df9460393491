"""Studies in the store: their runs keep their order, and a cell's last try counts."""

import json

import pytest
from sqlite_utils import Database as Known

from engine.config import RunConfig
from storage import database, runs, studies
from storage.migrations import migrations

CONFIG = RunConfig.parse({}).model_dump(mode="json")


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def create(db, **fields):
    given = {"name": "which?", "kind": "run_on", "question": {"seeds": 2}, "predicted_s": None,
             "submitted_by": "test"}  # fmt: skip
    return studies.create(db, **given | fields)


def add_run(db, study_id, arm="a", seed=0, is_warm_up=False):
    run_id = runs.create(db, name="r", config=CONFIG, total_steps=10, submitted_by="test")
    studies.add(db, study_id, run_id, arm, seed, is_warm_up)
    return run_id


def test_a_study_reads_back_as_it_was_written(db):
    name = "<b>'; DROP TABLE studies; --\n🚀"
    found = studies.get(db, create(db, name=name, predicted_s=12.5, now=5.0))
    assert (found.name, found.kind, found.question) == (name, "run_on", {"seeds": 2})
    assert (found.predicted_s, found.submitted_at, found.stopped_at) == (12.5, 5.0, None)
    assert studies.get(db, "no such") is None


def test_runs_keep_their_order_and_their_study(db):
    first, second = create(db, now=1.0), create(db, now=2.0)
    mine = [add_run(db, first, arm) for arm in "cab"]
    other = add_run(db, second)
    assert [t.member.run_id for t in studies.trials(db, first)] == mine
    assert studies.of_run(db, other) == second
    assert [study.id for study in studies.list_newest(db, 5)] == [second, first]


def test_of_a_cell_the_last_try_counts(db):
    study = create(db)
    failed, other = add_run(db, study, seed=1), add_run(db, study, seed=2)
    runs.finish(db, failed, "FAILED", finished_at=1.0, failure="it broke")
    again = add_run(db, study, seed=1)
    latest = studies.latest(studies.trials(db, study))
    assert [(t.member.run_id, t.status) for t in latest] == [(other, "PENDING"), (again, "PENDING")]


def test_who_stopped_it_first_stays(db):
    study = create(db)
    assert studies.note_stop(db, study, by="a", because="asked", now=1.0)
    assert not studies.note_stop(db, study, by="b", because="late", now=2.0)
    assert studies.get(db, study).stopped_by == "a"
    studies.clear_stop(db, study)
    assert studies.get(db, study).stopped_because is None


def test_a_store_of_version_3_gets_studies_and_keeps_its_runs(tmp_path):
    with database.opened(tmp_path) as db:
        known = Known(db)
        migrations.apply(known, stop_before="create_studies")
        db.execute("PRAGMA user_version = 3")
        run_id = "0a1b2c3d4e5f"
        known["runs"].insert(
            {
                **{"id": run_id, "name": "old", "submitted_by": "test", "submitted_at": 1.0},
                **{"config": json.dumps(CONFIG), "workload": "mlp", "dataset": "synthetic"},
                **{"framework": "torch", "accelerator": "cpu", "total_steps": 1},
            }
        )
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        assert runs.get(db, run_id).name == "old"
        study = create(db)
        studies.add(db, study, run_id, "a", 0, False)
        assert studies.of_run(db, run_id) == study
