"""A whole run as one file: a zip with what the store has of it, and the files of its folder."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import TypeAdapter

from engine import changes, exported, launch, supervisor
from engine.exported import FORMAT, VERSION, Line, NotOurs
from engine.format import amount
from engine.launch import NotPossible
from engine.settings import Settings
from storage import database, transfer
from storage.transfer import Record

SUFFIX = ".accelboard.zip"
ABOUT, POINTS, READINGS, FILES = "run.json", "metrics.jsonl", "readings.jsonl", "files/"
PACKED = (".safetensors", ".keras", ".npz")  # files that compressing makes no smaller
BATCH_ROWS = 1_000
# What an import takes at most, so that a small file cannot fill the disk.
MOST_FILES = 10_000
MOST_ABOUT_BYTES, MOST_LINE_BYTES = 4 << 20, 1 << 16
MOST_LINES_BYTES, MOST_BYTES = 1 << 30, 32 << 30
KEPT_FREE_BYTES = 1 << 30
MOST_PART_BYTES, MOST_PATH_CHARS = 255, 1_000
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError),
    *(OverflowError, ValueError),  # of a place in the file that none can have
)


class BadFile(ValueError):
    """The file is no run that this version can import; nothing was imported."""


def export_to(settings: Settings, run_id: str, target: Path) -> None:
    """As `export`, into a file that is there once all of it is; till then it stays as it was."""
    target = target.resolve()
    if target.exists() and not target.is_file():  # a pipe, say: what is written has been sent
        export(settings, run_id, target)
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        export(settings, run_id, Path(beside) / target.name)
        (Path(beside) / target.name).replace(target)


def export(settings: Settings, run_id: str, target: Path | IO[bytes]) -> None:
    """Write a run that is over. Raise `UnknownRun`, `NotPossible` or `OSError`."""
    folder = supervisor.run_dir_of(settings.store, run_id)
    with database.opened(settings.store) as db, database.snapshot(db):
        run = launch.find(db, run_id)
        if run.active:
            raise NotPossible(f"Run {run_id} is {run.status}; export it when it is over.")
        record = transfer.read(db, run_id)
        about = {"format": FORMAT, "version": VERSION, "run": record.row, "tags": record.tags}
        with (
            # By its path, `zipfile` opens and closes a pipe first, and its reader sees an end.
            target.open("wb") if isinstance(target, Path) else nullcontext(target) as file,
            # A clock that was wrong dates files to before 1980, which a zip cannot tell.
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
        ):
            archive.writestr(ABOUT, json.dumps(about, indent=1))
            _write_lines(archive, POINTS, record.points)
            _write_lines(archive, READINGS, record.readings)
            for path in sorted(folder.rglob("*")) if folder.exists() else ():
                if path.is_file() and not path.is_symlink():
                    name = FILES + path.relative_to(folder).as_posix()
                    kind = zipfile.ZIP_STORED if path.suffix in PACKED else zipfile.ZIP_DEFLATED
                    archive.write(path, name, kind)


def load(settings: Settings, source: Path | IO[bytes], *, by: str) -> str:
    """Import a run that was exported; its id. Raise `BadFile`, `NotPossible` or `OSError`."""
    database.prepare(settings.store)
    name = Path(str(source.name)).name[:100]
    try:
        with zipfile.ZipFile(source) as archive:
            files = _files(settings, archive)
            return _add(settings, archive, _record(name, archive), files, by)
    except (BadFile, NotPossible):
        raise
    except NotOurs as error:
        why = str(error)
    except UNREADABLE as error:
        why = f"it is not whole, or no zip ({error or type(error).__name__})"
    except sqlite3.IntegrityError as error:
        why = f"what it holds is no run ({error})"
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place in the file that none can have
            raise
        why = "it is not whole, or no zip"
    raise BadFile(f"{name} is no exported run: {why}. Export it again: python -m engine export.")


def _add(
    settings: Settings, archive: zipfile.ZipFile, record: Record, files: list[str], by: str
) -> str:
    """Files first, into a folder beside; they take their place with what the store keeps."""
    run_id = record.row["id"]
    folder = supervisor.run_dir_of(settings.store, run_id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.store) as beside:
        _extract(archive, files, beside)
        with database.opened(settings.store) as db:
            _write(db, record, Path(beside) / FILES, folder)
    changes.note(settings, f"{by} imported run {run_id}")
    return run_id


def _extract(archive: zipfile.ZipFile, files: list[str], beside: str) -> None:
    try:
        archive.extractall(beside, files)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise NotOurs(f"one path of its files lies below another ({error.strerror})") from None


def _write(db: database.Database, record: Record, extracted: Path, folder: Path) -> None:
    """All of it or nothing, the folder too."""
    run_id, moved = record.row["id"], False
    try:
        with database.transaction(db):
            if not transfer.write(db, record):
                raise NotPossible(
                    f"Run {run_id} is in this store already; delete it here to import it again."
                )
            if folder.exists():
                raise NotPossible(
                    f"The store has no run {run_id}, but the folder {folder} is there. Move it "
                    "away, then import the run again."
                )
            if extracted.exists():
                moved = True
                shutil.move(extracted, folder)
    except BaseException:
        if moved:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _record(of: str, archive: zipfile.ZipFile) -> Record:
    """What the store will keep. Its points and readings are looked at as they are read."""
    text = archive.read(_member(archive, ABOUT, MOST_ABOUT_BYTES))
    for name in (POINTS, READINGS):
        _member(archive, name, MOST_LINES_BYTES)
    marked = exported.read(exported.MARKED, text, ABOUT)
    if marked.format != FORMAT:
        raise NotOurs(f"its format is {marked.format[:60]!r}")
    if marked.version > VERSION:
        raise BadFile(f"{of} was exported by a later version. Update Accelboard to import it.")
    about = exported.read(exported.ABOUT, text, ABOUT)
    points = _lines(archive, POINTS, exported.POINT)
    return Record(
        about.run.model_dump(exclude_unset=True),
        list(dict.fromkeys(about.tags)),
        map(exported.in_order(POINTS), points),
        _lines(archive, READINGS, exported.READING),
    )


def _member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> zipfile.ZipInfo:
    found = archive.NameToInfo.get(name)
    if found is None:
        raise NotOurs(f"it holds no {name}")
    if found.file_size > most_bytes:
        raise NotOurs(f"its {name} is larger than {amount(float(most_bytes), 'B')}")
    return found


def _lines(archive: zipfile.ZipFile, name: str, kind: TypeAdapter[Any]) -> Iterator[Line]:
    with archive.open(name) as file:
        number = 0
        while line := file.readline(MOST_LINE_BYTES):
            number += 1
            yield exported.read(kind, line, f"line {number:,} of {name}")


def _files(settings: Settings, archive: zipfile.ZipFile) -> list[str]:
    """Names of the run's files; one that would lie elsewhere makes the whole file bad."""
    infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(infos) > MOST_FILES:
        raise NotOurs(f"it holds {len(infos):,} files, {MOST_FILES:,} at most are imported")
    if len({info.filename for info in infos}) < len(infos):
        raise NotOurs("it holds one name twice")
    for info in infos:
        _check(info)
    _check_size(settings, sum(info.file_size for info in infos))
    return [info.filename for info in infos if info.filename.startswith(FILES)]


