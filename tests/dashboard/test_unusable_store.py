"""A store that is locked, full or read-only: what a click or a command cannot do is said there."""

import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from engine import changes, checkpoints, cli, launch, settings, supervision
from engine.config import RunConfig
from engine.supervisor import run_dir_of
from storage import database, run_list, runs, views
from storage.run_list import Wanted
from tests.dashboard.pages import DEVICE, create, finished, opened, visit
from tests.processes import fill, locked, mounted


def pressed(key, menu=None, **texts):
    """The button of that key, in a menu that is opened, beside a text that is written."""

    def find(at):
        at = opened(at, menu) if menu else at
        for field, text in texts.items():
            at.text_input(key=field.replace("_", "-")).set_value(text).run()
        return at.button(key=key)

    return find


def of_all(key):
    """The button of that key, with all runs selected."""

    def find(at):
        at.button(key="select-all").click().run()
        return at.button(key=key)

    return find


ACTIONS = {
    "start a run": ("new_run", None, pressed("start")),
    "start a study": ("studies", None, pressed("start-study")),
    "stop": ("run", "waiting", pressed("stop")),
    "retry": ("run", "done", pressed("retry")),
    "resume": ("run", "stopped", pressed("resume")),
    "archive": ("run", "done", pressed("archive")),
    "edit": ("run", "done", pressed("edit-save", "edit")),
    "delete": ("run", "done", pressed("delete", "delete-menu")),
    "name a reference job": ("run", "done", pressed("reference-add")),
    "save a view": ("hardware", None, pressed("save-view", "views-menu", view_name="mine")),
    "remove a view": ("hardware", None, pressed("view-delete-v1", "views-menu")),
    "archive many": ("runs", None, of_all("archive-selected")),
}
TABLES = ("views", "studies", "reference_jobs", "tags")


class Store:
    """With a run that was stopped after an epoch, one that is done, one that waits, and a view;
    nobody supervises it."""

    def __init__(self, folder):
        self.folder = folder
        database.prepare(folder)
        self.runs = {"stopped": stopped(folder), "done": finished(folder, "done")}
        self.runs["waiting"] = create(folder, "waits")
        with database.opened(folder) as db:
            views.put_back(db, views.View("v1", "v", "hardware", views.VERSION, {}, "ann", 1.0))

    def button(self, action):
        """The page, and on it the button that does that."""
        page, of, find = ACTIONS[action]
        at = visit(page, **({"id": self.runs[of]} if of else {}))
        return at, find(at)

    def all(self):
        """Everything that the actions could have changed."""
        with database.opened(self.folder) as db:
            listed = run_list.page(db, Wanted(archived=True), sort=run_list.NEWEST, limit=9).runs
            rest = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}  # noqa: S608
        return listed, rest


def stopped(folder):
    """With the checkpoint of its first epoch."""
    run_id = create(folder, "stopped")
    path = checkpoints.path_in(run_dir_of(folder, run_id))
    path.parent.mkdir(parents=True)
    state = {"model.weight": np.zeros(1, np.float32)}
    checkpoints.write(path, state, run_id=run_id, config=RunConfig(), epoch=1, at=1.0)
    with database.opened(folder) as db:
        runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
        runs.note_facts(db, run_id, {"checkpoint": 1})
        runs.finish(db, run_id, "STOPPED", finished_at=130.0)
    return run_id


@contextmanager
def in_use(folder, monkeypatch):
    """The store that pages and commands use, with its supervisor's lock held by the test."""
    monkeypatch.setenv("ACCELBOARD_STORE", str(folder))
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    folder.mkdir()
    with supervision.locked(folder):
        yield Store(folder)


@pytest.fixture
def here(tmp_path, monkeypatch):
    with in_use(tmp_path / "store", monkeypatch) as store:
        yield store


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        yield disk


@contextmanager
def read_by_another(folder):
    """So that SQLite keeps its log, and writes no page of it a second time."""
    with database.opened(folder) as db, database.snapshot(db):
        assert db.execute("SELECT count(*) FROM runs").fetchone()[0]
        yield


