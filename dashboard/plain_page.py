"""A page of ours that is no page of Streamlit's: what a link says that leads nowhere."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import links

WORDMARK = Path(__file__).parent / "brand" / "wordmark.svg"
STYLE = """
:root{color-scheme:light dark;--ink:#1a2230;--paper:#fff;--line:#d9dfe7;--link:#1d5fd1}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--paper:#0f141b;--line:#2e3845;--link:#7db0ff}}
body{font:15px/1.5 "Source Sans",system-ui,sans-serif;color:var(--ink);background:var(--paper);
margin:0}header{padding:.9rem 1.5rem;border-bottom:1px solid var(--line)}
header svg{height:1.6rem;width:auto}
main{max-width:44rem;padding:2rem 1.5rem}h1{font-size:1.6rem;font-weight:650;margin:0 0 .5rem}
p{overflow-wrap:anywhere}a{color:var(--link)}
"""


@cache
def _wordmark() -> str:
    return WORDMARK.read_text("utf-8")


def plain_page(title: str, sentence: str, status: int) -> HTMLResponse:
    """The sentence under the title, and a way back. Both are text."""
    start = html.escape(links.path())
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)} · Accelboard</title><style>{STYLE}</style>"
        f"<header><a href='{start}' aria-label='Accelboard'>{_wordmark()}</a></header>"
        f"<main><h1>{html.escape(title)}</h1><p>{html.escape(sentence)}</p>"
        f"<p><a href='{start}'>All runs</a></p></main>",
        status_code=status,
    )


class UnknownPage:
    """Answers a path that is no page: Streamlit answers all of them, with its start page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or links.is_page(scope["path"]):
            await self.app(scope, receive, send)
            return
        is_start_page = False

        async def send_others(message: Message) -> None:
            nonlocal is_start_page
            is_start_page = is_start_page or _is_start_page(message)
            if not is_start_page:
                await send(message)

        await self.app(scope, receive, send_others)
        if is_start_page:
            asked = scope["path"].removeprefix(links.base()).strip("/")
            answer = plain_page("Not found", f"There is no page {asked[:80]!r} here.", 404)
            await answer(scope, receive, send)


def _is_start_page(message: Message) -> bool:
    """HTML to be shown: what is to be saved, such as a report, names its file."""
    if message["type"] != "http.response.start" or message["status"] != 200:
        return False
    headers = dict(message["headers"])
    is_html = headers.get(b"content-type", b"").startswith(b"text/html")
    return is_html and b"content-disposition" not in headers
