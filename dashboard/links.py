"""State <-> URL. What a page shows is in its address, so that the address can be shared."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, cast, get_args
from urllib.parse import urlencode

import streamlit as st
from streamlit import config

from engine.config import ACCELERATOR_NAMES, FRAMEWORK_NAMES
from engine.studies.cost import Prices, is_price
from engine.tpu import chips
from storage.fields import ENDS
from storage.runs import STATUSES

XAxis = Literal["epoch", "step", "time", "clock"]
LogAxis = Literal["x", "y"]
X_AXES: tuple[XAxis, ...] = cast(tuple[XAxis, ...], get_args(XAxis))
LOG_AXES: tuple[LogAxis, ...] = get_args(LogAxis)
TABS = ("Log", "Performance", "Readings", "Configuration", "Environment", "Files", "TPU check")
PAGES = ("", "new", "compare", "studies", "hardware", "run", "study")
"""Their paths. The pages themselves are made by Streamlit's first run of a script."""
MAX_COMPARED = 50
MOST_SMOOTHED = 0.99
_HIDDEN = "hidden-curves"


def base() -> str:
    """The path under which the server serves, such as `/accel`; usually none."""
    given = config.get_option("server.baseUrlPath").strip("/")
    return f"/{given}" if given else ""


def path(to: str = "", query: Mapping[str, str | Sequence[str]] | None = None) -> str:
    """Where a page or a route of ours is on this server, to link to it: `/run?id=…`."""
    return f"{base()}/{to}{f'?{urlencode(query, doseq=True)}' if query else ''}"


def is_page(at: str) -> bool:
    """Whether a page of ours has that path."""
    return at.rstrip("/") in [path(page).rstrip("/") for page in PAGES]


def run_id() -> str:
    """The run of the address. The browser's Back leaves it the parameters of the page it was on."""
    named = (st.query_params.get(name) for name in ("id", "clone", "runs"))
    return next(filter(None, named), "")


def compared() -> list[str]:
    """Ids of the runs to compare, each once, in the order of the address."""
    given = ",".join(st.query_params.get_all("runs")).split(",")
    return list(dict.fromkeys(filter(None, given)))


def x_axis() -> XAxis:
    """What curves are drawn against; an unknown word is taken for the default."""
    given = st.query_params.get("x", "epoch")
    return cast(XAxis, given) if given in X_AXES else "epoch"


def smoothing() -> float:
    """How much curves are smoothed, from 0 to `MOST_SMOOTHED`; anything else is taken for 0."""
    given = st.query_params.get("smooth", "0")
    return float(given) if is_smoothing(given) else 0.0


def is_smoothing(given: str) -> bool:
    try:
        return 0.0 <= float(given) <= MOST_SMOOTHED
    except ValueError:
        return False


def log_axes() -> tuple[LogAxis, ...]:
    """Which axes are logarithmic; an unknown word is left out. 1 is y in older links."""
    given = {"y" if word == "1" else word for word in st.query_params.get_all("log")}
    return tuple(axis for axis in LOG_AXES if axis in given)


def page_number() -> int:
    """Which page of a list, from 1; any other word is taken for the first."""
    given = st.query_params.get("page", "1")
    return int(given) if re.fullmatch("[1-9][0-9]{0,5}", given) else 1


def price(name: str) -> float | None:
    """A price of the address; any word that is none is taken for none."""
    given = st.query_params.get(name, "")
    return float(given) if is_price_text(given) else None


def baseline() -> str:
    """The arm that a report compares with, if it is not the study's own."""
    return st.query_params.get("baseline", "")


def prices() -> Prices:
    """All prices of the address."""
    per_hour = {kind: value for kind in ACCELERATOR_NAMES if (value := price(kind)) is not None}
    return Prices(per_hour, price("kwh"), price("co2"))


def is_price_text(given: str) -> bool:
    try:
        return is_price(float(given))
    except ValueError:
        return False


Rule = tuple[Callable[[str], bool], str]
"""Whether a value is one, and what it must be in words."""


def misread(rules: Mapping[str, Rule]) -> list[str]:
    """A sentence on each parameter of the address that is not what it should be."""
    found = []
    for name, (is_right, wanted) in rules.items():
        wrong = [value for value in st.query_params.get_all(name) if not is_right(value)]
        if wrong:
            found.append(not_taken(name, wanted, wrong[0]))
    return found


def not_taken(name: str, wanted: str, given: str) -> str:
    return f"The link's {name!r} must be {wanted}, got {given[:60]!r}: it is left out."


def one_of(choices: Collection[str], told: str = "") -> Rule:
    """`told` is what they are, where they are too many to name. An empty one is not named."""
    named = [choice for choice in choices if choice]
    first = "one of " if len(named) > 1 else ""
    return (lambda value: value in choices), told or first + ", ".join(named)


A_PRICE = "a price from 0 to a million"
SWITCH = one_of(("1",))
PRICE: Rule = (is_price_text, A_PRICE)
TPU = one_of(chips.TOPOLOGIES)
# What parameters of each page must be, as far as that does not depend on what the store has.
OF_RUNS: dict[str, Rule] = {
    "page": (lambda value: value == str(page_number()), "a whole number from 1"),
    "archived": SWITCH,
    "status": one_of(STATUSES),
    "framework": one_of(tuple(FRAMEWORK_NAMES)),
    "accelerator": one_of(tuple(ACCELERATOR_NAMES)),
}
OF_RUN: dict[str, Rule] = {
    "x": one_of(X_AXES),
    "smooth": (is_smoothing, f"a number from 0 to {MOST_SMOOTHED}"),
    "log": one_of(LOG_AXES),
    "tab": one_of(TABS),
    "tpu": TPU,
}
OF_COMPARE: dict[str, Rule] = {
    "x": one_of(X_AXES),
    "smooth": OF_RUN["smooth"],
    "log": (lambda word: word in (*LOG_AXES, "1"), f"one of {', '.join(LOG_AXES)}"),
    "end": one_of(ENDS),
    **dict.fromkeys(("full", "all"), SWITCH),
}
OF_STUDY: dict[str, Rule] = dict.fromkeys((*ACCELERATOR_NAMES, "kwh", "co2"), PRICE)


def put(**parameters: str | Sequence[str] | None) -> None:
    """Bring the address in line with what is shown; None takes a parameter out."""
    for name, value in parameters.items():
        if not value:
            st.query_params.pop(name, None)
            continue
        values = [value] if isinstance(value, str) else list(value)
        if values != st.query_params.get_all(name):
            st.query_params[name] = values


def keep_hidden(page: str, known: Collection[str]) -> None:
    """Keep in the address which curves of a page of charts its reader hides.

    A click that follows at once comes with an address that does not say so yet, so what was clicked
    is held here until another such page is drawn. `page` tells one from another, as `plot.js` does.
    """
    held = st.session_state.get(_HIDDEN)
    if held is None or held[0] != page:
        held = (page, st.query_params.get_all("hide"))
    st.session_state[_HIDDEN] = held
    put(hide=[key for key in held[1] if key in known])


def hide(keys: list[str]) -> None:
    """Note which curves were hidden with a click, on the page of charts that is shown."""
    st.session_state[_HIDDEN] = (st.session_state[_HIDDEN][0], keys)
    put(hide=keys)
