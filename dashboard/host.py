"""This host as it is now, looked at once for all readers: hardware, readings, a supervisor."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from dashboard import store
from dashboard.words import plain
from engine import devices, launch
from engine.devices import Hardware
from engine.sources import Missing, Sources
from storage.readings import Reading


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


@st.cache_data(ttl=2, show_spinner=False)
def _is_supervised(where: str) -> bool:
    """Looked at once in 2 s for all readers; one that is missing is started."""
    launch.keep_supervised(store.configured())
    return launch.supervisor_pid(store.configured()) is not None


def warn_if_unsupervised() -> None:
    """Start a supervisor if there is none, and say so if that did not work."""
    where = str(store.configured().store)
    if not _is_supervised(where):
        st.warning(
            f"No supervisor runs, so runs wait. {plain(where)}/supervisor.log says why it did not "
            "start.",
            icon=":material/pause_circle:",
        )
