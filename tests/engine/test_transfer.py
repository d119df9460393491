"""A run goes from one store into another with nothing lost; a bad file changes nothing."""

import io
import json
import os
import random
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from engine import changes, cli, transfer
from engine.config import RunConfig
from engine.launch import NotPossible
from engine.problems import ConfigError
from engine.settings import Settings
from storage import database, metrics, readings, references, runs, studies
from storage.metrics import Point
from storage.readings import Reading
from tests.processes import mounted


@pytest.fixture
def here(tmp_path):
    settings = Settings(store=tmp_path / "here")
    database.prepare(settings.store)
    return settings


@pytest.fixture
def there(tmp_path):
    return Settings(store=tmp_path / "there")


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    """An exported run."""
    folder = tmp_path_factory.mktemp("exported")
    settings = Settings(store=folder / "store")
    database.prepare(settings.store)
    transfer.export(settings, finished(settings), folder / "run.zip")
    return folder / "run.zip"


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


def test_files_that_a_wrong_clock_dated_before_zips_begin_are_exported_too(here, there, tmp_path):
    run_id = finished(here)
    os.utime(here.store / "runs" / run_id / "trainer.log", (0, 0))
    transfer.export(here, run_id, tmp_path / "run.zip")
    transfer.load(there, tmp_path / "run.zip", by="bob")
    assert everything(there, run_id) == everything(here, run_id)


def test_a_run_that_is_there_already_stays_as_it_is(here, tmp_path):
    run_id = finished(here)
    transfer.export(here, run_id, tmp_path / "run.zip")
    before = everything(here, run_id)
    with pytest.raises(NotPossible, match="in this store already"):
        transfer.load(here, tmp_path / "run.zip", by="bob")
    assert everything(here, run_id) == before


def test_a_long_series_and_all_else_arrive_as_they_left(here, there, tmp_path):
    """Over 4,096 points a series is outlined by buckets, which are made anew on arrival."""
    run_id = finished(here)
    with database.opened(here.store) as db:
        long = [
            Point("step_loss", i, i / 100, 50.0 + i, (i * 7919) % 1000 / 10) for i in range(9_000)
        ]
        for begin in range(0, len(long), 700):  # as the supervisor reads a journal
            metrics.add(db, run_id, long[begin : begin + 700])
        readings.add(db, run_id, [Reading("host", "cpu", 100.0 + i, i / 500) for i in range(500)])
    transfer.export(here, run_id, tmp_path / "run.zip")
    transfer.load(there, tmp_path / "run.zip", by="bob")
    assert everything(there, run_id) == everything(here, run_id)
    drawn = []
    for settings in (here, there):
        with database.opened(settings.store) as db:
            drawn.append([a.tolist() for a in metrics.outline(db, run_id, "step_loss")])
    assert 70 < len(drawn[0][0]) < 1_000
    assert drawn[0] == drawn[1]


def test_a_run_goes_through_a_file_that_is_only_in_memory(here, there):
    run_id, file = finished(here), io.BytesIO()
    transfer.export(here, run_id, file)
    file.name = "../run.zip"
    assert transfer.load(there, file, by="bob") == run_id
    with pytest.raises(NotPossible):
        transfer.load(there, file, by="bob")


