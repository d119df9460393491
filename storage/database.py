"""The store's database: one SQLite file in write-ahead-log mode.

A connection belongs to the thread that opened it. Open one for each page run, command or loop.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

Database = sqlite3.Connection

FILE_NAME = "accelboard.sqlite"
BUSY_TIMEOUT_S = 30.0
SCHEMA_VERSION = 8  # how many migrations there are; a store notes it in PRAGMA user_version


class LaterVersion(sqlite3.DatabaseError):
    """A later Accelboard has brought the store up to date: its tables are not those of this one."""


def path_of(store: Path) -> Path:
    return store / FILE_NAME


def prepare(store: Path) -> None:
    """Create the store, or bring an older one up to date; many processes may do so at once.

    Raise `OSError` or `sqlite3.Error` if the folder cannot be written, `LaterVersion` if this
    version cannot read it.
    """
    store.mkdir(parents=True, exist_ok=True)
    with (store / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with opened(store) as db:
            if _version(db) < SCHEMA_VERSION:
                _migrate(db)
            check(db)


def check(db: Database) -> None:
    """Raise `LaterVersion`, or another `sqlite3.Error` if it is no store that can be read."""
    if _version(db) > SCHEMA_VERSION:
        raise LaterVersion("a later version of Accelboard has brought it up to date")
    db.execute("SELECT 1 FROM runs LIMIT 1").fetchone()


def _version(db: Database) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _migrate(db: Database) -> None:
    import sqlite_utils  # only here: it takes pandas along, which costs a second at each start

    from storage import wide
    from storage.migrations import migrations

    db.execute("PRAGMA journal_mode = WAL")
    migrations.apply(sqlite_utils.Database(db))
    with transaction(db):
        wide.rebuild(db)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def opened(store: Path) -> Iterator[Database]:
    """A connection for the calling thread, closed at the end of the block."""
    connection = sqlite3.connect(path_of(store), timeout=BUSY_TIMEOUT_S)
    with closing(connection):
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        yield connection


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """All or nothing, with the write lock taken first, so that a reader turned writer waits."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.rollback()
        raise
    db.commit()


@contextmanager
def change(db: Database) -> Iterator[None]:
    """A transaction of its own, or part of the one that is open."""
    if db.in_transaction:
        yield
    else:
        with transaction(db):
            yield


@contextmanager
def snapshot(db: Database) -> Iterator[None]:
    """All that is read in the block is of one moment, whatever others write meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.rollback()
