"""Readings of a run: its energy with where it comes from, charts over time, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import charts, store, tables
from dashboard.components.plot import plot
from dashboard.words import plain
from engine import energy
from engine.energy import Consumption, Training
from engine.format import UNKNOWN, duration, figure
from engine.readings import READINGS, shown, throttled
from storage import database, readings
from storage.database import Database
from storage.readings import Extent, Series
from storage.runs import Run

CHART_HEIGHT = 200
WHOLE_S = 1800.0  # a longer run is drawn as means, of so many that there are about `MEANS`
MEANS = 900
GAP_S = 5.0
OWNERS = {"trainer": "of the trainer and its children (RSS)"}


class Panel(NamedTuple):
    title: str
    key: str
    devices: tuple[str, ...]  # their kinds: gpu, tpu, host, trainer


PANELS = (
    Panel("GPU utilisation", "utilisation", ("gpu",)),
    Panel("TPU duty cycle", "duty_cycle", ("tpu",)),
    Panel("Power", "power_w", ("gpu",)),
    Panel("Device memory", "memory_bytes", ("gpu", "tpu")),
    Panel("Temperature", "temperature_c", ("gpu",)),
    Panel("SM clock", "sm_clock_mhz", ("gpu",)),
    Panel("Memory clock", "memory_clock_mhz", ("gpu",)),
    Panel("CPU, share of all cores", "cpu", ("host", "trainer")),
    Panel("Memory of the trainer (RSS)", "memory_bytes", ("trainer",)),
    Panel("Memory used on the host", "memory_bytes", ("host",)),
)
DRAWN = tuple({panel.key for panel in PANELS})


def draw(run: Run) -> None:
    """All that was read during a run, or why nothing was."""
    with store.opened() as db:
        found = readings.extents(db, run.id)
        if not found:
            st.caption(_why_none(run))
        else:
            _energy(db, run)
            _peaks(db, run, found)
            _charts(run, found)
    _missing(run)


def _why_none(run: Run) -> str:
    if run.status == "PENDING":
        return "Readings of power, memory and load begin when the run starts."
    if run.active and store.configured().readings_s:
        return "Waiting for the first reading."
    if run.active:
        return "Readings are turned off: ACCELBOARD_READINGS_S is 0."
    return (
        "No readings were taken of this run: it ended before the first one, readings were turned "
        "off, or its Accelboard took none yet."
    )


def _energy(db: Database, run: Run) -> None:
    during, told = energy.of_run(db, run)
    st.markdown("**Energy**")
    if during is None:
        st.caption("Energy is told of whole epochs, once the first has ended.")
        return
    st.caption(
        f"From the first step of epoch {during.first_epoch} to the end of epoch "
        f"{during.last_epoch}, validation included: {duration(during.end - during.begin)}. "
        "Figures from different sources do not compare."
    )
    tables.show(
        f"energy-{run.id}",
        [_energy_row(one, during) for one in told],
        raw=lambda: [_energy_raw(one, during) for one in told],
        alt="Energy",
    )


def _energy_row(one: Consumption, during: Training) -> dict[str, str]:
    joules = one.energy.joules
    return {
        "Energy of": one.of,
        "Energy": _joules(joules),
        "per epoch": _joules(joules and joules / during.epochs),
        "per sample": _joules(joules and joules / during.samples),
        "Source": one.energy.provenance,
    }


def _energy_raw(one: Consumption, during: Training) -> dict[str, Any]:
    return {
        "energy_of": one.of,
        "energy_j": one.energy.joules,
        "epochs": during.epochs,
        "samples": during.samples,
        "source": one.energy.provenance,
    }


def _joules(joules: float | None) -> str:
    """`12.3 kJ`, `4.56 J`, `0.789 mJ`."""
    if joules is None:
        return UNKNOWN
    for limit, scale, unit in ((1e6, 1e-6, "MJ"), (1e3, 1e-3, "kJ"), (1, 1, "J")):
        if joules >= limit:
            return f"{figure(joules * scale)} {unit}"
    return f"{figure(joules * 1e3)} mJ"


def _peaks(db: Database, run: Run, found: Sequence[Extent]) -> None:
    """The largest memory that a reading saw, and what held clocks back."""
    most = [
        f"{shown(e.key, e.max)} {OWNERS.get(e.device, 'on ' + e.device)}"
        for e in found
        if e.key == "memory_bytes" and e.device != "host"
    ]
    if most:
        st.text(f"Most memory that a reading saw: {', '.join(most)}.")
    for device, shares in readings.shares(db, run.id, "throttle_reasons").items():
        st.text(f"{device}: {_throttling(shares)}.")


def _throttling(shares: dict[float, float]) -> str:
    """`clocks held back by power limit in 34 % of readings`."""
    words: dict[str, float] = {}
    for bits, share in shares.items():
        for word in throttled(int(bits)):
            words[word] = words.get(word, 0.0) + share
    told = [f"{word} in {100 * share:.0f} % of readings" for word, share in words.items()]
    return f"clocks held back by {', '.join(told)}" if told else "nothing held its clocks back"


def _charts(run: Run, found: Sequence[Extent]) -> None:
    first, last = min(e.first_at for e in found), max(e.last_at for e in found)
    mean_of_s = _mean_of_s(last - first)
    if mean_of_s:
        st.caption(f"Each point is the mean of {mean_of_s:.0f} s.")
    series = _series(store.configured().store, run.id, mean_of_s, _version(last, mean_of_s))
    grid = st.grid(3, min_column_width=280)
    for number, panel in enumerate(PANELS):
        of_panel = {at: series[at] for at in series if _belongs(at, panel)}
        if not of_panel:
            continue
        with grid.cell(), st.container(border=True, gap="small", key=f"readings-{number}"):
            st.markdown(f"**{panel.title}**")
            plot(
                _figure(run, of_panel, panel.key),
                key=f"plot-{run.id}-readings-{number}",
                height=CHART_HEIGHT,
                alt=f"{panel.title} by time",
            )


def _mean_of_s(seconds: float) -> float:
    return 0.0 if seconds <= WHOLE_S else float(math.ceil(seconds / MEANS))


def _version(last_at: float, mean_of_s: float) -> float:
    """Changes when there is something new to draw."""
    return last_at // mean_of_s if mean_of_s else last_at


@st.cache_data(ttl=60, max_entries=50, show_spinner=False)
def _series(
    folder: Path, run_id: str, mean_of_s: float, version: float
) -> dict[tuple[str, str], Series]:
    """Kept between polls: means over hours take half a second, and change rarely."""
    with database.opened(folder) as db:
        return readings.series(db, run_id, DRAWN, mean_of_s)


def _belongs(of: tuple[str, str], panel: Panel) -> bool:
    device, key = of
    return key == panel.key and device.partition(":")[0] in panel.devices


def _figure(run: Run, of_panel: dict[tuple[str, str], Series], key: str) -> charts.Drawing:
    unit, began = READINGS[key].unit, run.started_at or 0.0
    drawn = []
    for number, ((device, _), series) in enumerate(of_panel.items()):
        at, value = with_gaps(*series)
        scaled = value / 2**30 if unit == "GiB" else value
        drawn.append(charts.Curve(device, f"{run.id}.{device}.{key}", at - began, scaled, number))
    return charts.curves(drawn, y_title="", unit=unit, x_axis="time", awaited=run.active)


def with_gaps(
    at: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """With NaN where nothing was read for long, so that no line is drawn over it."""
    steps = np.diff(at)
    if not len(steps):
        return at, value
    gaps = np.flatnonzero(steps > max(GAP_S, 5 * float(np.median(steps))))
    return np.insert(at, gaps + 1, at[gaps]), np.insert(value, gaps + 1, np.nan)


def _missing(run: Run) -> None:
    """Which sources gave nothing at last, and why."""
    noted: dict[str, str] = run.facts.get("readings", {})
    if noted:
        st.markdown("**Not read**")
    for source, why in sorted(noted.items()):
        st.caption(f"{plain(source)}: {plain(why)}")
