"""Streamlit's scripts and styles: compressed once, and named in the pages that need them."""

from __future__ import annotations

import asyncio
import gzip
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard import links
from dashboard.components.assets import FOREVER, accepts_gzip

STATIC = Path(streamlit.__file__).parent / "static"
_FOLDER = STATIC / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_IMPORTED = re.compile(r'(?:from|import)\s*"\./([^"]+\.js)"')
# What Streamlit's script fetches for a page when it comes to draw that: widgets, by their names.
_OF_ALL = ("Html", "BidiComponent")
_OF_A_PAGE: dict[str, tuple[str, ...]] = {
    "": ("Button", "TextInput", "DataFrame"),
    "new": ("Button", "Selectbox", "TextInput", "ButtonGroup", "Multiselect", "TextArea"),
    "compare": ("DownloadButton", "Multiselect", "ButtonGroup", "Selectbox", "TextInput",
                "Checkbox"),
    "studies": ("Button", "TextInput", "ButtonGroup", "Selectbox", "Multiselect", "DataFrame"),
    "hardware": ("Button", "DataFrame"),
    "run": ("Button", "Metric", "ButtonGroup", "Slider", "TextInput"),
    "study": ("Button", "DownloadButton", "TextInput", "Selectbox", "DataFrame"),
}  # fmt: skip


def scripts(page: str) -> list[str]:
    """Paths, below the page's folder, of what a page will fetch when it is drawn: widgets, and
    what they import. Raises ValueError if Streamlit has no such widget."""
    found: dict[str, None] = {}
    waiting = [_file_of(widget) for widget in _widgets(page)]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += _imported(name)
    return [f"static/js/{name}" for name in found]


def styles(page: str) -> list[str]:
    """As `scripts`, of the widgets that have one."""
    found = (path for widget in _widgets(page) for path in (_FOLDER / "css").glob(f"{widget}.*"))
    return [f"static/css/{path.name}" for path in found]


def _widgets(page: str) -> tuple[str, ...]:
    return (*_OF_ALL, *_OF_A_PAGE[page])


def _file_of(widget: str) -> str:
    """Its name has a hash of what is in it."""
    found = list((_FOLDER / "js").glob(f"{widget}.*.js"))
    if len(found) != 1:
        raise ValueError(f"{_FOLDER} has no single {widget}. Pin the Streamlit before it.")
    return found[0].name


@cache
def _imported(name: str) -> list[str]:
    return _IMPORTED.findall((_FOLDER / "js" / name).read_text("utf-8"))


class Compressed:
    """Answers for Streamlit's scripts and styles, from memory, in a third of their size.

    Streamlit reads them from the disk piece by piece and sends them as they are: 4.5 MB in 110
    files to a browser that comes for the first time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._files = {
            links.path(path.relative_to(STATIC).as_posix()): path
            for path in _FOLDER.rglob("*")
            if path.suffix in _KINDS
        }
        self._answers: dict[str, Response] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope["path"]) if _may_be_compressed(scope) else None
        await (answer or self.app)(scope, receive, send)

    async def _answer(self, address: str) -> Response | None:
        """None for what is left to Streamlit."""
        if address not in self._files or address in self._answers:
            return self._answers.get(address)
        async with self._one_at_a_time:  # many readers may come after a restart
            if address not in self._answers:
                try:
                    answer = await asyncio.to_thread(_compressed, self._files[address])
                except OSError:  # another Streamlit was installed meanwhile
                    return None
                self._answers[address] = answer
        return self._answers[address]


def _compressed(path: Path) -> Response:
    return Response(
        gzip.compress(path.read_bytes(), 6, mtime=0),
        media_type=_KINDS[path.suffix],
        headers={
            "Cache-Control": FOREVER,  # its name changes with what is in it
            "Content-Encoding": "gzip",
            "Vary": "Accept-Encoding",
        },
    )


def _may_be_compressed(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    request = Request(scope)
    return accepts_gzip(request) and "range" not in request.headers
