"""State <-> URL. What a page shows is in its address, so that the address can be shared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import streamlit as st

XAxis = Literal["epoch", "step", "time", "clock"]
X_AXES: tuple[XAxis, ...] = cast(tuple[XAxis, ...], get_args(XAxis))
MAX_COMPARED = 50


def run_id() -> str:
    """The run of the address. The browser's Back leaves it the parameters of the page it was on."""
    named = (st.query_params.get(name) for name in ("id", "clone", "runs"))
    return next(filter(None, named), "")


def compared() -> list[str]:
    """Ids of the runs to compare, each once, in the order of the address."""
    given = ",".join(st.query_params.get_all("runs")).split(",")
    return list(dict.fromkeys(filter(None, given)))


def x_axis() -> XAxis:
    """What curves are drawn against; an unknown word is taken for the default."""
    given = st.query_params.get("x", "epoch")
    return cast(XAxis, given) if given in X_AXES else "epoch"


def page_number() -> int:
    """Which page of a list, from 1; any other word is taken for the first."""
    given = st.query_params.get("page", "1")
    return int(given) if given.isascii() and given.isdigit() and 0 < int(given) < 10**6 else 1


def unknown_path(known: Collection[str], address: str | None) -> str | None:
    """The path of the address, if no page has it."""
    asked = urlsplit(address or "").path.strip("/")
    return asked if asked and asked not in known else None


def put(**parameters: str | Sequence[str] | None) -> None:
    """Bring the address in line with what is shown; None takes a parameter out."""
    for name, value in parameters.items():
        if not value:
            st.query_params.pop(name, None)
            continue
        values = [value] if isinstance(value, str) else list(value)
        if values != st.query_params.get_all(name):
            st.query_params[name] = values
