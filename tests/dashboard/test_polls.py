"""Readers' polls take turns."""

import threading

from streamlit.testing.v1 import AppTest

SCRIPT = """
import time
import streamlit as st
from dashboard.polls import polled

def draw(log, fails):
    with open(log, "a") as drawn:
        print("begin", file=drawn, flush=True)
        time.sleep(0.1)
        print("end", file=drawn, flush=True)
    polled(st.text, None)("a part of a part")
    if fails:
        raise ValueError("a mistake")

polled(draw, 1.0)({log!r}, {fails})
"""


def test_one_readers_part_is_drawn_after_anothers(tmp_path):
    log = str(tmp_path / "drawn")

    def read(fails):
        return AppTest.from_string(SCRIPT.format(log=log, fails=fails), default_timeout=30)

    pages = [read(True), *(read(False) for _ in range(3))]
    readers = [threading.Thread(target=page.run) for page in pages]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert (tmp_path / "drawn").read_text().split() == ["begin", "end"] * len(pages)
    assert [len(page.exception) for page in pages] == [1, 0, 0, 0]
    assert [page.text[0].value for page in pages] == ["a part of a part"] * len(pages)
