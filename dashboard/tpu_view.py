"""What the TPU's compiler says of a config: a choice, a button, the results kept so far."""

from __future__ import annotations

import streamlit as st

from dashboard import clock, links, store
from dashboard.words import plain
from engine.config import RunConfig
from engine.format import amount, step_time
from engine.tpu import chips, results
from engine.tpu.background import Checks, Ticket
from engine.tpu.check import TpuCheck
from storage.runs import Run

POLL_S = 1.0
TOPOLOGY = "tpu-topology"


@st.cache_resource
def _checks() -> Checks:
    """One for the server: a check outlives the page that started it."""
    return Checks()


def of_run(run: Run) -> None:
    """The results for a run's program, or how to get one."""
    try:
        config = RunConfig.parse(run.config)
    except ValueError as error:
        st.caption(f"This version cannot check the run. {plain(str(error))}")
    else:
        panel(config)


def panel(config: RunConfig) -> None:
    """Check a config's step, looking again every second while the compiler is at work."""
    chosen = st.session_state.get(TOPOLOGY, _given())
    ticket = _checks().ticket(store.configured(), config, chosen)
    busy = ticket is not None and not ticket.over
    st.fragment(_panel, run_every=POLL_S if busy else None)(config, busy)


def _panel(config: RunConfig, was_busy: bool) -> None:
    topology = _topology()
    ticket = _checks().ticket(store.configured(), config, topology)
    busy = ticket is not None and not ticket.over
    if busy != was_busy:
        st.rerun()  # the whole page, which sets the timer
    st.button(
        "Checking" if busy else "Check for TPU",
        icon=":material/memory:",
        key="tpu-check",
        disabled=busy,
        on_click=_checks().start,
        args=(store.configured(), config, topology),
    )
    if ticket is not None:
        _progress(ticket)
    with store.opened() as db:
        kept = results.of(db, config)
    for at, found in kept:
        _result(found, at)
    if not kept and not busy:
        st.caption(
            "Compiles the training step with the TPU's own compiler; no TPU is needed. The first "
            "check installs the compiler, about 1 GB."
        )
    if (config.framework, config.accelerator) != ("torch_xla", "tpu"):
        st.caption("Checked as the same run would be under PyTorch/XLA on a TPU.")


def _given() -> str:
    """The slice of the address."""
    given = st.query_params.get("tpu", "")
    return given if given in chips.TOPOLOGIES else chips.DEFAULT_TOPOLOGY


def _topology() -> str:
    chosen = st.selectbox(
        "TPU",
        chips.TOPOLOGIES,
        index=chips.TOPOLOGIES.index(_given()),
        key=TOPOLOGY,
        help="Generation and shape of the slice. A run on one device uses one chip of it.",
    )
    links.put(tpu=None if chosen == chips.DEFAULT_TOPOLOGY else chosen)
    return chosen


def _progress(ticket: Ticket) -> None:
    if ticket.failure:
        st.error(plain(ticket.failure), icon=":material/error:")
    elif not ticket.over:
        st.status(plain(ticket.doing), state="running")


def _result(found: TpuCheck, at: float) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(
                results.verdict(found).capitalize(),
                icon=":material/check_circle:" if found.fits else ":material/error:",
                color="green" if found.fits else "red",
            )
            st.text(results.where(found))
        if found.message:
            st.code(found.message, language=None, wrap_lines=True)
        grid = st.grid(2, min_column_width=120)
        grid.metric(f"HBM needed, of {results.available(found)}", results.needed(found))
        grid.metric("Step time, at least", step_time(found.bound_s))
        grid.metric("FLOPs a step", amount(found.flops, "FLOP"))
        grid.metric("HBM traffic a step", amount(found.bytes, "B"))
        when = clock.at(at).strftime("%Y-%m-%d %H:%M %Z")
        bound = f"Bound by {results.binding(found)}. The time is {results.caveat(found)}. "
        several = f"All figures are each chip's, {results.SEVERAL_CHIPS}. "
        each = several if found.chips > 1 else ""
        known = bound if found.binds else ""
        held = f"{results.beside(found)} of the HBM are the data set as it was loaded. "
        st.caption(plain(f"{known}{held}{each}{found.compiler}, {when}."))
