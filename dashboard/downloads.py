"""Tables as files: CSV, JSON, Parquet. They are written when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable

import pandas as pd
import streamlit as st

MIME = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
# Of text that people wrote: a spreadsheet would take such a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(name: str, frame: Callable[[], pd.DataFrame]) -> None:
    """A menu with the table in each format."""
    with st.popover("Download", icon=":material/download:"):
        for suffix, mime in MIME.items():
            st.download_button(
                suffix.upper(),
                data=lambda suffix=suffix: written(frame(), suffix),
                file_name=f"{name}.{suffix}",
                mime=mime,
                key=f"download-{name}-{suffix}",
                on_click="ignore",
            )


def written(frame: pd.DataFrame, suffix: str) -> bytes:
    if suffix == "csv":
        return frame.map(harmless).to_csv(index=False).encode()
    if suffix == "json":
        text = frame.to_json(orient="records", date_format="iso", force_ascii=False)
        return str(text).encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def harmless(cell: object) -> object:
    """A list as text; text that looks like a formula behind an apostrophe."""
    if isinstance(cell, list):
        cell = ", ".join(map(str, cell))
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
