"""Columns of the table of runs: each a word of the query language, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import clock
from engine import metrics
from engine.config import FRAMEWORK_NAMES, flatten
from engine.describe import device_names, setting_name, throughput, took
from engine.format import duration
from engine.queries import ALIASES
from storage.fields import ENDS, PATH
from storage.runs import Run, Summary

STATUS_MARKS = {
    "PENDING": "◔ Pending",
    "RUNNING": "▶ Running",
    "SUCCEEDED": "✓ Succeeded",
    "FAILED": "✕ Failed",
    "STOPPED": "■ Stopped",
}
DEFAULT = ("status", "name", "framework", "device", "progress", "accuracy", "speed", "took",
           "submitted", "tags")  # fmt: skip
# With data sets side by side, accuracies alone would say little.
OF_DATA_SETS = (*DEFAULT[:4], "dataset", *DEFAULT[4:])
OWN: dict[str, Callable[[Run], Any]] = {
    "status": lambda run: STATUS_MARKS[run.status],
    "name": lambda run: run.name,
    "framework": lambda run: FRAMEWORK_NAMES.get(run.framework, run.framework),
    "accelerator": lambda run: run.accelerator,
    "device": device_names,
    "workload": lambda run: run.workload,
    "dataset": lambda run: run.dataset,
    "user": lambda run: run.submitted_by,
    "host": lambda run: run.host,
    "failure": lambda run: run.failure_kind,
    "notes": lambda run: run.notes,
    "priority": lambda run: run.priority,
    "progress": lambda run: min(1.0, run.step / run.total_steps),
    "speed": lambda run: _rounded(throughput(run)),
    "took": lambda run: duration(took(run)),
    "submitted": lambda run: clock.cell(run.submitted_at),
    "tags": lambda run: list(run.tags),
}
# In a file: values as they are, under names with their unit, where that is not what is shown.
RAW: dict[str, tuple[str, Callable[[Run], Any]]] = {
    "status": ("status", lambda run: run.status),
    "framework": ("framework", lambda run: run.framework),
    "progress": ("progress_share", lambda run: run.step / run.total_steps),
    "speed": ("steady_samples_per_s", throughput),
    "took": ("took_s", took),
    "submitted": ("submitted_at", lambda run: datetime.fromtimestamp(run.submitted_at, UTC)),
}
# Pixels: with these, the default columns lie side by side in a window of 1280.
WIDTHS = {"status": 104, "name": 166, "framework": 112, "device": 112, "dataset": 108,
          "progress": 84, "accuracy": 108, "speed": 84, "took": 88, "submitted": 116}  # fmt: skip
# What a column is sorted by, where its own name is no word of the query language.
SORTED_BY = {"tags": "tag"}


def options(metric_keys: Sequence[str], config_keys: Sequence[str]) -> list[str]:
    """All there are: those of every run, then each end of each metric, then the config's keys."""
    of_metrics = [
        f"{end}.{key}"
        for key in metric_keys
        for end in ENDS
        if key not in ALIASES and (end != "best" or metrics.describe(key).best)
    ]
    of_config = [f"config.{key}" for key in config_keys if key not in OWN]
    return [*OWN, *ALIASES, *of_metrics, *of_config]


def _rounded(speed: float | None) -> float | None:
    """Whole samples a second; of a slow run also parts of one, which would be shown as 0."""
    return speed and round(speed, None if speed >= 10 else 2)


def cell(run: Run, word: str) -> Any:
    """What a run has under that word; None if nothing."""
    if word in OWN:
        return OWN[word](run)
    if word.startswith("config."):
        return setting(run, word.removeprefix("config."))
    return figure(run, word)


def setting(run: Run, key: str) -> Any:
    """A key of the config: a number as such, all else as text."""
    value: Any = run.config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return flatten(run.config).get(key)


def number(run: Run, word: str) -> float | None:
    """A figure of a run, or its speed or time: what has a distance from the baseline's."""
    if word in ("speed", "took"):
        return RAW[word][1](run)
    return figure(run, word)


