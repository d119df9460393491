"""Where arms stand under the roofs of their devices, and what the TPU's compiler says is the most.

The roofline model (Williams, Waterman and Patterson, 2009): a step that does I FLOPs for each byte
it moves reaches at most min(peak, I x bandwidth). A bound is computed and not measured, so it is a
kind of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine import efficiency, statistics
from engine.config import RunConfig
from engine.problems import ConfigError
from engine.studies.question import Arm
from engine.tpu import chips, results
from engine.tpu.check import TpuCheck
from storage.database import Database
from storage.runs import Run


class Roof(NamedTuple):
    """Of all devices of an arm together."""

    name: str
    flops_per_s: float
    bytes_per_s: float
    source: str


class Point(NamedTuple):
    """An arm: medians over its repeats. `intensity` is in FLOPs per byte."""

    arm: str
    roof: str
    intensity: float
    flops_per_s: float


class Bound(NamedTuple):
    """The most that one chip allows the arms' step, by its compiler; nothing was measured."""

    name: str
    intensity: float
    flops_per_s: float
    step_s: float


@dataclass(frozen=True)
class Roofline:
    """`left_out` are arms without a point, each with the reason."""

    roofs: tuple[Roof, ...]
    points: tuple[Point, ...]
    bounds: tuple[Bound, ...]
    left_out: tuple[str, ...]


def of(db: Database, arms: Sequence[Arm], measured: Mapping[str, Sequence[Run]]) -> Roofline:
    """`measured` is arm -> its runs that succeeded."""
    roofs: dict[str, Roof] = {}
    points, left_out = [], []
    for arm in arms:
        found = _of_arm(arm.label, measured[arm.label])
        if isinstance(found, str):
            left_out.append(f"{arm.label}: {found}")
            continue
        roof, point = found
        roofs[roof.name] = roof
        points.append(point)
    bounds, of_chips = _bounds(db, arms)
    return Roofline((*roofs.values(), *of_chips), tuple(points), bounds, tuple(left_out))


def _of_arm(arm: str, measured: Sequence[Run]) -> tuple[Roof, Point] | str:
    """Or why there is none. The roof is the highest: a CPU's is measured, and others slow it."""
    found = [efficiency.of(run.facts) for run in measured]
    intensity = statistics.middle(one.intensity for one in found)
    achieved = statistics.middle(one.flops_per_s for one in found)
    peak = max((run.facts.get("peak_flops_per_s") or 0.0 for run in measured), default=0.0)
    moved = max((run.facts.get("peak_bytes_per_s") or 0.0 for run in measured), default=0.0)
    if intensity is None or achieved is None:
        return "its steps' FLOPs or bytes are not known" if measured else "no run succeeded"
    if not peak or not moved:
        return "no peak is known for its device in this precision"
    names = ", ".join(device["name"] for device in measured[0].devices)
    name = f"{names or measured[0].accelerator}, {measured[0].config['precision']}"
    source = measured[0].facts.get("peak_source") or ""
    return Roof(name, peak, moved, source), Point(arm, name, intensity, achieved)


def _bounds(db: Database, arms: Sequence[Arm]) -> tuple[tuple[Bound, ...], tuple[Roof, ...]]:
    """Of the arms' programs; arms that differ in the framework alone are one program."""
    checks = {
        (found.program, found.topology): (found, arm.config)
        for arm in arms
        for found in _checked(db, arm.config)
    }
    bounds, roofs = [], {}
    for found, config in checks.values():
        if not found.flops or not found.bytes or not found.bound_s:
            continue
        chip = chips.CHIPS[found.topology.partition(":")[0]]
        batch = f"batch {config.batch_size:,} on {results.where(found)}"
        name = f"TPU bound: {batch}"
        flops = float(found.flops)
        bounds.append(Bound(name, flops / found.bytes, flops / found.bound_s, found.bound_s))
        roof = f"TPU {chip.generation} chip, bf16"
        roofs[roof] = Roof(roof, chip.peak_flops, chip.hbm_bytes_per_s, "Google's documentation")
    return tuple(bounds), tuple(roofs.values())


def _checked(db: Database, config: RunConfig) -> list[TpuCheck]:
    """Empty for a config that no TPU could run."""
    try:
        return [found for _, found in results.of(db, config) if found.compiles]
    except ConfigError:
        return []
