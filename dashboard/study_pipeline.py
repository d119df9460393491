"""What the wait for samples costs, as rows of text: for the page and the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.study_table import estimate
from engine.format import UNKNOWN
from engine.studies import arms, pipeline
from engine.studies.pipeline import Probe
from engine.studies.report import Report

TITLE = "What the wait for samples costs"
CAPTION = (
    "What a loader's ledger says removing its input wait would give (steps over compute), and how "
    "much faster the data set on the device then was."
)


def of(shown: Report) -> list[Probe]:
    """Empty for another kind of study, and before a loader's run is over."""
    found = pipeline.probes(shown.question, arms.compared(shown.cards))
    return found if any(probe.promised or probe.gave for probe in found) else []


def rows(found: Sequence[Probe]) -> dict[str, list[str]]:
    """Facts down, loaders across."""
    return {
        "Waits for samples": [
            UNKNOWN if one.waited_share is None else f"{100 * one.waited_share:.0f} % of steps"
            for one in found
        ],
        "Without the wait, promised": [
            UNKNOWN if one.promised is None else f"{one.promised:.2f}x" for one in found
        ],
        "On the device, measured": [
            estimate(one.gave, lambda ratio: f"{ratio:.2f}x") for one in found
        ],
    }


def raw(found: Sequence[Probe]) -> list[dict[str, Any]]:
    """A row a loader, values as they are: for a file."""
    return [
        {
            "arm": one.arm,
            "waited_share": one.waited_share,
            "promised_speedup": one.promised,
            "measured_speedup_median": one.gave and one.gave.value,
            "measured_speedup_low": one.gave and one.gave.low,
            "measured_speedup_high": one.gave and one.gave.high,
        }
        for one in found
    ]