def has_distance(word: str) -> bool:
    return is_figure(word) or word in ("speed", "took")


def unit(word: str) -> str:
    """As metrics have it: "%" for shares."""
    return metrics.describe(metric_of(word)[0]).unit if is_figure(word) else ""


def is_share(word: str) -> bool:
    return unit(word) == "%"


def raw(run: Run, words: Sequence[str], baseline: Run | None) -> dict[str, Any]:
    """A row of a file: values as they are, and beside each its distance from the baseline's."""
    row: dict[str, Any] = {"id": run.id}
    for word in words:
        name, value = RAW.get(word, (raw_name(word), lambda run, word=word: cell(run, word)))
        row[name] = value(run)
        if baseline and has_distance(word):
            own, base = number(run, word), number(baseline, word)
            row[f"delta_{name}"] = None if own is None or base is None else own - base
    return row


def raw_name(word: str) -> str:
    """`best_validation_accuracy`, `config.batch_size`; metrics' keys have their units."""
    if not is_figure(word):
        return RAW[word][0] if word in RAW else word
    key, end = metric_of(word)
    return f"{told_end(key, end)}_{key}"


def figure(run: Run, word: str) -> float | None:
    """One end of a metric: `accuracy`, `last.train_loss`."""
    return at_end(run, *metric_of(word))


def at_end(run: Run, key: str, end: str) -> float | None:
    """Of the metric with that very key, which may be a word for another one, such as `accuracy`."""
    summary = run.metrics.get(key)
    return None if summary is None else _end(key, end, summary)


def told_end(key: str, end: str) -> str:
    """What is shown as the best of a metric that has no better end is its last."""
    return "last" if end == "best" and not metrics.describe(key).best else end


def metric_of(word: str) -> tuple[str, str]:
    """(key, end) of a word that names a metric."""
    end, dot, key = word.partition(".")
    if not dot or end not in ENDS:
        end, key = "best", word
    return ALIASES.get(key, key), end


def is_column(word: str, metric_keys: Collection[str]) -> bool:
    """Whether a run can have something under that word, given the metrics that there are."""
    if word in OWN or (word.startswith("config.") and PATH.fullmatch(word)):
        return True
    key, _ = metric_of(word)
    return key in metric_keys or key in metrics.METRICS


def is_figure(word: str) -> bool:
    return word not in OWN and not word.startswith("config.")


def title(word: str) -> str:
    """`Last training loss`, `Best accuracy`, `Batch size`."""
    if word == "accuracy":
        return "Best accuracy"
    if word == "speed":
        return "Samples/s"
    if is_figure(word):
        key, end = metric_of(word)
        return f"{told_end(key, end).capitalize()} {metrics.describe(key).title.lower()}"
    return setting_name(word.removeprefix("config.")).capitalize()


def shown(word: str, cells: Sequence[Any], pinned: bool = False) -> Any:
    """How Streamlit shows a column with these cells."""
    column = st.column_config
    about: dict[str, Any] = {"label": title(word), "pinned": pinned or None}
    if word in WIDTHS:
        about["width"] = WIDTHS[word]
    if word == "progress":
        return column.ProgressColumn(**about, format="percent")
    if word == "submitted":
        return column.DatetimeColumn(**about, format=clock.column_format(cells))
    if word == "tags":
        return column.ListColumn(**about)
    if word == "speed":
        return column.NumberColumn(**about, format="localized")
    if word == "took":
        return column.TextColumn(**about, alignment="right")
    if word == "priority" or (are_numbers(cells) and word.startswith("config.")):
        return column.NumberColumn(**about, format="plain")
    if is_figure(word):  # "percent" would leave out zeros at the end: 88.1 under 88.15
        return column.NumberColumn(**about, format="%.2f %%" if is_share(word) else "localized")
    return column.TextColumn(**about)


def are_numbers(cells: Sequence[Any]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, (int, float)) for cell in known)


def _end(key: str, end: str, summary: Summary) -> float | None:
    if end != "best":
        return getattr(summary, end)
    best = metrics.best(key, summary.min, summary.max)
    return summary.last if best is None else best
