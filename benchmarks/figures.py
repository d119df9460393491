"""What benchmarks print: figures with what was wanted of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from engine import statistics


@dataclass(frozen=True)
class Figure:
    """`value` is None where it could not be had, and `note` says why. `low` to `high` is 95 %."""

    name: str
    value: float | None
    unit: str
    wanted: str
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        if self.value is None or not self.wanted:
            return None
        sign, bound = self.wanted.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def ratio(
    name: str, above: Sequence[float], below: Sequence[float], *, unit: str = "x", wanted: str
) -> Figure:
    """Ratio of medians, with its bootstrapped interval."""
    found = statistics.ratio(above, below)
    assert found is not None, "a ratio is of values"
    return Figure(name, found.value, unit, wanted, found.low, found.high, f"n = {len(above)}")


def show(figures: Iterable[Figure], as_json: bool) -> bool:
    """Print the figures as they come; whether none missed what was wanted."""
    found = []
    for figure in figures:
        found.append(figure)
        if as_json:
            click.echo(json.dumps(asdict(figure) | {"met": figure.is_met}))
    if not as_json:
        Console(width=None if Console().is_terminal else 140).print(_table(found))
    return not any(figure.is_met is False for figure in found)


def _table(figures: list[Figure]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("figure", "value", "95 % interval", "wanted", "met", "note"):
        right = heading in ("value", "95 % interval", "wanted")
        table.add_column(heading, justify="right" if right else "left")
    for one in figures:
        span = "" if one.low is None or one.high is None else f"{one.low:.3g} to {one.high:.3g}"
        met = {True: "yes", False: "NO", None: ""}[one.is_met]
        value = "—" if one.value is None else f"{one.value:.4g} {one.unit}"
        table.add_row(one.name, value, span, one.wanted, met, one.note)
    return table
