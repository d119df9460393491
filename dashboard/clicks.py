"""What a click does: once, and said in place if it cannot be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import streamlit as st

from dashboard import store
from dashboard.words import plain
from engine import store_problems
from engine.launch import NotPossible, UnknownRun
from engine.problems import ConfigError

REFUSED = (ConfigError, NotPossible, UnknownRun)


@contextmanager
def in_words(done: Callable[[], str] = lambda: "Nothing was changed.") -> Iterator[None]:
    """Leave the block at what cannot be done, say it in a sentence, and draw the rest of the page.

    `done` says what was done until the store failed.
    """
    try:
        yield
    except REFUSED as error:
        _say(str(error))
    except (OSError, sqlite3.Error) as error:
        _say(f"{done()} {store_problems.sentence(error, store.configured().store)}")


def _say(sentence: str) -> None:
    st.error(plain(sentence), icon=":material/error:")


class _Submission:
    """What one click has made. Two clicks run in two threads, so one waits for the other."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: str | None = None


def submit(key: str, clicked: bool, make: Callable[[], str], page: st.Page) -> None:
    """At a click, make something and go to its page; `make` returns its id.

    A second click before the page is left leads to what the first one made. Once the page is drawn
    without a click, as when the reader comes back to it, the next click makes another.
    """
    key = f"submission-{key}"
    if not clicked:
        st.session_state[key] = _Submission()
        return
    submission: _Submission = st.session_state.setdefault(key, _Submission())
    with in_words():
        with submission.lock:
            if submission.made is None:
                submission.made = make()
        st.switch_page(page, query_params={"id": submission.made})
