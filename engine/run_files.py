"""What lies in a run's folder: its log, to read and to search, and its files, to download."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine import supervisor
from engine.settings import Settings
from storage.runs import Run

BLOCK_BYTES = 1 << 20
SEARCHED_BYTES = 256 << 20  # of a longer log, the end
MOST_LINES = 200
MOST_FILES = 200
SHOWN_CHARS = 2_000  # of one line


@dataclass(frozen=True)
class RunFile:
    """`name` is its path below the run's folder; `at`, when it was last written, Unix seconds."""

    name: str
    path: Path
    size_bytes: int
    at: float


@dataclass(frozen=True)
class Found:
    """Lines that hold what was looked for, in order. `is_all` is False where there may be more."""

    lines: list[str]
    is_all: bool


def listed(settings: Settings, run: Run) -> list[RunFile]:
    """The files of the run's folder, at most `MOST_FILES`; no links, which may lead elsewhere."""
    folder = supervisor.run_dir_of(settings.store, run.id)
    found: list[RunFile] = []
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        if len(found) == MOST_FILES:
            break
        try:
            about = path.lstat()
        except FileNotFoundError:  # a checkpoint's predecessor, or a run that is being deleted
            continue
        if not stat.S_ISREG(about.st_mode):
            continue
        name = path.relative_to(folder).as_posix()
        found.append(RunFile(name, path, about.st_size, about.st_mtime))
    return found


def of_name(settings: Settings, run: Run, name: str) -> RunFile | None:
    """The file that is listed under that very name: no path is ever made of the name."""
    return next((file for file in listed(settings, run) if file.name == name), None)


def search(path: Path, text: str) -> Found:
    """The last lines of a log that hold `text`, in any case.

    A log longer than `SEARCHED_BYTES` is searched in its last part only.
    """
    wanted, found = text.casefold(), []
    for block in _blocks_from_the_end(path):
        if wanted in block.casefold():
            lines = reversed(block.splitlines())
            found += [line[:SHOWN_CHARS] for line in lines if wanted in line.casefold()]
        if len(found) > MOST_LINES:
            break
    is_all = len(found) <= MOST_LINES and path.stat().st_size <= SEARCHED_BYTES
    return Found(found[:MOST_LINES][::-1], is_all)


def _blocks_from_the_end(path: Path) -> Iterator[str]:
    """Whole lines of a file's last part, about a block at a time.

    A line that is longer than a block loses its beginning.
    """
    with path.open("rb") as file:
        end, rest = file.seek(0, os.SEEK_END), b""
        begin = max(0, end - SEARCHED_BYTES)
        while end > begin:
            start = max(begin, end - BLOCK_BYTES)
            file.seek(start)
            block, end = file.read(end - start) + rest, start
            rest, _, whole = block.partition(b"\n") if start > begin else (b"", b"", block)
            rest = rest[-BLOCK_BYTES:]
            yield whole.decode("utf-8", "replace")
