"""The report card as rows of text: the page and the file show the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.format import UNKNOWN, amount, duration, figure, gib, in_a_row
from engine.statistics import Estimate
from engine.studies import cost, windows
from engine.studies.cost import Cost, Prices
from engine.studies.measured import Card


def rows(cards: Sequence[Card], prices: Prices | None = None) -> dict[str, list[str]]:
    """Facts down, arms across. A median stands with its 95 % interval."""
    facts = {name: [of(card) for card in cards] for name, of in _FACTS.items()}
    if prices is None or not prices.given:
        return facts
    costs = [cost.of(card, prices) for card in cards]
    return facts | {name: [of(one) for one in costs] for name, of in _COSTS.items()}


def notes(cards: Sequence[Card], prices: Prices | None = None) -> list[str]:
    """What is said below the card: what its percentiles are of, and what is not known and why."""
    no_energy = {c.arm: c.energy_provenance for c in cards if c.energy_j is None}
    told = [*_windows(cards), *_not_known("Energy", no_energy, len(cards))]
    if prices is None or not prices.given:
        return told
    costs = {card.arm: cost.of(card, prices) for card in cards}
    no_cost = {arm: of.why_not for arm, of in costs.items() if of.why_not}
    return [*told, *_not_known("Cost", no_cost, len(cards))]


def _windows(cards: Sequence[Card]) -> list[str]:
    """A mean over a window hides what one step took."""
    found = [card.windows for card in cards if card.windows]
    return (
        [f"p50, p95 and p99: of the means of {windows.in_words(found)} each arm."] if found else []
    )


def _not_known(what: str, whys: Mapping[str, str], of_arms: int) -> list[str]:
    """Why it is not known of arms: a sentence for each reason."""
    arms: dict[str, list[str]] = {}
    for arm, why in whys.items():
        arms.setdefault(why, []).append(arm)
    if len(arms) == 1 and len(whys) == of_arms:
        return [f"{what}: {why}." for why in arms]
    return [f"{what} of {in_a_row(names)}: {why}." for why, names in arms.items()]


def raw(cards: Sequence[Card], prices: Prices) -> list[dict[str, Any]]:
    """A row an arm, values as they are: for a file."""
    return [_raw(card, cost.of(card, prices) if prices.given else None) for card in cards]


def _raw(card: Card, of: Cost | None) -> dict[str, Any]:
    p50, p95, p99, count, steps = card.windows or (None,) * 5
    row = {
        "arm": card.arm,
        "accelerator": card.accelerator,
        "devices": card.devices,
        "runs_asked": card.asked,
        "runs_succeeded": len(card.repeats),
        "runs_failed": len(card.failures),
        "standing": card.standing,
        **_ends("speedup", card.speedup),
        **_ends("samples_per_s", card.samples_per_s),
        **_ends("step_time_ms", card.step_time_ms),
        "window_step_time_ms_p50": p50,
        "window_step_time_ms_p95": p95,
        "window_step_time_ms_p99": p99,
        "windows": count,
        "window_steps": steps,
        **_ends("took_s", card.took_s),
        **_ends("time_to_target_s", card.time_to_target_s),
        "final_accuracy": card.final_accuracy,
        "peak_memory_bytes": card.peak_memory_bytes,
        "mfu_share": card.mfu,
        "energy_j": card.energy_j,
        "energy_per_sample_j": card.joules_per_sample,
        "energy_source": card.energy_provenance,
    }
    if of is None:
        return row
    return row | _ends("cost_usd", of.usd) | {"cost_of_all_usd": of.all_usd, "co2_g": of.co2_g}


def _ends(name: str, value: Estimate | None) -> dict[str, float | None]:
    """The median and its 95 % interval."""
    found = (None, None, None) if value is None else value[:3]
    return dict(zip((f"{name}_median", f"{name}_low", f"{name}_high"), found, strict=True))


def estimate(value: Estimate | None, shown: Callable[[float], str] = figure) -> str:
    """`251 (248 to 260)`; the median alone where there are too few repeats for an interval."""
    if value is None:
        return UNKNOWN
    if value.low is None or value.high is None:
        return shown(value.value)
    return f"{shown(value.value)} ({shown(value.low)} to {shown(value.high)})"


def _repeats(card: Card) -> str:
    failed = f", {len(card.failures)} failed" if card.failures else ""
    return f"{len(card.repeats)} of {card.asked}{failed}"


def _speedup(card: Card) -> str:
    if card.speedup is None:
        return card.no_speedup
    return estimate(card.speedup, lambda ratio: f"{ratio:.2f}x")


def _percentiles(card: Card) -> str:
    found = card.windows
    if found is None:
        return UNKNOWN
    return " / ".join(figure(value) for value in (found.p50_ms, found.p95_ms, found.p99_ms))


def _target(card: Card) -> str:
    if card.time_to_target_s is None:
        return card.target
    return estimate(card.time_to_target_s, duration)


def _energy(card: Card) -> str:
    """With its source: figures from different ones do not compare."""
    if card.energy_j is None:
        return UNKNOWN
    return f"{amount(card.energy_j, 'J')} ({card.energy_provenance})"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def _memory(card: Card) -> str:
    return gib(None if card.peak_memory_bytes is None else round(card.peak_memory_bytes))


def _per_sample(card: Card) -> str:
    return amount(card.joules_per_sample, "J")


def _cost(of: Cost) -> str:
    return estimate(of.usd, cost.usd)


_COSTS: dict[str, Callable[[Cost], str]] = {
    "Cost of a run": _cost,
    "Cost of all its repeats": lambda of: UNKNOWN if of.all_usd is None else cost.usd(of.all_usd),
    "CO2 of a run": lambda of: amount(of.co2_g, "g"),
}
_FACTS: dict[str, Callable[[Card], str]] = {
    "Repeats that succeeded": _repeats,
    "Speed-up": _speedup,
    "Throughput, samples/s": lambda card: estimate(card.samples_per_s),
    "Step time, ms": lambda card: estimate(card.step_time_ms),
    "Step time p50 / p95 / p99, ms": _percentiles,
    "Run as a whole": lambda card: estimate(card.took_s, duration),
    "Time to target": _target,
    "Final accuracy": lambda card: _share(card.final_accuracy),
    "Peak memory": _memory,
    "MFU": lambda card: _share(card.mfu),
    "Energy of training": _energy,
    "Energy of a sample": _per_sample,
}
