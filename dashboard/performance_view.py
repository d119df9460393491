"""How a run used its time and its hardware: the ledger, achieved FLOP/s, and what binds."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

from dashboard import charts, store, tables
from dashboard.components.plot import plot
from dashboard.words import plain
from engine import checkpoints, efficiency, launch
from engine.checkpoints import Unusable
from engine.config import PRECISIONS
from engine.describe import took
from engine.efficiency import Efficiency
from engine.format import UNKNOWN, duration, figure, gib
from storage.runs import Run

LEDGER_HEIGHT = 150
# Name, and place in the palette: what a run is for stands out.
ACCOUNTS = {
    "import": ("Import", 3),
    "data": ("Data", 6),
    "build": ("Build", 4),
    "compile": ("Compile", 1),
    "warm_up": ("Warm-up", 5),
    "input_wait": ("Input wait", 7),
    "compute": ("Compute", 0),
    "evaluation": ("Evaluation", 2),
    "checkpoint": ("Checkpoint", 8),
    "idle": ("Idle", 9),
}
EFFICIENCY_FACTS = (
    "steady_samples_per_s", "peak_memory_bytes", "parameters", "flops_per_step", "bytes_per_step",
    "peak_flops_per_s", "peak_bytes_per_s", "peak_source",
)  # fmt: skip
BINDS = {
    "compute": "Arithmetic: the step does enough of it for each byte it moves",
    "memory": "Memory traffic: the step does little arithmetic for each byte it moves",
}


def draw(run: Run) -> None:
    """What is known so far, or when it will be."""
    ledger = run.facts.get("ledger")
    if not ledger:
        st.caption(
            "The time ledger begins with the first epoch's end."
            if run.active
            else "This run has no time ledger: it ended before its trainer wrote one."
        )
    else:
        _ledger(run, ledger)
        _efficiency(run)
    _downloads(run)


def _ledger(run: Run, ledger: dict[str, float]) -> None:
    st.markdown("**Where the time went**")
    parts = [
        charts.Part(name, ledger[account], color)
        for account, (name, color) in ACCOUNTS.items()
        if ledger.get(account, 0.0) > 0
    ]
    plot(
        charts.shares(parts, unit="s"),
        key=f"plot-{run.id}-ledger",
        height=LEDGER_HEIGHT,
        alt="Seconds of the run by what they were spent on",
    )
    total, wall, compiles = sum(ledger.values()), took(run), run.facts.get("compiles")
    told = f"{duration(total)} accounted for"
    if not run.active and wall:
        told += f", {100 * total / wall:.1f} % of the {duration(wall)} that the run took"
    st.caption(f"{told}. Programs compiled: {UNKNOWN if compiles is None else compiles}.")


def _efficiency(run: Run) -> None:
    found = efficiency.of(run.facts)
    grid = st.grid(4, min_column_width=150)
    mfu = UNKNOWN if found.mfu is None else f"{100 * found.mfu:.1f} %"
    grid.metric("Steady throughput, samples/s", figure(run.facts.get("steady_samples_per_s")),
                border=True, height="stretch", help="Steps after the warm-up.")  # fmt: skip
    grid.metric("Achieved, GFLOP/s", figure(_giga(found.flops_per_s)), border=True,
                height="stretch", help="The steps' FLOPs over their time.")  # fmt: skip
    grid.metric("MFU", mfu, border=True, height="stretch",
                help="Model FLOPs utilisation: achieved over the device's peak.")  # fmt: skip
    grid.metric("Peak memory", gib(run.facts.get("peak_memory_bytes")), border=True,
                height="stretch", help=_memory_help(run))  # fmt: skip
    raw = {key: run.facts.get(key) for key in EFFICIENCY_FACTS} | asdict(found)
    tables.facts(f"efficiency-{run.id}", _rows(run, found), alt="How well the hardware was used",
                 raw=raw)  # fmt: skip


def _memory_help(run: Run) -> str:
    if run.accelerator == "cpu":
        return "The most that the trainer had resident, framework and data set included."
    return "The most that the framework had in use on the device."


def _rows(run: Run, found: Efficiency) -> dict[str, str]:
    facts = run.facts
    peak, bandwidth = _giga(facts.get("peak_flops_per_s")), _giga(facts.get("peak_bytes_per_s"))
    precision = run.config.get("precision", PRECISIONS["cpu"][0])
    return {
        "What binds": BINDS.get(found.binds or "", UNKNOWN),
        "Parameters": figure(facts.get("parameters")),
        "FLOPs per step, forward and backward": figure(facts.get("flops_per_step")),
        "Bytes per step, estimated, unfused": figure(facts.get("bytes_per_step")),
        "Arithmetic intensity": _with(found.intensity, "FLOPs/byte"),
        "Ridge of the device's roofline": _with(found.ridge, "FLOPs/byte"),
        f"Peak in {precision}": _with(peak, "GFLOP/s"),
        "Memory bandwidth": _with(bandwidth, "GB/s"),
        "Peaks are from": facts.get("peak_source") or UNKNOWN,
    }


def _with(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{figure(value)} {unit}"


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9


def _downloads(run: Run) -> None:
    """The trained weights, made of the last checkpoint when they are asked for."""
    path = launch.checkpoint_path(store.configured(), run)
    if not path.exists():
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        try:
            epoch = checkpoints.origin_of(path).epoch
        except Unusable as error:
            st.caption(plain(str(error)))
            return
        st.download_button(
            f"Weights after epoch {epoch:,} (safetensors)",
            lambda: checkpoints.weights(path),
            file_name=f"{run.id}.safetensors",
            icon=":material/download:",
            on_click="ignore",
        )
        model = path.with_name("model.keras")
        if model.exists():
            st.download_button(
                "Model (.keras)",
                model.read_bytes,
                file_name=f"{run.id}.keras",
                icon=":material/download:",
                on_click="ignore",
            )
