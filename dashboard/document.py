"""The HTML document as which each page opens: Streamlit's own, told what it would have to find."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from dashboard import frontend, links
from dashboard.components import assets

PAGES_OF_CHARTS = ("run", "compare", "study")
_STREAMLITS = frontend.STATIC / "index.html"
# Streamlit looks for its server below the path of the page, and a fifth of a second later beside
# it. It is where the document's own scripts are.
_HEAD = """<head>
    <script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location).href }</script>"""
# Fetched as the page opens, not as its first chart comes.
_PRELOAD = f"""
    <link rel="preload" href="./{assets.PLOTLY_PATH}" as="script" />"""
# Fetched while Streamlit starts, not when it has come to what needs them.
_SCRIPT = """  <link rel="modulepreload" crossorigin href="./{}" />
  """
_STYLE = """  <link rel="preload" as="style" crossorigin href="./{}" />
  """


def routes() -> list[BaseRoute]:
    """Of all pages. Raises ValueError if Streamlit's document has no place for what we tell it."""
    return [Route(links.path(page), partial(_serve, text(page))) for page in links.PAGES]


def text(page: str) -> str:
    """The document of a page, by the page's path."""
    document = _STREAMLITS.read_text("utf-8")
    scripts = (_SCRIPT.format(one) for one in frontend.scripts(page) if one not in document)
    styles = (_STYLE.format(one) for one in frontend.styles(page))
    told = {
        "<head>": _HEAD + (_PRELOAD if page in PAGES_OF_CHARTS else ""),
        "<title>Streamlit</title>": "<title>Accelboard</title>",
        "</head>": "".join([*scripts, *styles, "</head>"]),
    }
    for place, ours in told.items():
        if document.count(place) != 1:
            raise ValueError(f"{_STREAMLITS} has no single {place}. Pin the Streamlit before it.")
        document = document.replace(place, ours)
    return document


async def _serve(document: str, _: Request) -> HTMLResponse:
    return HTMLResponse(document, headers={"Cache-Control": "no-cache"})
