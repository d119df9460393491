"""A run goes from one store into another with nothing lost; a bad file changes nothing."""

import json
import zipfile

import pytest

from engine import launch, transfer
from engine.config import RunConfig
from engine.launch import NotPossible
from engine.problems import ConfigError
from engine.settings import Settings
from storage import database, metrics, readings, runs
from storage.metrics import Point
from storage.readings import Reading


@pytest.fixture
def here(tmp_path):
    settings = Settings(store=tmp_path / "here")
    database.prepare(settings.store)
    return settings


@pytest.fixture
def there(tmp_path):
    return Settings(store=tmp_path / "there")


def finished(settings):
    config = RunConfig.parse({}).model_dump(mode="json")
    with database.opened(settings.store) as db:
        run_id = runs.create(db, name="<b>\n🚀", config=config, total_steps=10,
                             submitted_by="ann", tags=["x", "y"], notes="why")  # fmt: skip
        points = [Point("loss", i, i / 3, 100.1 + i, v) for i, v in enumerate((0.1, None, 1e-9))]
        metrics.ingest(db, run_id, points, last_seq=3, offset=9, facts={"a": 1})
        readings.add(db, run_id, [Reading("gpu:0", "power_w", 100.5, 71.3)])
        runs.finish(db, run_id, "FAILED", finished_at=5.0, failure_kind="lost", failure="gone")
    folder = settings.store / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("a line\n")
    (folder / "checkpoint.npz").write_bytes(bytes(range(256)))
    return run_id


def everything(settings, run_id):
    with database.opened(settings.store) as db:
        rows = [
            tuple(row)
            for table in ("metrics", "readings", "tags")
            for row in db.execute(f"SELECT * FROM {table} WHERE run_id = ?", [run_id])  # noqa: S608  these tables
        ]
        run = runs.get(db, run_id)
    folder = settings.store / "runs" / run_id
    return run, rows, {path.name: path.read_bytes() for path in folder.iterdir()}


def count(settings):
    with database.opened(settings.store) as db:
        return sum(runs.counts(db).values())


def test_nothing_is_lost_on_the_way_to_another_store(here, there, tmp_path):
    run_id = finished(here)
    transfer.export(here, run_id, tmp_path / "run.zip")
    assert transfer.load(there, tmp_path / "run.zip", by="bob") == run_id
    assert everything(there, run_id) == everything(here, run_id)


def test_a_run_that_is_there_already_stays_as_it_is(here, tmp_path):
    run_id = finished(here)
    transfer.export(here, run_id, tmp_path / "run.zip")
    before = everything(here, run_id)
    with pytest.raises(NotPossible, match="in this store already"):
        transfer.load(here, tmp_path / "run.zip", by="bob")
    assert everything(here, run_id) == before


def changed(path, tmp_path, **parts):
    """The exported file with some of its members replaced or added."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name, content in (members | parts).items():
            new.writestr(name, content)
    return tmp_path / "bad.zip"


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"files/../../evil": b"x"}, "it holds the path 'files/../../evil'"),
        ({"/etc/evil": b"x"}, "it holds the path '/etc/evil'"),
        ({"run.json": b"{}"}, "KeyError"),
        ({"run.json": b"not json"}, "JSONDecodeError"),
        ({"run.json": b'{"format": "x"}'}, "its format is 'x'"),
        ({"run.json": b'{"format": "accelboard-run", "version": 9}'}, "a later version"),
        ({"metrics.jsonl": b"[1, 2]\n"}, "has not 5 values"),
        ({"metrics.jsonl": b'["loss", 1, null, 1.0, 1.0]\n'}, "is no run"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_imported(here, there, tmp_path, parts, sentence):
    transfer.export(here, finished(here), tmp_path / "run.zip")
    with pytest.raises(transfer.BadFile) as error:
        transfer.load(there, changed(tmp_path / "run.zip", tmp_path, **parts), by="bob")
    assert sentence in str(error.value)
    assert count(there) == 0
    assert not list((there.store / "runs").glob("*")) if (there.store / "runs").exists() else True


def test_a_truncated_file_or_another_kind_is_refused(here, there, tmp_path):
    transfer.export(here, finished(here), tmp_path / "run.zip")
    whole = (tmp_path / "run.zip").read_bytes()
    for content in (whole[: len(whole) // 2], b"", json.dumps({}).encode()):
        (tmp_path / "cut.zip").write_bytes(content)
        with pytest.raises(transfer.BadFile, match="not whole, or no zip"):
            transfer.load(there, tmp_path / "cut.zip", by="bob")
    assert count(there) == 0


def test_who_deleted_and_archived_a_run_is_noted_and_a_waiting_run_stays(here):
    run_id = finished(here)
    launch.archive(here, run_id, by="ann")
    with pytest.raises(NotPossible, match="archived already"):
        launch.archive(here, run_id, by="ann")
    launch.restore(here, run_id, by="bob")
    launch.delete(here, run_id, by="eve")
    assert not (here.store / "runs" / run_id).exists()
    log = (here.store / "changes.log").read_text()
    assert f"eve deleted run {run_id}." in log
    with database.opened(here.store) as db:
        config = RunConfig.parse({}).model_dump(mode="json")
        waiting = runs.create(db, name="a", config=config, total_steps=1, submitted_by="ann")
    with pytest.raises(NotPossible, match="is not over, so it stays"):
        launch.delete(here, waiting, by="eve")
    assert count(here) == 1


@pytest.mark.parametrize("changes", [{"name": " "}, {"name": "x" * 300}, {"tags": ["x" * 60]}])
def test_a_bad_edit_changes_nothing(here, changes):
    run_id = finished(here)
    with pytest.raises(ConfigError):
        launch.edit(here, run_id, by="ann", changes=changes)
    assert everything(here, run_id)[0].name == "<b>\n🚀"
