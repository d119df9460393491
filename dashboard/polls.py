"""Parts of a page that are drawn again at intervals, for one reader after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

P = ParamSpec("P")

LONGEST_WAIT_S = 0.25  # for somebody's long draw; after that, side by side
_turn = threading.RLock()


def polled(draw: Callable[P, None], every_s: float | None) -> Callable[P, None]:
    """A fragment that is drawn again every so many seconds, or never with None.

    Each reader's script is a thread, and only one of them runs Python at a time. Side by side, all
    that are due end about when the last one does; in turn, half of them have long ended by then.
    """
    if every_s is None:
        return st.fragment(draw)

    @wraps(draw)
    def in_turn(*args: P.args, **kwargs: P.kwargs) -> None:
        has_turn = _turn.acquire(timeout=LONGEST_WAIT_S)
        try:
            draw(*args, **kwargs)
        finally:
            if has_turn:
                _turn.release()

    return st.fragment(in_turn, run_every=every_s)
