"""The pages, by name: `clicks.go_to(pages.RUN, id=run_id)`."""

import copy
from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent


def _page(file: str, title: str, icon: str, **options: object) -> st.Page:
    return st.Page(HERE / file, title=title, icon=f":material/{icon}:", **options)  # pyright: ignore


RUNS = _page("runs.py", "Runs", "list", default=True)
NEW = _page("new_run.py", "New run", "add_circle", url_path="new")
RUN = _page("run.py", "Run", "show_chart", url_path="run", visibility="hidden")
COMPARE = _page("compare.py", "Compare", "stacked_line_chart", url_path="compare")
HARDWARE = _page("hardware.py", "Hardware", "memory", url_path="hardware")
STUDIES = _page("studies.py", "Studies", "science", url_path="studies")
STUDY = _page("study.py", "Study", "science", url_path="study", visibility="hidden")
ALL = (RUNS, NEW, COMPARE, STUDIES, HARDWARE, RUN, STUDY)


def of_a_reader() -> list[st.Page]:
    """The pages for one script run: a page notes in itself whether it may be run, so that readers
    who come at the same moment must not share it."""
    return [copy.copy(page) for page in ALL]
