"""What runs were asked, where they ran and how they ended, side by side. Pure: no Streamlit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import pandas as pd

from dashboard import distinct, run_columns
from engine import efficiency, metrics
from engine.config import FRAMEWORK_NAMES
from engine.describe import (
    configuration,
    device_names,
    in_words,
    leaves,
    setting_name,
    throughput,
    took,
)
from engine.format import UNKNOWN, duration, figure, metric
from storage.fields import REPEATS
from storage.runs import Run

FIRST_METRICS = ("validation_accuracy", "validation_loss", "train_loss", "samples_per_s")
SAME_WITHIN = 1e-12  # of a value's size
ONE_DECIMAL = 0.001  # the least share that one decimal of a percentage tells
FEW_TIMES = 10.0  # from so many times the base's value on, a factor is told, not a percentage

CONFIGURATION = "Configuration"
METRIC = "metric."  # before its key, where a parameter could stand too

End = Literal["best", "last", "min", "max"]


class Cell(NamedTuple):
    """A figure of a run. `delta` is its distance from the base run's, "" where there is none."""

    value: float | None
    text: str
    delta: str = ""
    rank: Literal["best", "worst", ""] = ""


class Column(NamedTuple):
    """A figure of each run; `key` names it in the address, `raw_name` in a file."""

    key: str
    raw_name: str
    title: str
    cells: list[Cell]
    better: Literal["max", "min"] | None = None


class Difference(NamedTuple):
    """One key; `values` one for each run, None where it has none."""

    section: str
    key: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def metric_keys(picked: Sequence[Run]) -> list[str]:
    """Every metric that any of the runs has, what people look at first in front."""
    return sorted({key for run in picked for key in run.metrics}, key=_order)


def results(picked: Sequence[Run], base: Run, end: End) -> list[Column]:
    """One end of every metric, marked and with distances from the base; then MFU, if known."""
    at = list(picked).index(base)
    columns = [_column(picked, key, end, at) for key in metric_keys(picked)]
    shares = [efficiency.of(run.facts).mfu for run in picked]
    if any(shares):
        columns.append(
            Column("mfu", "mfu_share", "MFU", _cells(shares, "mfu", "%", "max", at), "max")
        )
    return columns


def _column(picked: Sequence[Run], key: str, end: End, base: int) -> Column:
    described = metrics.describe(key)
    if end == "best" and key == "samples_per_s":
        values, prefix = [throughput(run) for run in picked], "Steady"
        raw_name = f"steady_{key}"
    else:
        values = [run_columns.at_end(run, key, end) for run in picked]
        prefix = run_columns.told_end(key, end).capitalize()
        raw_name = f"{prefix.lower()}_{key}"
    title = f"{prefix} {described.title.lower()}"
    cells = _cells(values, key, described.unit, described.best, base)
    return Column(key, raw_name, title, cells, described.best)


def order(columns: Sequence[Column], key: str) -> Sequence[int]:
    """The places of the runs by a figure, the best first; empty, as they were picked, without."""
    found = [column for column in columns if column.key == key]
    return ranked(found[0]) if found else ()


def ranked(column: Column) -> list[int]:
    """The places of the runs, the best first; where neither end is better, the least. Unknown
    comes last."""
    sign = -1 if column.better == "max" else 1
    values = [cell.value for cell in column.cells]
    return sorted(
        range(len(values)),
        key=lambda place: ((v := values[place]) is None, sign * v if v is not None else 0.0),
    )


def _cells(
    values: Sequence[float | None], key: str, unit: str, better: str | None, base: int
) -> list[Cell]:
    known = [value for value in values if value is not None]
    apart = known and max(known) - min(known) > SAME_WITHIN * max(map(abs, known))
    marks: dict[float, Literal["best", "worst"]] = {}
    if apart and better:
        marks = {max(known): "best", min(known): "worst"}
        if better == "min":
            marks = {min(known): "best", max(known): "worst"}
    decimals = _decimals(known) if unit == "%" else 1
    return [
        Cell(
            value,
            _share(value, decimals) if unit == "%" else metric(key, value),
            "" if place == base else delta(value, values[base], unit, decimals),
            "" if value is None else marks.get(value, ""),
        )
        for place, value in enumerate(values)
    ]


def _share(value: float | None, decimals: int) -> str:
    return UNKNOWN if value is None else f"{100 * value:.{decimals}f} %"


def _decimals(shares: Sequence[float]) -> int:
    """One of a percentage, or two where shares are nearer than that: 99.96 and 100.00 %."""
    gaps = [above - below for below, above in pairwise(sorted(shares))]
    return 2 if any(SAME_WITHIN < gap < ONE_DECIMAL - SAME_WITHIN for gap in gaps) else 1


def delta(value: float | None, base: float | None, unit: str, decimals: int = 1) -> str:
    """`±0`, `+1.2 pt` for shares, `-3.4 %` for the rest, `×12` where it is many times the base.
    `decimals` are a share's."""
    if value is None or base is None:
        return ""
    if abs(value - base) <= SAME_WITHIN * max(abs(value), abs(base)):
        return "±0"
    if unit == "%":
        return f"{100 * (value - base):+.{decimals}f} pt"
    if base == 0:
        return ""
    times = value / base
    if times >= FEW_TIMES:
        return f"×{figure(times)}"
    return f"{100 * (value - base) / abs(base):+.1f} %"


def results_frame(picked: Sequence[Run], columns: Sequence[Column]) -> pd.DataFrame:
    """A row a run, values as they are: for a file."""
    rows = [
        {"id": run.id, "name": run.name, "status": run.status, "took_s": took(run)}
        | {column.raw_name: column.cells[place].value for column in columns}
        for place, run in enumerate(picked)
    ]
    return pd.DataFrame(rows)