def refusal(at, store):
    """The one sentence with which the page answers."""
    assert not at.exception
    (said,) = [error.value.replace("\\", "") for error in at.error]
    assert f"The store in '{store}' cannot be used: " in said
    return said


def test_a_store_of_a_later_version_is_left_alone_and_says_so(here):
    with database.opened(here.folder) as db:
        db.executescript("ALTER TABLE runs ADD COLUMN later TEXT; PRAGMA user_version = 99")
    told = CliRunner().invoke(cli.main, ["list"])
    assert told.exit_code == 5
    with pytest.raises(database.LaterVersion):
        database.prepare(here.folder)
    sentence = "cannot be used: a later version of Accelboard has brought it up to date. Update"
    assert sentence in refusal(visit(), here.folder)
    assert sentence in told.stderr


@pytest.mark.parametrize("action", ACTIONS)
def test_what_a_locked_store_refuses_is_said_in_place_and_nothing_is_changed(here, action):
    before = here.all()
    at, button = here.button(action)
    with locked(here.folder):
        button.click().run()
    said = refusal(at, here.folder)
    assert "database is locked. Another program is writing to it: try again" in said
    assert ("Nothing was changed." in said) == (action != "archive many")
    assert here.all() == before


def test_a_full_disk_is_said_in_place_and_nothing_is_changed(disk, monkeypatch):
    with in_use(disk / "store", monkeypatch) as here:
        before = here.all()
        clicks = [here.button(action) for action in ("start a run", "stop", "resume", "delete")]
        with read_by_another(here.folder):
            fill(disk / "filler")
            for at, button in clicks:
                button.click().run()
                assert "is full. Free some space on its disk" in refusal(at, here.folder)
        (disk / "filler").unlink()
        assert here.all() == before


def test_a_read_only_store_is_said_in_place_and_by_the_command_line(disk, tmp_path, monkeypatch):
    with in_use(disk / "store", monkeypatch) as here, read_by_another(here.folder):
        before = here.all()
        with mounted(tmp_path / "view", "--bind", str(disk)) as view:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
            monkeypatch.setenv("ACCELBOARD_STORE", str(view / "store"))
            for action in ("start a run", "stop", "resume", "archive"):
                at, button = here.button(action)
                button.click().run()
                said = refusal(at, view / "store")
                assert "Let this user write there, or set ACCELBOARD_STORE" in said
            done = CliRunner().invoke(cli.main, ["submit"])
            assert (done.exit_code, done.stdout) == (5, "")
            assert "Read-only file system" in done.stderr
        assert here.all() == before


@pytest.mark.parametrize("command", ["submit", "stop", "archive", "retry", "resume", "study"])
def test_what_a_locked_store_refuses_the_command_line_says_with_status_5(here, command):
    of = {"stop": "waiting", "archive": "done", "retry": "done", "resume": "stopped"}.get(command)
    more = ["run-on", "--frameworks", "torch,keras"] if command == "study" else []
    before = here.all()
    with locked(here.folder):
        done = CliRunner().invoke(cli.main, [command, *more, *([here.runs[of]] if of else [])])
    assert (done.exit_code, done.stdout) == (5, "")
    assert done.stderr.splitlines()[-1] == (
        f"Error: The store in '{here.folder}' cannot be used: database is locked. Another program "
        "is writing to it: try again in a moment."
    )
    assert here.all() == before


def test_a_change_that_is_made_is_not_called_failed_since_its_line_in_the_log_is(here, caplog):
    (here.folder / "changes.log").mkdir()
    changes.archive(settings.load(), here.runs["done"], by="ann")
    assert here.all()[0][1].archived
    assert f"ann archived run {here.runs['done']}. That has no line in changes.log" in caplog.text


def test_a_run_that_is_in_the_queue_is_not_called_refused_since_no_supervisor_starts(
    tmp_path, monkeypatch, caplog
):
    with in_use(tmp_path / "store", monkeypatch) as here:
        pass
    (here.folder / "supervisor.log").mkdir()
    launch.stop(settings.load(), here.runs["waiting"], by="ann")
    assert here.all()[0][0].status == "STOPPED"
    assert "No supervisor could be started, so runs wait." in caplog.text
