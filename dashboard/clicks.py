"""What a click does: once, and said in place if it cannot be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

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


def go_to(page: st.Page, **parameters: str | Sequence[str]) -> NoReturn:
    """Show another page instead; its address has the parameters.

    Until the browser hears of that, it goes on asking for the fragments of the page that it shows.
    A slow one is answered after the other page's run, and then takes the answer for the way back,
    and shows nothing. So those fragments are forgotten first.
    """
    context = get_script_run_ctx()
    assert context is not None, "pages lead to each other while one is run"
    context.fragment_storage.clear()
    st.switch_page(page, query_params=parameters)


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
        go_to(page, id=submission.made)
