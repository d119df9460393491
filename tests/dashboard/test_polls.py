"""Readers' polls take turns."""

import threading

from streamlit.testing.v1 import AppTest

from dashboard import polls

SCRIPT = """
import time
import streamlit as st
from dashboard.polls import polled

def draw(log, fails):
    with open(log, "a") as drawn:
        print("begin", file=drawn, flush=True)
        time.sleep(0.03)
        print("end", file=drawn, flush=True)
    polled(st.text, 1.0)("a part of a part")
    if fails:
        raise ValueError("a mistake")

polled(draw, 1.0)({log!r}, {fails})
"""
UNTIL_BOTH_BEGAN = "while open(log).read().count('begin') < 2: time.sleep(0.01)"


def run_at_once(pages):
    readers = [threading.Thread(target=page.run, daemon=True) for page in pages]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()


def test_one_readers_part_is_drawn_after_anothers(tmp_path, monkeypatch):
    monkeypatch.setattr(polls, "LONGEST_WAIT_S", 30.0)
    log = str(tmp_path / "drawn")

    def read(fails):
        return AppTest.from_string(SCRIPT.format(log=log, fails=fails), default_timeout=30)

    pages = [read(True), *(read(False) for _ in range(3))]
    run_at_once(pages)
    assert (tmp_path / "drawn").read_text().split() == ["begin", "end"] * len(pages)
    assert [len(page.exception) for page in pages] == [1, 0, 0, 0]
    assert [page.text[0].value for page in pages] == ["a part of a part"] * len(pages)


def test_a_long_draw_does_not_make_the_others_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(polls, "LONGEST_WAIT_S", 0.01)
    log = str(tmp_path / "drawn")
    script = SCRIPT.format(log=log, fails=False).replace("time.sleep(0.03)", UNTIL_BOTH_BEGAN)
    run_at_once([AppTest.from_string(script, default_timeout=30) for _ in range(2)])
    assert (tmp_path / "drawn").read_text().split() == ["begin", "begin", "end", "end"]
