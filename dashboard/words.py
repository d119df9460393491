"""Text from users is data: shown as it is, never as markup."""

from __future__ import annotations

import html
import re

import streamlit as st

STATUS_COLORS = {
    "PENDING": "orange",
    "RUNNING": "blue",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "STOPPED": "violet",
}
STATUS_ICONS = {
    "PENDING": "schedule",
    "RUNNING": "play_circle",
    "SUCCEEDED": "check_circle",
    "FAILED": "error",
    "STOPPED": "stop_circle",
}
# Streamlit writes these as arrows, dashes and the like, and a colon with a word as an emoji or an
# icon; `09:30` is neither.
SIGN = re.compile(r"(?<!\S)(<|>|~|-)(->|-|>|=)(?!\S)")
SHORTCODE = re.compile(r":(?=\S)(?!\d+(?![\w+:-]))")
# Every mark that Markdown or Streamlit's extensions of it could take for their own.
MARKUP = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """Text for a place that reads Markdown, so that it shows as it is, in one line.

    Streamlit turns `:word:` into an emoji or an icon and ` <= ` into one sign even behind a
    backslash; a word joiner, which has no width, keeps their parts apart.
    """
    joined = SHORTCODE.sub(":\u2060", " ".join(text.split()))
    joined = SIGN.sub("\\1\u2060\\2", joined)
    return MARKUP.sub(r"\\\1", joined)


def as_written(text: str) -> None:
    """A text of several lines, literally; line breaks and spaces as they are."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere"
    st.html(f'<div style="{style}">{html.escape(text)}</div>')


def title(text: str, *, kicker: str = "") -> None:
    """The page's heading, literally; line breaks and spaces as they are."""
    above = f'<div class="kicker">{html.escape(kicker)}</div>' if kicker else ""
    st.html(
        "<style>[data-testid=stStatusWidget]{display:none}"  # its Stop stops the page, not a run
        # A table's own tools lie over what stands above it; its download is of what is shown.
        "[data-testid=stElementToolbar]{display:none}"
        ".page-title{font-size:1.6rem;font-weight:650;line-height:1.25;margin:0;padding:0;"
        "white-space:pre-wrap;overflow-wrap:anywhere}.kicker{font-size:.8rem;opacity:.65}</style>"
        f'{above}<h1 class="page-title">{html.escape(text)}</h1>'
    )


def status_badge(status: str) -> None:
    st.badge(
        status.capitalize(),
        icon=f":material/{STATUS_ICONS[status]}:",
        color=STATUS_COLORS[status],  # pyright: ignore[reportArgumentType]
    )
