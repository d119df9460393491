"""Parts of the Hardware page: devices and who has them, and frameworks."""

from __future__ import annotations

import streamlit as st

from dashboard import host, pages, store, tables
from dashboard.words import plain
from engine import devices as engine_devices
from engine.config import ACCELERATOR_NAMES, FRAMEWORK_NAMES
from engine.format import UNKNOWN, gib
from engine.job import Device
from engine.readings import READINGS, shown
from engine.sources import Missing
from storage import runs
from storage.readings import Reading
from storage.runs import Run

POLL_S = 2.0
SHOWN_NOW = ("utilisation", "duty_cycle", "cpu", "memory_bytes", "power_w", "temperature_c")


@st.fragment(run_every=POLL_S)
def devices() -> None:
    """A card for each device, and one for each kind or device that is missing."""
    found = host.hardware()
    with store.opened() as db:
        users = {device: runs.get(db, run_id) for device, run_id in runs.leases(db).items()}
    others = engine_devices.processes(found)
    grid = st.grid(3, min_column_width=300, border=True)
    for device in found.devices:
        with grid.cell():
            _device(device, users.get(device.id))
            for process in (p for p in others if p.device_id == device.id):
                st.text(f"pid {process.pid} {process.name}: {gib(process.memory_bytes)}")
    for what, why in found.missing.items():
        with grid.cell():
            st.markdown(f"**No {plain(ACCELERATOR_NAMES.get(what, what))}**")
            st.caption(plain(why))


def _device(device: Device, user: Run | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(ACCELERATOR_NAMES[device.accelerator], color="blue")
        st.text(device.id)
        st.badge("In use" if user else "Free", color="orange" if user else "green")
    st.markdown(f"**{plain(device.name)}**")
    facts = {"memory": gib(device.memory_bytes), **device.details, "found by": device.found_by}
    st.caption(" · ".join(f"{name}: {plain(str(value))}" for name, value in facts.items()))
    _now(device)
    if user:
        st.page_link(
            pages.RUN, label=f"Run {user.id}", query_params={"id": user.id}, icon=":material/link:"
        )
        st.text(f"{user.name[:80]}, submitted by {user.submitted_by}")
    else:
        st.caption("Free: no run uses it.")


def _now(device: Device) -> None:
    """What its readings are at this moment, and why those are missing that are."""
    is_cpu = device.accelerator == "cpu"
    found, read = host.readings_now(), "host" if is_cpu else device.id
    told = {r.key: r.value for r in found if isinstance(r, Reading) and r.device == read}
    facts = [f"{READINGS[k].title} {shown(k, told[k])}" for k in SHOWN_NOW if k in told]
    if facts:
        st.caption(plain(f"Now: {' · '.join(facts)}"))
    sources = ("RAPL",) if is_cpu else (device.id, device.accelerator.upper())
    for one in found:
        if isinstance(one, Missing) and one.source.split()[0] in sources:
            st.caption(plain(f"{one.source}: {one.why}"))


def frameworks() -> None:
    """Which frameworks can train here, and with which interpreter."""
    st.markdown("**Frameworks**")
    settings = store.configured()
    rows, raw = [], []
    for name, title in FRAMEWORK_NAMES.items():
        interpreter = settings.interpreter(name)
        missing = engine_devices.framework_missing(name, interpreter)
        version = engine_devices.framework_version(name, interpreter)
        rows.append(
            {
                "Framework": title,
                "Version": version or UNKNOWN,
                "Trainers run with": str(interpreter),
                "Here": f"no: {missing}" if missing else "yes",
            }
        )
        raw.append({"framework": name, "version": version, "interpreter": str(interpreter),
                    "missing": missing})  # fmt: skip
    tables.show("frameworks", rows, raw=lambda: raw, alt="Frameworks and their interpreters")
