"""The HTML document that each page opens as: Streamlit's own, with what it has to find out told."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from dashboard import links
from dashboard.components import assets

PAGES_OF_CHARTS = ("run", "compare", "study")
_STREAMLITS = Path(streamlit.__file__).parent / "static" / "index.html"
# Streamlit looks for its server below the page's own path first, and a fifth of a second later
# beside it. It is where the document's own scripts are.
_HEAD = """<head>
    <script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location).href };</script>"""
_PRELOAD = f"""
    <link rel="preload" href="./{assets.PLOTLY_PATH}" as="script" />"""


def routes() -> list[BaseRoute]:
    return [Route(links.path(page), partial(_serve, page)) for page in links.PAGES]


async def _serve(page: str, _: Request) -> HTMLResponse:
    return HTMLResponse(
        text(page in PAGES_OF_CHARTS), headers={"Cache-Control": "no-cache"}
    )


@cache
def text(has_charts: bool) -> str:
    """With charts, the browser fetches plotly.js as the page opens, not as the first chart comes.

    Raises ValueError if this version of Streamlit's document has no place for what we tell.
    """
    told = {
        "<head>": _HEAD + (_PRELOAD if has_charts else ""),
        "<title>Streamlit</title>": "<title>Accelboard</title>",
    }
    document = _STREAMLITS.read_text("utf-8")
    for place, ours in told.items():
        if document.count(place) != 1:
            raise ValueError(f"{_STREAMLITS} has no single {place}: pin an earlier Streamlit")
        document = document.replace(place, ours)
    return document
