"""Saved views, and the views that people who write SQL read."""

import re

import pytest

from engine.config import RunConfig
from engine.settings import PROJECT
from storage import database, metrics, runs, views, wide
from storage.metrics import Point


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def test_a_view_reads_back_as_it_was_saved_until_it_is_deleted(db):
    state = {"q": ["'; DROP TABLE views; --"], "status": ["FAILED", "STOPPED"]}
    view_id = views.create(db, name="<b>", page="", state=state, by="ann", now=5.0)
    view = views.get(db, view_id)
    assert view == views.View(view_id, "<b>", "", views.VERSION, state, "ann", 5.0)
    assert views.of_page(db, "") == [view]
    assert views.of_page(db, "compare") == []
    assert views.delete(db, view_id)
    assert views.get(db, view_id) is None


def test_the_views_for_sql_tell_of_runs_and_their_metrics(db):
    config = RunConfig.parse({"epochs": 7}).model_dump(mode="json")
    run_id = runs.create(db, name="a", config=config, total_steps=9, submitted_by="ann", tags=["t"])
    points = [
        Point(key, step, step / 10, 1.0, value)
        for step in (1, 2)
        for key, value in (("train_loss", 1.0 / step), ("validation_accuracy", step / 4))
    ]
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    (run,) = db.execute("SELECT * FROM run_summary").fetchall()
    assert (run["name"], run["epochs"], run["best_accuracy"], run["tags"]) == ("a", 7, 0.5, "t")
    wide = db.execute("SELECT * FROM metric_wide WHERE run_id = ?", [run_id]).fetchall()
    assert [(r["step"], r["train_loss"], r["validation_accuracy"]) for r in wide] == [
        (1, 1.0, 0.25),
        (2, 0.5, 0.5),
    ]
    assert wide[0]["step_loss"] is None


def wide_columns(db):
    return [row[1] for row in db.execute("PRAGMA table_info(metric_wide)")]


def test_a_metric_of_peoples_own_has_a_column_from_its_first_point_on(db):
    config = RunConfig.parse({}).model_dump(mode="json")
    before = wide_columns(db)
    run_id = runs.create(db, name="a", config=config, total_steps=9, submitted_by="ann")
    keys = ["bits/char", "odd \"name'; --", "Bits/Char", "STEP", "", "line\nbreak", "train_loss"]
    points = [Point(key, 7, 0.5, 1.0, place / 2) for place, key in enumerate(keys)]
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    assert wide_columns(db) == [*before, "Bits/Char", "odd \"name'; --"]
    (row,) = db.execute("SELECT * FROM metric_wide WHERE run_id = ?", [run_id]).fetchall()
    assert (row["train_loss"], row["odd \"name'; --"], row["Bits/Char"]) == (3.0, 0.5, 1.0)
    assert row["step"] == 7


def test_of_very_many_metrics_the_first_have_columns_and_the_view_works(db):
    config = RunConfig.parse({}).model_dump(mode="json")
    run_id = runs.create(db, name="a", config=config, total_steps=9, submitted_by="ann")
    points = [Point(f"layer/{number:04}", 1, 0.5, 1.0, 1.0) for number in range(600)]
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    assert len(wide_columns(db)) == len(wide.OF_STEP) + wide.MOST
    assert db.execute("SELECT [layer/0001] FROM metric_wide").fetchone()[0] == 1.0


def test_the_schemas_document_names_every_table_and_view(db):
    told = (PROJECT / "docs/schema.md").read_text("utf-8")
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    own = {name for (name,) in db.execute(query) if not name.startswith(("sqlite_", "_"))}
    assert own - set(re.findall(r"`(\w+)`", told)) == set()
