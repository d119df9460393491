"""Tables as files: CSV, JSON, Parquet. They are written when they are asked for."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import streamlit as st

MIME = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
# Of text that people wrote: a spreadsheet would take such a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(
    name: str,
    frame: Callable[[], pd.DataFrame],
    *,
    type: Literal["secondary", "tertiary"] = "secondary",
) -> None:
    """A menu with the table in each format."""
    with st.popover("Download", icon=":material/download:", type=type, key=f"download-{name}"):
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
        rows = [
            {name: _as_json(cell) for name, cell in row.items()} for row in frame.to_dict("records")
        ]
        return json.dumps(rows, ensure_ascii=False, allow_nan=False).encode()
    buffer = io.BytesIO()
    frame.apply(_of_one_kind).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _as_json(cell: Any) -> Any:
    """With every digit: pandas' own writer keeps ten decimals, and makes 1e-12 a 0. What is not
    finite is none."""
    if isinstance(cell, Mapping):
        return {str(key): _as_json(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_as_json(part) for part in cell]
    if isinstance(cell, datetime):  # so is a date of pandas, and one that is none
        return None if pd.isna(cell) else cell.isoformat()
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _of_one_kind(column: pd.Series) -> pd.Series:
    """Parquet has a type a column: where numbers and texts are mixed, all are text."""
    kinds = {type(cell) for cell in column if not isinstance(cell, float | None)}
    numbers = any(isinstance(cell, float) and cell == cell for cell in column)
    if column.dtype != object or len(kinds | ({float} if numbers else set()) - {int}) < 2:
        return column
    return column.map(lambda cell: None if cell is None or cell != cell else str(cell))


def harmless(cell: object) -> object:
    """A list as text; text that looks like a formula behind an apostrophe."""
    if isinstance(cell, list):
        texts = [one if isinstance(one, str) else json.dumps(one, default=str) for one in cell]
        cell = ", ".join(texts)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
