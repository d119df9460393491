"""A Plotly chart that keeps the reader's zoom and hidden traces while new points arrive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st
from _plotly_utils.utils import convert_to_base64
from plotly.io.json import to_json_plotly
from streamlit.components.v2 import component

from dashboard.charts import Drawing
from dashboard.components import assets

_HERE = Path(__file__).parent
_mount = component(
    "accelboard_plot",
    html=_HERE.joinpath("plot.html").read_text("utf-8"),
    css=_HERE.joinpath("plot.css").read_text("utf-8"),
    js=_HERE.joinpath("plot.js").read_text("utf-8"),
    isolate_styles=False,  # Plotly writes its stylesheet into the document's head
)


def plot(figure: go.Figure | Drawing, *, key: str, height: int, alt: str) -> None:
    """Draw `figure` at the width it is given, `height` pixels high.

    `key` is the chart's identity: the same key on the next run updates the chart in place.
    What the reader did is kept as long as the layout's `uirevision` and each trace's `uid` stay.
    `alt` names the chart for a screen reader; say what it shows, not that it is a chart.
    The figure's template is dropped: Streamlit's theme, light or dark, takes its place.
    """
    mount(payload(figure, height, alt), key=key, height=height)


def mount(
    data: bytes, *, key: str, height: int, on_hidden: Callable[[list[str]], None] | None = None
) -> None:
    """Draw what `payload` made, now or at an earlier poll.

    `on_hidden` is called with what is hidden when a name in a legend is pressed: ids of runs, or
    keys of curves.
    """

    def note() -> None:
        if on_hidden:
            on_hidden(st.session_state[key].hidden)

    _mount(key=key, height=height, data=data, on_hidden_change=note)


def payload(figure: go.Figure | Drawing, height: int, alt: str, data: str = "") -> bytes:
    """JSON as bytes: a mapping would be serialised twice more on the way, for each chart a poll.

    The arrays of a drawing are encoded in place.
    `data` is the address of the chart's data as a CSV file; without one, it has what is drawn.
    """
    drawn = figure.to_dict() if isinstance(figure, go.Figure) else figure
    parts = drawn | {"layout": drawn["layout"] | {"template": None}}
    convert_to_base64(parts)
    head = json.dumps({"script": assets.PLOTLY_PATH, "height": height, "alt": alt, "data": data})
    return f'{head[:-1]}, "figure": {to_json_plotly(parts)}}}'.encode()
