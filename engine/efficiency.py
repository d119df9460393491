"""How well a run used its hardware: achieved FLOP/s, MFU, and which roof binds.

From a run's facts alone, so that a run of years ago is judged by the figures of its day. The
roofline is Williams, Waterman and Patterson's (2009); MFU is as PaLM's authors (2022) have it:
model FLOPs by the clock, over the device's peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Efficiency:
    """What is unknown is None. `intensity` and `ridge` are FLOPs per byte."""

    flops_per_s: float | None
    mfu: float | None
    intensity: float | None
    ridge: float | None
    binds: Literal["compute", "memory"] | None
    roof_flops_per_s: float | None


def of(facts: Mapping[str, Any]) -> Efficiency:
    """From `flops_per_step`, `bytes_per_step`, `steady_steps`, `steady_s` and the peaks."""
    flops, moved = facts.get("flops_per_step"), facts.get("bytes_per_step")
    peak, bandwidth = facts.get("peak_flops_per_s"), facts.get("peak_bytes_per_s")
    achieved = _over(flops and flops * (facts.get("steady_steps") or 0), facts.get("steady_s"))
    intensity, ridge = _over(flops, moved), _over(peak, bandwidth)
    roof = None
    if peak and bandwidth and intensity:
        roof = min(peak, bandwidth * intensity)
    return Efficiency(
        flops_per_s=achieved,
        mfu=_share(achieved, peak),
        intensity=intensity,
        ridge=ridge,
        binds=_binds(intensity, ridge),
        roof_flops_per_s=roof,
    )


def _binds(intensity: float | None, ridge: float | None) -> Literal["compute", "memory"] | None:
    if intensity is None or ridge is None:
        return None
    return "compute" if intensity >= ridge else "memory"


def _share(achieved: float | None, peak: float | None) -> float | None:
    """Unknown where it would be over 1: then what was taken for the peak is none."""
    share = _over(achieved, peak)
    return None if share and share > 1 else share


def _over(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None
