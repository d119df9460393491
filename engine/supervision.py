"""Who supervises a store, and with which code and settings. One process at a time does.

It holds a file lock for its life, and notes in that file what it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from engine.settings import PROJECT, Settings

LOCKS = Path("/proc/locks")
CODE = ("engine", "storage")  # what a supervisor and its trainers are made of
PACKAGES = Path(sys.prefix) / "installed"  # what the set-up has put there, word for word
ITS_SETTINGS = (
    *("python_keras", "python_torch", "python_torch_xla", "data_dir", "warm"),
    *("stop_grace_s", "stall_s", "readings_s"),
)


class AlreadySupervised(Exception):
    """Another supervisor has this store."""


class Supervision(NamedTuple):
    """What holds a store's lock. What it did not note is None."""

    pid: int
    code: str | None
    settings: dict[str, str] | None


def lock_path(store: Path) -> Path:
    return store / "supervisor.lock"


@contextmanager
def locked(store: Path, settings: Settings | None = None) -> Iterator[None]:
    """Hold the store's supervisor lock; raise `AlreadySupervised` if another process does."""
    with lock_path(store).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadySupervised(f"{store} already has a supervisor.") from None
        noted = {"code": code(), "settings": of_settings(settings) if settings else None}
        file.truncate(0)
        file.write(f"{os.getpid()}\n{json.dumps(noted)}\n")
        file.flush()
        yield


def pid_of(store: Path) -> int | None:
    """PID of the store's supervisor, None if it has none."""
    found = of(store)
    return found.pid if found else None


def of(store: Path) -> Supervision | None:
    """What supervises the store, None if nothing does.

    The kernel is asked who holds the lock, so that a supervisor that starts is never turned away
    by somebody who only looks.
    """
    path = lock_path(store)
    try:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        inode = path.stat().st_ino
        pid, noted = int(first or 0), json.loads(rest or "{}")
    except (FileNotFoundError, ValueError):
        return None
    if not (_holds(pid, inode) if LOCKS.exists() else _is_held(path)):
        return None
    return Supervision(pid, noted.get("code"), noted.get("settings"))


def of_settings(settings: Settings) -> dict[str, str]:
    """Those that a supervisor goes by, as it notes them."""
    return {name: str(getattr(settings, name)) for name in ITS_SETTINGS}


def is_outdated(found: Supervision) -> bool:
    """Whether a supervisor runs other code than is here now.

    What holds the lock and is none, as a test, is left alone.
    """
    return found.code != code() and _is_a_supervisor(found.pid)


def differing(found: Supervision, settings: Settings) -> dict[str, tuple[str | None, str]]:
    """Settings by which a supervisor goes otherwise, name -> (its value, the value here)."""
    if found.settings is None:
        return {}
    here = of_settings(settings)
    return {k: (found.settings.get(k), v) for k, v in here.items() if found.settings.get(k) != v}


def code() -> str:
    """A digest of the code as it is on disk, and of the packages that were installed for it.

    It is read anew each time: who asks may have been started long before it changed.
    """
    files = sorted(file for folder in CODE for file in (PROJECT / folder).rglob("*.py"))
    digest = hashlib.blake2b(digest_size=8)
    for file in (*files, PACKAGES):
        digest.update(f"{file.name}\n".encode())
        digest.update(_content(file))
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # another set-up made the environment, or the file has just gone
        return b""


def _is_a_supervisor(pid: int) -> bool:
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return False
    return "engine" in command and "supervisor" in command


def _holds(pid: int, inode: int) -> bool:
    for line in LOCKS.read_text(encoding="ascii").splitlines():
        fields = line.split()
        is_held = "FLOCK" in fields and "->" not in fields and fields[4] == str(pid)
        if is_held and fields[5].endswith(f":{inode}"):  # other file systems have that inode too
            return True
    return False


def _is_held(path: Path) -> bool:
    """Where the kernel lists no locks: take it for a moment, shared."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
