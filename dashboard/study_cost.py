"""What arms cost on the Study page: prices that the reader gives, kept in the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import links
from dashboard.study_tradeoffs import Spot
from dashboard.words import plain
from engine.config import ACCELERATOR_NAMES
from engine.studies import cost
from engine.studies.cost import Prices
from engine.studies.measured import Card

OF_ENERGY = {"kwh": ("$ a kWh", "Electricity, where the energy of a run was measured."),
             "co2": ("g CO2 a kWh", "Of the grid that the machine hangs on.")}  # fmt: skip


def prices(cards: Sequence[Card]) -> Prices:
    """Draw the fields; an empty one has no price. The address has what was given."""
    kinds = list(dict.fromkeys(card.accelerator for card in cards))
    grid = st.grid(len(kinds) + 2, min_column_width=150)
    per_hour = {}
    for kind in kinds:
        label = f"$ an hour, {ACCELERATOR_NAMES[kind]}"
        told = "The whole host." if kind == "cpu" else "One device."
        price = _price(grid, kind, label, told)
        if price is not None:
            per_hour[kind] = price
    per_kwh, co2 = (_price(grid, name, *told) for name, told in OF_ENERGY.items())
    return Prices(per_hour, per_kwh, co2)


def spots(cards: Sequence[Card], given: Prices) -> tuple[list[Spot], list[Spot]]:
    """(time, cost) and (time, energy) of arms that compare and have both."""
    by_cost, by_energy = [], []
    for index, card in enumerate(cards):
        if card.took_s is None or card.standing not in ("baseline", "compared"):
            continue
        usd = cost.of(card, given).usd
        if usd is not None:
            by_cost.append(Spot(card.arm, card.took_s.value, usd.value, index))
        if card.energy_j is not None:
            provenance = card.energy_provenance
            by_energy.append(Spot(card.arm, card.took_s.value, card.energy_j, index, provenance))
    return by_cost, by_energy


def on_three_scales(cards: Sequence[Card], given: Prices) -> dict[str, tuple[float, float, float]]:
    """Arm -> (seconds, joules, $) of those that compare; empty where energy was measured in
    different ways, which is not ranked.
    """
    known, ways = {}, set()
    for card in cards:
        usd = cost.of(card, given).usd
        if card.standing in ("baseline", "compared") and card.took_s and usd and card.energy_j:
            known[card.arm] = (card.took_s.value, card.energy_j, usd.value)
            ways.add(card.energy_provenance)
    return known if len(ways) == 1 else {}


def _price(grid: Any, name: str, label: str, told: str) -> float | None:
    """The address fills the field once: a default would come back whenever it is emptied."""
    key = f"price-{name}"
    if key not in st.session_state:
        st.session_state[key] = "" if links.price(name) is None else st.query_params[name]
    with grid.cell():
        text = st.text_input(label, key=key, help=told, placeholder="none", autocomplete="off")
        if text and not links.is_price_text(text):
            st.error(plain(f"{label} must be {links.A_PRICE}, got {text[:60]!r}."))
            text = ""
    links.put(**{name: text})
    return float(text) if text else None
