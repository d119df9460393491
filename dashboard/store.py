"""What pages need of the store: settings, a connection a page run, and what if it is gone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.words import plain
from engine import settings, store_problems
from engine.settings import Settings
from storage import database
from storage.database import Database

LOW_DISK_BYTES = 100 << 20


def configured() -> Settings:
    return settings.load()


@contextmanager
def opened() -> Iterator[Database]:
    with database.opened(configured().store) as db:
        yield db


def stop_if_unusable() -> None:
    """Show what is wrong with the store instead of the page; warn of what soon will be."""
    where = configured().store
    try:
        if not database.path_of(where).exists():
            database.prepare(where)
        with opened() as db:
            database.check(db)
    except (OSError, sqlite3.Error) as error:
        st.error(plain(store_problems.sentence(error, where)), icon=":material/database_off:")
        st.stop()
    if shutil.disk_usage(where).free < LOW_DISK_BYTES:
        st.warning(
            "The store's disk is almost full. Runs train on, but what they record waits for space.",
            icon=":material/disc_full:",
        )
