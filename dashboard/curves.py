"""Curves of runs, from the store, against epoch, step, time or the clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import bands, charts, clock, points
from dashboard.bands import Band
from dashboard.charts import Curve, Drawing
from dashboard.components.plot import payload
from dashboard.links import LogAxis, XAxis
from dashboard.smoothing import smoothed
from engine.metrics import describe
from storage import database, metrics, runs
from storage.database import Database
from storage.runs import Run

# Charts of a run page: title, and what is drawn in it.
PANELS = {
    "Loss": ("train_loss", "validation_loss"),
    "Accuracy": ("train_accuracy", "validation_accuracy"),
    "Loss by step": ("step_loss",),
    "Throughput": ("samples_per_s",),
}
SHORT = {"train_loss": "training", "train_accuracy": "training"} | {
    "validation_loss": "validation",
    "validation_accuracy": "validation",
}
OTHERS = "Other curves"  # of keys without a prefix


@dataclass(frozen=True)
class CurveView:
    """How curves are drawn. `zone` names the reader's time zone; None is the server's."""

    x: XAxis = "epoch"
    smoothing: float = 0.0
    log: tuple[LogAxis, ...] = ()
    zone: str | None = None


class Line(NamedTuple):
    """A curve to be drawn."""

    run: Run
    key: str
    name: str
    color_index: int


def panels(keys: Collection[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Charts beside the first ones, by the part of their keys before a slash: title -> keys."""
    shown = {key for of_panel in PANELS.values() for key in of_panel}
    groups: dict[str, dict[str, tuple[str, ...]]] = {}
    for key in sorted(set(keys) - shown):
        prefix, slash, rest = key.partition("/")
        group = prefix if slash and prefix and rest else OTHERS
        groups.setdefault(group, {})[describe(key).title] = (key,)
    return groups


@lru_cache(maxsize=256)
def drawn(
    store: Path, run_id: str, _version: object, keys: tuple[str, ...], view: CurveView,
    height: int, alt: str,
) -> bytes:  # fmt: skip
    """A chart as the browser takes it, made once for all readers of one version of a run."""
    with database.opened(store) as db:
        run = runs.get(db, run_id)
        data = points.address([run_id], keys)
        return b"" if run is None else payload(of_run(db, run, keys, view), height, alt, data)


def version(run: Run) -> tuple[object, ...]:
    """Differs where the run's curves may."""
    return (run.last_seq, run.step, run.status, run.started_at)


def of_run(db: Database, run: Run, keys: tuple[str, ...], view: CurveView) -> Drawing:
    """One run's metrics in one chart; with smoothing, what was measured lies faint behind."""
    lines = [Line(run, key, SHORT.get(key, key), place) for place, key in enumerate(keys)]
    drawn, seam = _drawn(db, lines, view), _seam(run, view.x)
    return _figure(drawn, keys[0], view, seam=seam, awaited=run.active)


def _seam(run: Run, x_axis: XAxis) -> float | None:
    """Where on the axis the run took over from an earlier one."""
    if run.resumed_epoch is None:
        return None
    steps = run.resumed_epoch * run.total_steps / run.config.get("epochs", 1)
    where = {"epoch": run.resumed_epoch, "step": steps, "time": run.earlier_s, "clock": None}
    return where[x_axis]


def of_runs(
    db: Database,
    chosen: Sequence[Run],
    names: Mapping[str, str],
    key: str,
    view: CurveView,
    *,
    robust: bool = True,
    hidden: Collection[str] = (),
) -> Drawing:
    """One metric of many runs in one chart; `names` by run id. There is a legend elsewhere.

    With smoothing, what was measured lies faint behind. `hidden` are ids of runs that are not seen.
    """
    lines = [Line(run, key, names[run.id], place) for place, run in enumerate(chosen)]
    return _compared(_drawn(db, lines, view), key, view, robust, hidden)


def of_groups(
    db: Database,
    groups: Mapping[str, list[Run]],
    key: str,
    view: CurveView,
    *,
    robust: bool = True,
    hidden: Collection[str] = (),
) -> Drawing:
    """One metric of groups of runs, each as its median between its lowest and its highest. With
    smoothing, these are of smoothed runs."""
    drawn = []
    for place, (name, members) in enumerate(groups.items()):
        x, band = _band(db, members, key, view)
        ids = tuple(run.id for run in members)
        drawn.append(
            Curve(
                name, f"{name}.{key}", x, band.median, place, runs=ids, low=band.low, high=band.high
            )
        )
    return _compared(drawn, key, view, robust, hidden)


