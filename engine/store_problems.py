"""What is wrong with the store, in a sentence: its disk, its folder, its database."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from storage.database import LaterVersion

LOCKED = "Another program is writing to it: try again in a moment."
FULL = "Free some space on its disk and try again."
NOT_ALLOWED = "Let this user write there, or set ACCELBOARD_STORE to another folder."
OUTDATED = "Update this Accelboard too, or set ACCELBOARD_STORE to another folder."
OTHER = "Check that its folder is there and may be written, or set ACCELBOARD_STORE."
OF_SQLITE = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: NOT_ALLOWED,
}
OF_THE_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: NOT_ALLOWED,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
}


def sentence(error: OSError | sqlite3.Error, store: Path) -> str:
    """What happened, where, and the way out."""
    return f"The store in {str(store)!r} cannot be used: {_what(error)}. {_way_out(error)}"


def _what(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, sqlite3.Error) or not error.strerror:
        return str(error)
    return f"{error.strerror}: {str(error.filename)!r}" if error.filename else error.strerror


def _way_out(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, LaterVersion):
        return OUTDATED
    if isinstance(error, sqlite3.Error):  # an extended code's last byte is its primary one
        return OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, OTHER)
    return OF_THE_SYSTEM.get(error.errno or 0, OTHER)
