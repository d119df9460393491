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
from typing import Any
from urllib.parse import urlencode

import psutil
import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route

from dashboard import points, saved_views
from dashboard.components import assets
from engine import launch, run_files, settings
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
    return RedirectResponse("/")


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
    return RedirectResponse(f"/run?{urlencode({'id': request.path_params['run_id']})}")


async def to_view(request: Request) -> RedirectResponse | PlainTextResponse:
    """A saved view's short link."""
    view_id = str(request.path_params["view_id"])
    found = await asyncio.to_thread(_view, view_id)
    if found is None:
        return PlainTextResponse(
            f"No view {view_id[:40]!r} in this store. Ask for a new link, or go to the runs at /.",
            status_code=404,
        )
    where = saved_views.address(found)
    if where is None:
        return PlainTextResponse(
            f"View {view_id!r} was saved by a later version. Update Accelboard to open it.",
            status_code=409,
        )
    return RedirectResponse(where)


async def to_file(request: Request) -> StreamingResponse | PlainTextResponse:
    """A file of a run's folder. It is sent in pieces: a checkpoint may be larger than memory."""
    run_id, name = str(request.path_params["run_id"]), str(request.path_params["name"])
    found = await asyncio.to_thread(_file, run_id, name)
    if found is None:
        return PlainTextResponse(
            f"No file {name[:80]!r} of a run {run_id[:40]!r} here. The run's Files tab lists what "
            "there is.",
            status_code=404,
        )
    head = {
        "content-length": str(found.size_bytes),
        "content-disposition": f'attachment; filename="{run_id}-{found.path.name}"',
    }
    return StreamingResponse(_pieces(found), headers=head, media_type="application/octet-stream")


def _pieces(file: RunFile) -> Iterator[bytes]:
    """As much of it as there was when it was asked for: a log grows on."""
    left = file.size_bytes
    with file.path.open("rb") as opened:
        while left and (piece := opened.read(min(left, PIECE_BYTES))):
            left -= len(piece)
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


ROUTES = (
    Route("/v/{view_id}", to_view),
    Route("/files/{run_id}/{name:path}", to_file),
    Route(f"/{points.PATH}", points.to_points),
    Route("/runs", to_runs),
    Route("/run/{run_id}", to_run),
    Route("/_accelboard", whose),
    *assets.routes(),
)
