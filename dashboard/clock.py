"""Times of day as the reader's own clock shows them, wherever the server is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def zone(name: str | None) -> ZoneInfo | None:
    """The zone of that name; None, the server's own, where it is not known here."""
    try:
        return ZoneInfo(name or "")
    except (ZoneInfoNotFoundError, ValueError):
        return None


def at(unix_s: float) -> datetime:
    """That moment in the zone of whoever reads the page that is drawn."""
    return datetime.fromtimestamp(unix_s, UTC).astimezone(zone(st.context.timezone))


def cell(unix_s: float) -> datetime:
    """The same for a table, which would show what has a zone in UTC."""
    return at(unix_s).replace(tzinfo=None)


def column_format(cells: Sequence[datetime]) -> str:
    """Of a column of `cell`s: to the second, or with the year where that is not this one."""
    this_year = at(time.time()).year
    is_recent = all(one.year == this_year for one in cells)
    return "D MMM, HH:mm:ss" if is_recent else "D MMM YYYY, HH:mm"
