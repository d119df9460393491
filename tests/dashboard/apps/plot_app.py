"""An app of one page that polls: two growing curves, names that mean harm, a tab, a link button."""

import numpy as np
import streamlit as st

from dashboard import charts
from dashboard.components import assets
from dashboard.components.copy_link import copy_link
from dashboard.components.plot import plot

HOSTILE = (
    "<b>bold</b>",
    '<a href="javascript:alert(1)">click</a>',
    "<img src=x onerror=alert(1)>",
    "$x^2$ %{y} %{x}",
    "&amp; \"quoted\" 'so'",
    "line\nbreak",
    "resnet50 " * 22 + "end",
)


def figure(points: int, names: tuple[str, ...], **options):
    epochs = np.arange(1, points + 1)
    drawn = [
        charts.Curve(name, f"run{i}", epochs, 1 - 0.9 * np.exp(-epochs / (9 + 4 * i)), i)
        for i, name in enumerate(names)
    ]
    return charts.curves(
        drawn, y_title=options.pop("y_title", "Accuracy"), unit="%", x_axis="epoch"
    )


def page() -> None:
    names = tuple(st.query_params.get_all("name")) or ("first", "second")
    copy_link(key="copy")
    st.button("A button of Streamlit's", key="button")
    live(names)
    with st.container(key="names"):
        plot(figure(30, HOSTILE), key="hostile", height=320, alt="Names that mean harm")
    shown, hidden = st.tabs(["Shown", "Hidden"])
    shown.write("Shown")
    with hidden:
        plot(figure(30, ("alone",)), key="hidden", height=200, alt="In a tab")


@st.fragment(run_every=0.5)
def live(names: tuple[str, ...]) -> None:
    before = int(st.query_params.get("start", "10")) - 1
    st.session_state.points = st.session_state.get("points", before) + 1
    points = st.session_state.points
    st.html(f"<p id='points'>{points}</p>")
    with st.container(key="live"):
        plot(figure(points, names), key="live-plot", height=300, alt="Accuracy by epoch")


app = st.App(__file__, routes=assets.routes())
if __name__ == "__main__":
    page()