def _check(info: zipfile.ZipInfo) -> None:
    name = info.filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in info.orig_filename:
        raise NotOurs(f"it holds the path {name[:60]!r}")
    longest = max((len(part.encode("utf-8", "replace")) for part in path.parts), default=0)
    if longest > MOST_PART_BYTES or len(name) > MOST_PATH_CHARS:
        raise NotOurs(f"it holds a path that is too long, {name[:60]!r}")
    if info.flag_bits & 1:
        raise NotOurs(f"{name[:60]!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotOurs(f"{name[:60]!r} is compressed in a way that exports are not")


def _check_size(settings: Settings, size_bytes: int) -> None:
    """Before anything is unpacked: no file may unpack to more than its zip says."""
    told = amount(float(size_bytes), "B")
    if size_bytes > MOST_BYTES:
        raise NotOurs(f"it unpacks to {told}, more than {amount(float(MOST_BYTES), 'B')}")
    free = shutil.disk_usage(settings.store).free
    if size_bytes > free - KEPT_FREE_BYTES:
        raise NotPossible(
            f"The file unpacks to {told}, and the store's disk has {amount(float(free), 'B')} "
            "left. Make room, then import it again."
        )


def _write_lines(archive: zipfile.ZipFile, name: str, rows: Iterable[Sequence[Any]]) -> None:
    with archive.open(name, "w", force_zip64=True) as file:
        for several in transfer.batches(rows, BATCH_ROWS):
            file.write("".join(json.dumps(row) + "\n" for row in several).encode())