def state(run: Run) -> tuple[str, str]:
    """Its status, and how long it took."""
    return run_columns.STATUS_MARKS[run.status], duration(took(run))


def differences(picked: Sequence[Run]) -> list[Difference]:
    """A row a key of the configuration, then of the environment, in which any run has it."""
    sections = {CONFIGURATION: configuration, "Environment": environment}
    found = []
    for section, of in sections.items():
        facts = [of(run) for run in picked]
        for key in dict.fromkeys(key for told in facts for key in told):
            found.append(Difference(section, key, tuple(told.get(key) for told in facts)))
    return found


def wanted(found: Sequence[Difference], *, every: bool, search: str) -> list[Difference]:
    """Those that differ, or all; of these, whose key holds each word of the search."""
    words = search.lower().split()
    return [
        row for row in found
        if (every or row.differs) and all(word in row.key.lower() for word in words)
    ]  # fmt: skip


def differences_frame(found: Sequence[Difference], picked: Sequence[Run]) -> pd.DataFrame:
    """A row a key, a column a run by its id, values as they are: for a file."""
    met = {run.id: {"device": device_names(run)} | leaves(run.environment) for run in picked}
    rows = [
        {"section": row.section.lower(), "key": row.key}
        | {run.id: run_columns.setting(run, row.key) if row.section == CONFIGURATION
           else met[run.id].get(row.key) for run in picked}
        for row in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["section", "key", *(run.id for run in picked)])


def environment(run: Run) -> dict[str, str]:
    """What the run met, by key; a part of a part has both names."""
    known = {key: value for key, value in leaves(run.environment).items() if value is not None}
    return {"device": device_names(run)} | {key: in_words(value) for key, value in known.items()}


def group_words(picked: Sequence[Run]) -> list[str]:
    """By what these runs can be grouped: what differs between some and is the same in some."""
    asked = _asked(picked)
    words = [word for word in _words(asked) if word != "seed"]
    found = [word for word in words if 1 < len(set(_told(asked, word))) < len(picked)]
    return ([REPEATS] if len(set(_told(asked, REPEATS))) < len(picked) else []) + found


def groups(picked: Sequence[Run], by: str) -> dict[str, list[Run]]:
    """The runs under what they have in common, in the order of the first of each."""
    members: dict[str, list[Run]] = {}
    for run, value in zip(picked, _told(_asked(picked), by), strict=True):
        members.setdefault(value, []).append(run)
    firsts = [runs[0] for runs in members.values()]
    if by != REPEATS:
        return {_group_name(by, value): runs for value, runs in members.items()}
    names = distinct.labels(firsts) if len(firsts) > 1 else {firsts[0].id: "All"}
    return {names[first.id]: members[v] for first, v in zip(firsts, members, strict=True)}


def _group_name(by: str, value: str) -> str:
    if by == "framework":
        return FRAMEWORK_NAMES.get(value, value)
    return value if by in ("device", "workload", "dataset") else f"{setting_name(by)} {value}"


def parameters(picked: Sequence[Run]) -> list[str]:
    """Keys that a chart can have as an axis: what differs between the runs first."""
    differ = differing(picked)
    same = [word for word in _words(_asked(picked)) if word not in differ]
    return [*differ, *sorted(same, key=lambda word: word == "seed")]


def differing(picked: Sequence[Run]) -> list[str]:
    """Of the parameters, those that are not the same in all runs; the seed last."""
    asked = _asked(picked)
    found = [word for word in _words(asked) if len(set(_told(asked, word))) > 1]
    return sorted(found, key=lambda word: word == "seed")


def telling_number(picked: Sequence[Run]) -> str | None:
    """The first parameter that is a number in all of the runs and not the same in all; of texts,
    many points of a chart lie on each other."""
    for word in differing(picked):
        if word != "seed" and all(isinstance(one, float) for one in values(picked, word, "best")):
            return word
    return None


def _asked(picked: Sequence[Run]) -> list[dict[str, str]]:
    """Of each run, where it ran and what it was asked."""
    return [{"device": device_names(run)} | configuration(run) for run in picked]


def _words(asked: Sequence[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(word for one in asked for word in one))


def _told(asked: Sequence[dict[str, str]], word: str) -> list[str]:
    if word == REPEATS:
        apart = {"device": "", "seed": ""}
        return [json.dumps(one | apart, sort_keys=True) for one in asked]
    return [one.get(word, UNKNOWN) for one in asked]


def values(picked: Sequence[Run], word: str, end: End) -> list[float | str | None]:
    """What each run has under a parameter, or of `metric.KEY` at that end; numbers if all are."""
    if word.startswith(METRIC):
        key = word.removeprefix(METRIC)
        return [run_columns.at_end(run, key, end) for run in picked]
    texts = _told(_asked(picked), word)
    try:
        return [None if text == UNKNOWN else float(text) for text in texts]
    except ValueError:
        return list(texts)


def title(word: str, end: End = "best") -> str:
    """Of a parameter, or of an end of a metric with its unit."""
    if not word.startswith(METRIC):
        return setting_name(word).capitalize()
    described = metrics.describe(key := word.removeprefix(METRIC))
    unit = f" ({described.unit})" if described.unit else ""
    return f"{run_columns.told_end(key, end).capitalize()} {described.title.lower()}{unit}"


def _order(key: str) -> tuple[int, str]:
    return (FIRST_METRICS.index(key) if key in FIRST_METRICS else len(FIRST_METRICS), key)
