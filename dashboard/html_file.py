"""One HTML file that needs no network: what a report and a comparison are exported as."""

from __future__ import annotations

import html
from collections.abc import Iterable

import plotly.graph_objects as go

from dashboard.charts import Drawing
from dashboard.components.assets import plotly_js

STYLE = """
:root{color-scheme:light dark;--page:#fff;--text:#222;--line:#ddd;
--green:#00734f;--amber:#8a5a00;--red:#b00020}
@media (prefers-color-scheme:dark){:root{--page:#0f141b;--text:#e6e8eb;--line:#333a44;
--green:#4cc79a;--amber:#e0a84a;--red:#ff8a8a}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;
background:var(--page);color:var(--text);--accelboard-page:var(--page)}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid var(--line);vertical-align:top}.green{color:var(--green)}
.amber{color:var(--amber)}.red{color:var(--red)}.told{opacity:.7}.wide{overflow-x:auto}
"""
# Charts are drawn in the page's colours, also when the reader's theme changes.
PAINT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const style = getComputedStyle(document.documentElement);
  const [page, text, line] = ["page", "text", "line"].map((n) => style.getPropertyValue(`--${n}`));
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    const colors = { paper_bgcolor: page, plot_bgcolor: page, "font.color": text };
    for (const axis of Object.keys(chart._fullLayout).filter((n) => /^[xy]axis\\d*$/.test(n))) {
      for (const of of ["grid", "line", "zeroline"]) colors[`${axis}.${of}color`] = line;
    }
    Plotly.relayout(chart, colors);
  }
}
addEventListener("load", paint);
dark.addEventListener("change", paint);
"""


def page(title: str, parts: Iterable[str], style: str = "") -> bytes:
    """All of it, in UTF-8. `parts` are HTML, the title is text."""
    title = html.escape(title)
    head = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{STYLE}{style}</style><script>{plotly_js().plain.decode()}</script>",
        f"<h1>{title}</h1>",
    ]
    return "\n".join([*head, *parts, f"<script>{PAINT}</script>"]).encode()


def section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{body}"


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def reasons(checks: Iterable[tuple[str, str]]) -> str:
    """Sentences, each with its level: green, amber or red."""
    told = "".join(f"<li class={level}>{html.escape(sentence)}</li>" for level, sentence in checks)
    return f"<ul>{told}</ul>"


def table(rows: str) -> str:
    """One that is wider than a phone is scrolled by itself."""
    return f"<div class=wide><table>{rows}</table></div>"


def chart(figure: go.Figure | Drawing, height_px: int) -> str:
    """On pages the theme leaves room for what stands at the axes; here each axis makes it.

    A legend stands at the chart's foot, and takes its room from the plot however its lines wrap.
    """
    room = {"automargin": True, "title_standoff": 8}
    foot = {"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"}
    return (
        go.Figure(figure)
        .update_xaxes(room)
        .update_yaxes(room)
        .update_layout(legend=foot | {"maxheight": 0.6})
        .to_html(
            full_html=False,
            include_plotlyjs=False,
            default_height=f"{height_px}px",
            config={"displaylogo": False, "responsive": True},
        )
    )
