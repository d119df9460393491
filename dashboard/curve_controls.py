"""How curves are drawn, as widgets that keep it in the address."""

from __future__ import annotations

import streamlit as st

from dashboard import links

LOG_TITLES = {"x": "Log x", "y": "Log y"}


def log_axes(prefix: str = "") -> tuple[links.LogAxis, ...]:
    """Which axes are logarithmic."""
    log = st.pills(
        "Logarithmic axes", links.LOG_AXES, default=list(links.log_axes()), key=f"{prefix}log",
        selection_mode="multi", label_visibility="collapsed", format_func=LOG_TITLES.__getitem__,
    )  # fmt: skip
    links.put(log=list(log))
    return tuple(log)


def smoothing(prefix: str = "") -> float:
    """From 0, which is none."""
    weight = st.slider(
        "Smoothing", 0.0, links.MOST_SMOOTHED, links.smoothing(), 0.01, key=f"{prefix}smooth",
        label_visibility="collapsed", width=220, format="Smoothing %.2f",
        help="Moving average, weighted by the distance on the x axis.",
    )  # fmt: skip
    links.put(smooth=f"{weight:g}" if weight else None)
    return weight
