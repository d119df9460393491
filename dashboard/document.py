"""The HTML document as which each page opens: Streamlit's own, told what it would have to find."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from dashboard import links
from dashboard.components import assets

PAGES_OF_CHARTS = ("run", "compare", "study")
_STREAMLITS = Path(streamlit.__file__).parent / "static" / "index.html"
# Streamlit looks for its server below the path of the page, and a fifth of a second later beside
# it. It is where the document's own scripts are.
_HEAD = """<head>
    <script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location).href }</script>"""
# Fetched as the page opens, not as its first chart comes.
_PRELOAD = f"""
    <link rel="preload" href="./{assets.PLOTLY_PATH}" as="script" />"""


def routes() -> list[BaseRoute]:
    """Of all pages. Raises ValueError if Streamlit's document has no place for what we tell it."""
    with_charts, plain = text(has_charts=True), text(has_charts=False)
    return [
        Route(links.path(page), partial(_serve, with_charts if page in PAGES_OF_CHARTS else plain))
        for page in links.PAGES
    ]


def text(*, has_charts: bool) -> str:
    told = {
        "<head>": _HEAD + (_PRELOAD if has_charts else ""),
        "<title>Streamlit</title>": "<title>Accelboard</title>",
    }
    document = _STREAMLITS.read_text("utf-8")
    for place, ours in told.items():
        if document.count(place) != 1:
            raise ValueError(f"{_STREAMLITS} has no single {place}. Pin the Streamlit before it.")
        document = document.replace(place, ours)
    return document


async def _serve(document: str, _: Request) -> HTMLResponse:
    return HTMLResponse(document, headers={"Cache-Control": "no-cache"})