def _band(db: Database, members: list[Run], key: str, view: CurveView) -> tuple[NDArray[Any], Band]:
    """Runs take each epoch in a time of their own: against time, they meet at the same epoch."""
    found = [metrics.averages(db, run.id, key) for run in members]
    if view.x == "clock":
        found = [_own_averages(run, of) for run, of in zip(members, found, strict=True)]
    curves = [of.curve for of in found]
    x_of_each = [c.step.astype(np.float64) if view.x == "step" else c.epoch for c in curves]
    values = [
        smoothed(x, of.curve.value, view.smoothing, of.weight)
        for x, of in zip(x_of_each, found, strict=True)
    ]
    band = bands.of(list(zip(x_of_each, values, strict=True)))
    if view.x in ("step", "epoch"):
        return band.x, band
    begun = [(run.started_at or 0.0) - run.earlier_s for run in members]
    since = begun if view.x == "time" else [0.0] * len(members)
    taken = [(of.epoch, of.at - start) for of, start in zip(curves, since, strict=True)]
    x = bands.reached(band.x, taken)
    return (_dates(x, view.zone) if view.x == "clock" else x), band


def _compared(
    drawn: list[Curve], key: str, view: CurveView, robust: bool, hidden: Collection[str]
) -> Drawing:
    """Curves without points are left out: not every run has every metric."""
    drawn = [curve for curve in drawn if len(curve.y)]
    return _figure(drawn, key, view, legend=False, robust=robust, hidden=hidden)


def latest(db: Database, run: Run, key: str, count: int = 50) -> list[float]:
    """The last values of a metric, for a sparkline."""
    return metrics.latest(db, run.id, key, count)


def _drawn(db: Database, lines: Sequence[Line], view: CurveView) -> list[Curve]:
    """What was measured, with every peak; with smoothing that is faint, and averages lie on it."""
    measured = [_curve(line, metrics.outline(db, line.run.id, line.key), view) for line in lines]
    if not view.smoothing:
        return measured
    faint = [replace(c, faint=True, run_id=f"{c.run_id}.measured") for c in measured]
    return [*faint, *(_smooth(db, line, view) for line in lines)]


def _smooth(db: Database, line: Line, view: CurveView) -> Curve:
    """Of averages: the outline of a long curve is its extremes, whose mean is not the curve's."""
    found, weight = metrics.averages(db, line.run.id, line.key)
    curve = _curve(line, found, view)
    x = curve.x
    if x.dtype.kind == "M":
        x = (x - x[:1]) / np.timedelta64(1, "s")
        weight = weight[_own(line.run, found)]
    return replace(curve, y=smoothed(x.astype(np.float64), curve.y, view.smoothing, weight))


def _curve(line: Line, found: metrics.Curve, view: CurveView) -> Curve:
    run = line.run
    begun = (run.started_at or 0.0) - run.earlier_s  # without the time between a stop and a resume
    if view.x == "clock":
        own = _own(run, found)
        x, y = _dates(found.at[own], view.zone), found.value[own]
    else:
        axes = {"epoch": found.epoch, "step": found.step, "time": found.at - begun}
        x, y = axes[view.x], found.value
    identity = f"{run.id}.{line.key}"
    return Curve(line.name, identity, x, y, line.color_index, runs=(run.id,), key=line.key)


def _own(run: Run, found: metrics.Curve) -> NDArray[np.bool_]:
    """Another run's points, which this one took over, have no time of day here."""
    taken_over_until = run.started_at if run.resumed_epoch is not None else None
    return found.at >= (taken_over_until or 0.0)


def _own_averages(run: Run, found: metrics.Averages) -> metrics.Averages:
    curve, own = found.curve, _own(run, found.curve)
    taken = metrics.Curve(curve.step[own], curve.epoch[own], curve.at[own], curve.value[own])
    return metrics.Averages(taken, found.weight[own])


def _dates(at: NDArray[np.float64], zone: str | None) -> NDArray[Any]:
    """Unix seconds as the dates that a clock in the zone shows, of type datetime64."""
    shown = clock.zone(zone) or datetime.now().astimezone().tzinfo  # None would be UTC to pandas
    dates = pd.to_datetime(at, unit="s", utc=True).tz_convert(shown)
    return dates.tz_localize(None).to_numpy().astype("datetime64[ms]")


def _figure(drawn: list[Curve], key: str, view: CurveView, **options: Any) -> Drawing:
    return charts.curves(
        drawn, y_title="", unit=describe(key).unit, x_axis=view.x, log_y="y" in view.log,
        log_x="x" in view.log, **options,
    )  # fmt: skip
