"""A run's log, to read and search, and the files of its folder, to download."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import streamlit as st

from dashboard import clock, links, store, tables
from dashboard.run_import import ALONE
from dashboard.words import plain
from engine import launch, run_files
from engine.format import amount
from engine.run_files import RunFile
from storage.runs import Run

LOG_LINES = 400
LOG_HEIGHT = 320
WHAT = {
    "trainer.log": "What the trainer printed",
    "events.jsonl": "Journal: each event of the run, a JSON object a line",
    "checkpoint.safetensors": "Last checkpoint: weights and optimizer",
    "model.keras": "Trained model, as Keras saves it",
    "job.json": "What the trainer was given",
}


def log(run: Run) -> None:
    """The end of the log, or the lines that hold what is searched for."""
    path = launch.log_path(store.configured(), run)
    if not path.exists() or not path.stat().st_size:
        st.caption("The trainer has printed nothing.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input(
            "Search the log", key="log-search", bind="query-params",
            placeholder="Part of a line", max_chars=200,
        )  # fmt: skip
        st.markdown(_link(run, path.name, f"Download ({amount(path.stat().st_size, 'B')})"))
    if wanted.strip():
        _found(run_files.search(path, wanted.strip()))
    else:
        tail = launch.log_tail(store.configured(), run).splitlines()[-LOG_LINES:]
        st.code("\n".join(tail), language=None, height=LOG_HEIGHT, wrap_lines=True)


def _found(found: run_files.Found) -> None:
    if not found.lines:
        st.caption("No line of the log has that.")
        return
    st.code("\n".join(found.lines), language=None, height=LOG_HEIGHT, wrap_lines=True)
    count = f"{len(found.lines):,} lines" if len(found.lines) > 1 else "1 line"
    st.caption(count if found.is_all else f"The last {count}; there may be more in the file.")


def draw(run: Run) -> None:
    """Each file of the run's folder; and, once it is over, the run as one file."""
    if not run.active:
        whole = f"[Download the whole run]({links.path(f'export/{run.id}')})"
        st.markdown(f"{whole}: one file that another Accelboard imports. {ALONE}")
    listed = run_files.listed(store.configured(), run)
    if not listed:
        st.caption("No files yet." if run.active else "The run left no files.")
        return
    rows = [_row(run, file) for file in listed]
    tables.show(
        f"files-{run.id}",
        rows,
        raw=lambda: [_raw(run, file) for file in listed],
        height="content",
        column_config={
            "Download": st.column_config.LinkColumn(display_text="Download", width="small"),
            "Written": st.column_config.DatetimeColumn(
                format=clock.column_format([row["Written"] for row in rows])
            ),
        },
        alt="Files of the run",
    )


def _row(run: Run, file: RunFile) -> dict[str, Any]:
    return {
        "File": file.name,
        "What": WHAT.get(file.name, ""),
        "Size": amount(float(file.size_bytes), "B"),
        "Written": clock.cell(file.at),
        "Download": address(run, file.name),
    }


def _raw(run: Run, file: RunFile) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "file": file.name,
        "what": WHAT.get(file.name, ""),
        "size_bytes": file.size_bytes,
        "written_at": datetime.fromtimestamp(file.at, UTC),
    }


def address(run: Run, name: str) -> str:
    return links.path(f"files/{run.id}/{quote(name)}")


def _link(run: Run, name: str, label: str) -> str:
    return f"[{plain(label)}]({address(run, name)})"