def changed(path, tmp_path, **parts):
    """The exported file with some of its members replaced or added."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name, content in (members | parts).items():
            new.writestr(name, content)
    return tmp_path / "bad.zip"


def refused(there, path):
    """Why a file is refused; and nothing of it is there."""
    with pytest.raises(transfer.BadFile) as error:
        transfer.load(there, path, by="bob")
    assert count(there) == 0
    assert not list((there.store / "runs").glob("*"))
    return str(error.value)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"files/../../evil": b"x"}, "it holds the path 'files/../../evil'"),
        ({"/etc/evil": b"x"}, "it holds the path '/etc/evil'"),
        ({"files/" + "x" * 300: b"x"}, "a path that is too long"),
        ({"files/trainer.log/below": b"x"}, "lies below another"),
        ({"run.json": b"{}"}, "format: field required"),
        ({"run.json": b"not json"}, "invalid JSON"),
        ({"run.json": b"[" * 100_000}, "recursion limit"),
        ({"run.json": b" " * 5_000_000}, "run.json is larger than 4.19 MB"),
        ({"run.json": b'{"format": "x", "version": 1}'}, "its format is 'x'"),
        ({"run.json": b'{"format": "accelboard-run", "version": 9}'}, "a later version"),
        ({"metrics.jsonl": b"[1, 2]\n"}, "in line 1 of metrics.jsonl"),
        ({"metrics.jsonl": b'["loss", 1, null, 1.0, 1.0]\n'}, "should be a valid number, got None"),
        ({"metrics.jsonl": b'["loss", 1, 0, 1.0, "abc"]\n'}, "should be a valid number, got 'abc'"),
        ({"metrics.jsonl": b'["loss", 1, 0, 1.0, NaN]\n'}, "finite number, got nan"),
        ({"metrics.jsonl": b'["l", 99999999999999999999, 0, 1, 1]\n'}, "less than or equal to"),
        ({"metrics.jsonl": b'["l", 2, 0, 1, 1]\n["l", 2, 0, 1, 1]\n'}, "step 2 of 'l' comes after"),
        ({"metrics.jsonl": b'["l\\u0000", 1, 0, 1, 1]\n'}, "a NUL character"),
        ({"metrics.jsonl": b"[" + b" " * 70_000}, "line 1 of metrics.jsonl"),
        ({"readings.jsonl": b'["host", "cpu", "noon", 1.0]\n'}, "got 'noon'"),
        ({"readings.jsonl": b'["a", "cpu", 1, 1]\n["a", "cpu", 1, 2]\n'}, "is no run"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_imported(run_file, there, tmp_path, parts, sentence):
    assert sentence in refused(there, changed(run_file, tmp_path, **parts))


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("config", "[]", "config: input should be an object"),
        ("config", {"devices": [1]}, "config.devices"),
        ("config", {"epochs": "three"}, "config.epochs"),
        ("config", {"workload": "mlp"}, "config.workload"),
        ("config", {"dataset": {"name": "x", "shape": [1, 2]}}, "config.dataset.shape"),
        ("config", {"learning_rate": {"deep": {"er": 1}}}, "config.learning_rate"),
        ("config", {"learning_rate": float("nan")}, "got nan"),
        ("config", {"epochs": 11}, "at least one step an epoch"),
        ("total_steps", 0, "greater than or equal to 1, got 0"),
        ("total_steps", True, "should be a valid integer, got True"),
        ("submitted_at", "abc", "should be a valid number, got 'abc'"),
        ("submitted_at", 1e15, "less than or equal to"),
        ("status", "RUNNING", "'SUCCEEDED', 'FAILED' or 'STOPPED', got 'RUNNING'"),
        ("id", "../../etc", "no id of a run"),
        ("cloned_from", "](javascript:alert(1))", "no id of a run"),
        ("name", None, "should be a valid string, got None"),
        ("priority", 10**30, "less than or equal to"),
        ("devices", '[{"id": "cpu:0"}]', "devices.0.name: field required"),
        ("devices", "{}", "should be a valid array"),
        ("environment", '{"git": {"commit": 5, "dirty": "no"}}', "environment.git.commit"),
        ("facts", '{"ledger": {"compute": "long"}}', "facts.ledger.compute"),
        ("facts", '{"readings": [1]}', "facts.readings"),
        ("facts", "{'no': 'json'}", "invalid JSON"),
    ],
)
def test_a_run_that_pages_could_not_show_is_refused(
    run_file, there, tmp_path, column, value, sentence
):
    with zipfile.ZipFile(run_file) as archive:
        about = json.loads(archive.read("run.json"))
    if isinstance(value, dict):
        value = json.dumps(json.loads(about["run"]["config"]) | value)
    about["run"][column] = value
    bad = changed(run_file, tmp_path, **{"run.json": json.dumps(about)})
    assert sentence in refused(there, bad)


def test_a_run_of_another_version_with_fields_that_are_not_known_here_is_imported(
    here, there, tmp_path
):
    run_id = finished(here)
    transfer.export(here, run_id, tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        about = json.loads(archive.read("run.json"))
    config = json.loads(about["run"]["config"]) | {"rotor": "fast", "mesh": {"data": 2}}
    about["run"] |= {"config": json.dumps(config), "colour": "red", "facts": '{"spin": [1, null]}'}
    for column in ("cool_down_s", "earlier_s", "resumed_epoch"):
        del about["run"][column]
    file = changed(tmp_path / "run.zip", tmp_path, **{"run.json": json.dumps(about)})
    assert transfer.load(there, file, by="bob") == run_id
    run = everything(there, run_id)[0]
    assert (run.config, run.facts, run.cool_down_s) == (config, {"spin": [1, None]}, 0.0)


def test_a_file_that_would_unpack_to_too_much_is_refused_before_it_is_unpacked(
    run_file, there, tmp_path, monkeypatch
):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(run_file) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in (members | {"files/zeros": bytes(20_000_000)}).items():
            new.writestr(name, content)
    assert bomb.stat().st_size < 50_000
    monkeypatch.setattr(transfer, "MOST_BYTES", 10_000_000)
    assert "it unpacks to 20 MB, more than 10 MB" in refused(there, bomb)
    monkeypatch.setattr(transfer, "MOST_BYTES", 1 << 62)
    monkeypatch.setattr(transfer, "KEPT_FREE_BYTES", 1 << 60)
    with pytest.raises(NotPossible, match="Make room"):
        transfer.load(there, bomb, by="bob")
    monkeypatch.setattr(transfer, "MOST_FILES", 2)
    assert "files, 2 at most are imported" in refused(there, bomb)


def test_an_encrypted_or_otherwise_compressed_file_is_refused(run_file, there, tmp_path):
    whole = run_file.read_bytes()
    flagged = bytearray(whole)
    for at in (m.start() for m in re.finditer(b"PK\x01\x02", whole)):
        flagged[at + 8] |= 1  # the flags in the central directory
    (tmp_path / "flagged.zip").write_bytes(flagged)
    assert "is encrypted" in refused(there, tmp_path / "flagged.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("run.json", "{}")
    assert "compressed in a way that exports are not" in refused(there, tmp_path / "other.zip")


def test_damage_anywhere_in_a_file_is_said_in_words_and_changes_nothing(run_file, there, tmp_path):
    whole = run_file.read_bytes()
    chance, damaged = random.Random(5), 0
    for _ in range(60):
        bad = bytearray(whole)
        for _ in range(3):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        (tmp_path / "bad.zip").write_bytes(bad)
        try:
            run_id = transfer.load(there, tmp_path / "bad.zip", by="bob")
        except transfer.BadFile:
            damaged += 1
            assert count(there) == 0
        else:  # it hit what nobody reads, such as a time of a member
            changes.delete(there, run_id, by="bob")
    assert damaged > 20
    assert not list((there.store / "runs").glob("*"))


def test_a_folder_without_a_run_is_not_touched(here, there, tmp_path):
    run_id = finished(here)
    transfer.export(here, run_id, tmp_path / "run.zip")
    folder = there.store / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "precious").write_text("x")
    with pytest.raises(NotPossible, match="Move it away"):
        transfer.load(there, tmp_path / "run.zip", by="bob")
    assert count(there) == 0
    assert [path.name for path in folder.iterdir()] == ["precious"]


def test_an_export_that_finds_no_room_leaves_what_was_there(here, tmp_path):
    run_id = finished(here)
    log = here.store / "runs" / run_id / "trainer.log"
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as disk:
        transfer.export_to(here, run_id, file := disk / "run.zip")
        before = file.read_bytes()
        log.write_bytes(random.Random(0).randbytes(2 << 20))
        for target in (file, disk / "other.zip"):
            done = CliRunner().invoke(
                cli.main, ["export", run_id, str(target), "--store", str(here.store)]
            )
            assert done.exit_code == 5
            assert "cannot be written: No space left on device." in done.stderr
        assert [path.name for path in disk.iterdir()] == ["run.zip"]
        assert file.read_bytes() == before


@pytest.mark.parametrize("_again", range(10))  # its reader could see an end before the beginning
def test_a_run_is_exported_into_a_pipe(here, there, tmp_path, _again):
    run_id = finished(here)
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor(1) as apart:
        sent = apart.submit(pipe.read_bytes)
        transfer.export_to(here, run_id, pipe)
        (tmp_path / "run.zip").write_bytes(sent.result())
    assert transfer.load(there, tmp_path / "run.zip", by="bob") == run_id


def test_a_truncated_file_or_another_kind_is_refused(here, there, tmp_path):
    transfer.export(here, finished(here), tmp_path / "run.zip")
    whole = (tmp_path / "run.zip").read_bytes()
    for content in (whole[: len(whole) // 2], b"", json.dumps({}).encode()):
        (tmp_path / "cut.zip").write_bytes(content)
        with pytest.raises(transfer.BadFile, match="not whole, or no zip"):
            transfer.load(there, tmp_path / "cut.zip", by="bob")
    assert count(there) == 0


def test_a_tag_of_several_lines_is_noted_in_one(here):
    changes.add_tags(here, finished(here), ["a\n2025-01-31 eve deleted all"], by="ann")
    (line,) = (here.store / "changes.log").read_text().splitlines()
    assert line.endswith(": a 2025-01-31 eve deleted all.")


def test_who_deleted_and_archived_a_run_is_noted_and_a_waiting_run_stays(here):
    run_id = finished(here)
    changes.archive(here, run_id, by="ann")
    with pytest.raises(NotPossible, match="archived already"):
        changes.archive(here, run_id, by="ann")
    changes.restore(here, run_id, by="bob")
    changes.delete(here, run_id, by="eve")
    assert not (here.store / "runs" / run_id).exists()
    log = (here.store / "changes.log").read_text()
    assert f"eve deleted run {run_id}." in log
    with database.opened(here.store) as db:
        config = RunConfig.parse({}).model_dump(mode="json")
        waiting = runs.create(db, name="a", config=config, total_steps=1, submitted_by="ann")
    with pytest.raises(NotPossible, match="is not over, so it stays"):
        changes.delete(here, waiting, by="eve")
    assert count(here) == 1


@pytest.mark.parametrize("bad", [{"name": " "}, {"name": "x" * 300}, {"tags": ["x" * 60]}])
def test_a_bad_edit_changes_nothing(here, bad):
    run_id = finished(here)
    with pytest.raises(ConfigError):
        changes.edit(here, run_id, by="ann", changes=bad)
    assert everything(here, run_id)[0].name == "<b>\n🚀"


def test_what_studies_and_reference_jobs_lose_is_told_before_runs_are_deleted(here):
    first, second = finished(here), finished(here)
    with database.opened(here.store) as db:
        of = {"kind": "run_on", "question": {}, "predicted_s": None, "submitted_by": "ann"}
        study = studies.create(db, name="<which>", **of)
        for place, run_id in enumerate((first, second)):
            studies.add(db, study, run_id, "arm", place, False)
        config = RunConfig.parse({}).model_dump(mode="json")
        references.create(db, name="nightly", run_id=first, config=config, by="ann", now=1.0)
        found = [runs.get(db, run_id) for run_id in (first, second)]
    told = changes.what_goes(here, found[:1])
    assert told.startswith("3 points and 2 files (263 B) of this run go for good")
    assert "Study '<which>' loses 1 of its 2 runs." in told
    assert "Reference job 'nightly' loses 1 of its 1 repeat." in told
    both = changes.what_goes(here, found)
    assert both.startswith("6 points and 4 files (526 B) of 2 runs go for good")
    assert "loses 2 of its 2 runs" in both
    assert "Reference job" not in changes.what_goes(here, found[1:])


def test_an_edit_changes_only_what_was_edited(here):
    run_id = finished(here)
    seen = {"name": "<b>\n🚀", "tags": ["x", "y"], "notes": "why"}
    with database.opened(here.store) as db:
        runs.add_tags(db, run_id, ["theirs"])
        runs.edit(db, run_id, name="their name")
    mine = {"name": seen["name"], "tags": ["x", "mine"], "notes": "because"}
    changes.edit(here, run_id, by="ann", changes=mine, before=seen)
    run = everything(here, run_id)[0]
    assert (run.name, run.notes) == ("their name", "because")
    assert set(run.tags) == {"x", "mine", "theirs"}
    with pytest.raises(NotPossible, match="changed the name of run"):
        changes.edit(here, run_id, by="ann", changes=mine | {"name": "my name"}, before=seen)
    run = everything(here, run_id)[0]
    assert (run.name, set(run.tags)) == ("their name", {"x", "mine", "theirs"})
