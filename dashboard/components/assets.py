"""Routes that serve what our components load in the browser: plotly.js, once a page."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dashboard import links

PLOTLY_JS = Path(__file__).parents[1] / "vendor" / "plotly-basic-4.1.1.min.js"
"""Lines and bars are all we draw: a quarter of the whole library, which a browser has to parse."""

PLOTLY_PATH = f"assets/{PLOTLY_JS.name}"
"""Relative, so that it resolves beside any page of ours, under a base URL path too."""

FOREVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    plain: bytes
    gzipped: bytes
    etag: str


@cache
def plotly_js() -> Asset:
    """Read and compress plotly.js: about 0.05 s, so `routes` does it before the first request."""
    plain = PLOTLY_JS.read_bytes()
    return Asset(plain, gzip.compress(plain, 6, mtime=0), hashlib.sha256(plain).hexdigest()[:16])


def routes() -> list[BaseRoute]:
    """What `st.App(routes=...)` needs for our components to work."""
    plotly_js()
    return [Route(links.path(PLOTLY_PATH), serve_plotly)]


async def serve_plotly(request: Request) -> Response:
    asset = plotly_js()
    gzipped = accepts_gzip(request)
    tag = f'"{asset.etag}{"-gzip" if gzipped else ""}"'
    headers = {"Cache-Control": FOREVER, "ETag": tag, "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if gzipped:
        headers["Content-Encoding"] = "gzip"
    body = asset.gzipped if gzipped else asset.plain
    return Response(body, media_type="text/javascript", headers=headers)


def accepts_gzip(request: Request) -> bool:
    codings = request.headers.get("accept-encoding", "").replace(" ", "").lower().split(",")
    weights = {name: weight for name, _, weight in (one.partition(";q=") for one in codings)}
    return "gzip" in weights and weights["gzip"] not in ("0", "0.", "0.0", "0.00", "0.000")
