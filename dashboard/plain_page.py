"""A page of ours that is no page of Streamlit's: what a link says that leads nowhere."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse

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
