"""The web server: our own routes, what is prepared once at start, how an error looks."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import quote

import psutil
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.routing import Route

from dashboard import document, links, points, saved_views
from dashboard.components import assets
from dashboard.frontend import Compressed
from dashboard.plain_page import UnknownPage, plain_page
from engine import launch, run_files, settings, transfer
from engine.run_files import RunFile
from storage import database, views
from storage.views import View

NAVIGATION = Path(__file__).parent / "pages" / "navigation.py"
# Imported as the first reader comes, and then kept out of every later collection.
PIECE_BYTES = 1 << 20
WARM_MODULES = ("pandas", "plotly.graph_objects", "plotly.io", "streamlit.dataframe_util")

log = logging.getLogger("accelboard")


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """Bring the store up to date and start its supervisor; then warm up, while we answer."""
    configured = settings.load()
    database.prepare(configured.store)
    launch.ensure_supervisor(configured, as_configured=True)
    send_at_once()
    warming = asyncio.create_task(asyncio.to_thread(warm_up))
    try:
        yield
    finally:
        await warming


def send_at_once() -> None:
    """Let what follows a small message not wait for the browser to confirm that.

    Streamlit opens its socket in a way in which asyncio leaves Nagle's algorithm on, and every poll
    then takes 40 ms longer. Connections take the option from the socket that accepts them.
    """
    try:
        listening = [
            one.fd
            for one in psutil.Process().net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        ]
    except psutil.Error:
        log.info("Listening sockets are not known here, so polls take a little longer")
        return
    for descriptor in listening:
        with socket.socket(fileno=os.dup(descriptor)) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def warm_up() -> None:
    """Import what pages need, and freeze it.

    Streamlit collects garbage after every script run. With what never dies frozen, a poll's
    collection takes a fraction of the time.
    """
    try:
        for module in WARM_MODULES:
            importlib.import_module(module)
    except ImportError:
        log.exception("Pages will fail: run `make run` again to install what is missing")
    gc.collect()
    gc.freeze()


async def whose(_: Request) -> PlainTextResponse:
    """Which store this dashboard shows: a second `make run` asks before it starts another."""
    return PlainTextResponse(str(settings.load().store))


async def to_runs(_: Request) -> RedirectResponse:
    """The Runs page is the start page; this keeps its name as an address."""
    return RedirectResponse(links.path())


def say_sorry(error: BaseException) -> bool:
    """A page that broke says so in words; what broke it goes to the server's log."""
    log.error("A page failed", exc_info=error)
    st.error(
        "This page could not be shown. Nothing was changed. The server's log says why; "
        "reload to try again.",
        icon=":material/error:",
    )
    return True


async def to_run(request: Request) -> RedirectResponse:
    """The address that people guess for a run."""
    return RedirectResponse(links.path("run", {"id": request.path_params["run_id"]}))


async def to_view(request: Request) -> RedirectResponse | HTMLResponse:
    """A saved view's short link."""
    view_id = str(request.path_params["view_id"])
    found = await asyncio.to_thread(_view, view_id)
    if found is None:
        sentence = f"There is no view {view_id[:40]!r} in this store. Ask for a new link."
        return plain_page("Not found", sentence, 404)
    where = saved_views.address(found)
    if where is None:
        sentence = (
            f"View {found.name!r} was saved by a later version. Update Accelboard to open it."
        )
        return plain_page("A later version's view", sentence, 409)
    return RedirectResponse(where)


async def to_export(request: Request) -> StreamingResponse | HTMLResponse:
    """A whole run as one file."""
    run_id = str(request.path_params["run_id"])
    try:
        file, size_bytes = await asyncio.to_thread(_exported, run_id)
    except launch.UnknownRun as error:
        return plain_page("Not found", str(error), 404)
    except launch.NotPossible as error:
        return plain_page("Not yet", str(error), 409)
    except OSError as error:
        sentence = f"The file cannot be written: {error}. Make room on the store's disk."
        return plain_page("Not exported", sentence, 507)
    return _sent(_pieces(file, size_bytes), size_bytes, f"{run_id}{transfer.SUFFIX}")


def _exported(run_id: str) -> tuple[IO[bytes], int]:
    """A file without a name: it is gone once it is sent, or the reader is."""
    configured = settings.load()
    file = TemporaryFile(dir=configured.store)  # noqa: SIM115  closed by who sends it
    try:
        transfer.export(configured, run_id, file)
    except BaseException:
        file.close()
        raise
    size_bytes = file.tell()
    file.seek(0)
    return file, size_bytes


async def to_file(request: Request) -> StreamingResponse | HTMLResponse:
    """A file of a run's folder. It is sent in pieces: a checkpoint may be larger than memory."""
    run_id, name = str(request.path_params["run_id"]), str(request.path_params["name"])
    found = await asyncio.to_thread(_file, run_id, name)
    if found is None:
        return plain_page(
            "Not found",
            f"No file {name[:80]!r} of a run {run_id[:40]!r} here. The run's Files tab lists what "
            "there is.",
            404,
        )
    pieces = _pieces(found.path.open("rb"), found.size_bytes)
    return _sent(pieces, found.size_bytes, f"{run_id}-{found.path.name}")


def _sent(pieces: Iterator[bytes], size_bytes: int, name: str) -> StreamingResponse:
    head = {
        "content-length": str(size_bytes),
        "content-disposition": f"attachment; {_named(name)}",
    }
    return StreamingResponse(pieces, headers=head, media_type="application/octet-stream")


def _named(name: str) -> str:
    """As RFC 6266 has it; a name that a header cannot hold as it is, is escaped."""
    escaped = quote(name, safe="")
    return f'filename="{name}"' if escaped == name else f"filename*=UTF-8''{escaped}"


def _pieces(file: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    """As much of it as there was when it was asked for: a log grows on."""
    with file:
        while size_bytes and (piece := file.read(min(size_bytes, PIECE_BYTES))):
            size_bytes -= len(piece)
            yield piece


def _file(run_id: str, name: str) -> RunFile | None:
    configured = settings.load()
    with database.opened(configured.store) as db:
        try:
            run = launch.find(db, run_id)
        except launch.UnknownRun:
            return None
    return run_files.of_name(configured, run, name)


def _view(view_id: str) -> View | None:
    with database.opened(settings.load().store) as db:
        return views.get(db, view_id)


MIDDLEWARE = (Middleware(Compressed), Middleware(UnknownPage))
ROUTES = (
    Route(links.path("v/{view_id}"), to_view),
    Route(links.path("export/{run_id}"), to_export),
    Route(links.path("files/{run_id}/{name:path}"), to_file),
    Route(links.path(points.PATH), points.to_points),
    Route(links.path("runs"), to_runs),
    Route(links.path("run/{run_id}"), to_run),
    Route(links.path("_accelboard"), whose),
    *assets.routes(),
    *document.routes(),
)
