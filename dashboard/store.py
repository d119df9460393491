"""What pages need of the store: settings, a connection a page run, and what if it is gone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import streamlit as st

from dashboard.words import plain
from engine import devices, launch, settings, store_problems
from engine.devices import Hardware
from engine.settings import Settings
from engine.sources import Missing, Sources
from storage import database
from storage.database import Database
from storage.readings import Reading

LOW_DISK_BYTES = 100 << 20


def configured() -> Settings:
    return settings.load()


@contextmanager
def opened() -> Iterator[Database]:
    with database.opened(configured().store) as db:
        yield db


@st.cache_data(ttl=10, show_spinner=False)
def hardware() -> Hardware:
    """Looked at again every 10 s: drivers come and go."""
    return devices.find()


@st.cache_resource(show_spinner=False)
def _sources() -> Sources:
    return Sources()


@st.cache_data(ttl=2, show_spinner=False)
def readings_now() -> list[Reading | Missing]:
    """Of all devices and the host, at most every 2 s however many readers there are."""
    devices_here = [asdict(device) for device in hardware().devices]
    return [*_sources().of_devices(devices_here), *_sources().of_host()]


def stop_if_unusable() -> None:
    """Show what is wrong with the store instead of the page; warn of what soon will be."""
    where = configured().store
    try:
        if not database.path_of(where).exists():
            database.prepare(where)
        with opened() as db:
            db.execute("SELECT 1 FROM runs LIMIT 1").fetchone()
    except (OSError, sqlite3.Error) as error:
        st.error(plain(store_problems.sentence(error, where)), icon=":material/database_off:")
        st.stop()
    if shutil.disk_usage(where).free < LOW_DISK_BYTES:
        st.warning(
            "The store's disk is almost full. Runs train on, but what they record waits for space.",
            icon=":material/disc_full:",
        )


@st.cache_data(ttl=2, show_spinner=False)
def _is_supervised(store: str) -> bool:
    """Looked at once in 2 s for all readers; one that is missing is started."""
    launch.keep_supervised(configured())
    return launch.supervisor_pid(configured()) is not None


def warn_if_unsupervised() -> None:
    """Start a supervisor if there is none, and say so if that did not work."""
    if not _is_supervised(str(configured().store)):
        st.warning(
            f"No supervisor runs, so runs wait. {plain(str(configured().store))}/supervisor.log "
            "says why it did not start.",
            icon=":material/pause_circle:",
        )
