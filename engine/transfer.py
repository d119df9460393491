"""A whole run as one file: a zip with what the store has of it, and the files of its folder."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from engine import launch, supervisor
from engine.launch import NotPossible
from engine.settings import Settings
from storage import database, ids, runs, transfer
from storage.transfer import Record

FORMAT, VERSION = "accelboard-run", 1
SUFFIX = ".accelboard.zip"
FILES = "files/"


class BadFile(ValueError):
    """The file is no run that this version can import; nothing was imported."""


def export(settings: Settings, run_id: str, target: Path) -> None:
    """Write a run that is over. Raise `UnknownRun`, `NotPossible` or `OSError`."""
    with database.opened(settings.store) as db:
        run = launch.find(db, run_id)
        if run.active:
            raise NotPossible(f"Run {run_id} is {run.status}; export it when it is over.")
        record = transfer.read(db, run_id)
    folder = supervisor.run_dir_of(settings.store, run_id)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        about = {"format": FORMAT, "version": VERSION, "run": record.row, "tags": record.tags}
        archive.writestr("run.json", json.dumps(about, indent=1))
        archive.writestr("metrics.jsonl", _lines(record.points))
        archive.writestr("readings.jsonl", _lines(record.readings))
        for path in sorted(folder.rglob("*")) if folder.exists() else ():
            if path.is_file() and not path.is_symlink():
                archive.write(path, FILES + path.relative_to(folder).as_posix())


def load(settings: Settings, source: Path, *, by: str) -> str:
    """Import a run that was exported; its id. Raise `BadFile`, `NotPossible` or `OSError`."""
    database.prepare(settings.store)
    try:
        with zipfile.ZipFile(source) as archive:
            record, files = _record(source, archive), _files(source, archive)
            return _add(settings, archive, record, files, by)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadFile(_bad(source, f"it is not whole, or no zip ({error})")) from None
    except sqlite3.IntegrityError as error:
        raise BadFile(_bad(source, f"what it holds is no run ({error})")) from None


def _add(
    settings: Settings, archive: zipfile.ZipFile, record: Record, files: list[str], by: str
) -> str:
    """Files first, into a folder beside; they take their place once the store has the rest."""
    run_id = record.row["id"]
    folder = supervisor.run_dir_of(settings.store, run_id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.store) as beside:
        archive.extractall(beside, files)
        taken = f"Run {run_id} is in this store already; delete it here to import it again."
        with database.opened(settings.store) as db, database.transaction(db):
            if folder.exists() or not transfer.write(db, record):
                raise NotPossible(taken)
            extracted = Path(beside) / FILES
            if extracted.exists():
                shutil.move(extracted, folder)
    launch.note(settings, f"{by} imported run {run_id}")
    return run_id


def _record(source: Path, archive: zipfile.ZipFile) -> Record:
    try:
        about = json.loads(archive.read("run.json"))
        if about["format"] != FORMAT:
            raise BadFile(_bad(source, f"its format is {about['format']!r}"))
        if about["version"] > VERSION:
            raise BadFile(
                f"{source.name} was exported by a later version. Update Accelboard to import it."
            )
        row, tags = dict(about["run"]), [str(tag) for tag in about["tags"]]
        if not ids.is_id(row["id"]) or row["status"] not in runs.FINAL:
            raise BadFile(_bad(source, "it holds no run that is over"))
        for column in ("config", "devices", "environment", "facts"):
            json.loads(row[column])
        points = _rows(archive, "metrics.jsonl", 5)
        return Record(row, tags, points, _rows(archive, "readings.jsonl", 4))
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(_bad(source, f"{type(error).__name__}: {error}")) from None


def _rows(archive: zipfile.ZipFile, name: str, width: int) -> list[Sequence[Any]]:
    rows = [json.loads(line) for line in archive.read(name).splitlines()]
    if any(not isinstance(row, list) or len(row) != width for row in rows):
        raise ValueError(f"a line of {name} has not {width} values")
    return rows


def _files(source: Path, archive: zipfile.ZipFile) -> list[str]:
    """Names of the run's files; one that would lie elsewhere makes the whole file bad."""
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise BadFile(_bad(source, f"it holds the path {name[:60]!r}"))
    return [name for name in names if name.startswith(FILES)]


def _lines(rows: list[Sequence[Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _bad(source: Path, why: str) -> str:
    return f"{source.name} is no exported run: {why}. Export it again: python -m engine export."
