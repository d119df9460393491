"""What the Runs page shows, and how it is chosen: every part of it is in the address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import links, run_columns, run_selection, store
from dashboard.words import plain
from engine import queries
from engine.config import ACCELERATOR_NAMES, FRAMEWORK_NAMES
from storage import fields, run_list, runs
from storage.fields import REPEATS
from storage.run_list import Wanted

FILTERS = ("status", "framework", "accelerator", "device", "workload", "tag", "since", "until",
           "archived")  # fmt: skip
A_COLUMN = "a column, a metric or a key of the configuration"
GROUP_TITLES = {REPEATS: "Repeats (all but the seed)"}
QUERY_HELP = (
    "Words: status, framework, accelerator, device, workload, dataset, tag, name, "
    "submitted (> 7d, or the server's date), took (> 2h), speed, any metric (accuracy, "
    "last.train_loss) and key of the configuration. Operators: = != < <= > >= and ~ (contains), "
    "joined by and, or, not and brackets. repeats = ID: a run and its repeats."
)


@dataclass(frozen=True)
class RunView:
    """`pinned` are some of `columns`, `group` is what runs are grouped by, `baseline` "" for none;
    `sort` is a word, "-" before it: descending."""

    wanted: Wanted
    columns: tuple[str, ...]
    pinned: tuple[str, ...]
    sort: str
    group: tuple[str, ...]
    baseline: str


def controls(bar: DeltaGenerator) -> RunView:
    """The search, the filters and what to show of the runs, all of it in the address.

    The menus look up what there is to choose only while they are open.
    """
    with bar:
        text = st.text_input(
            "Search", key="q", bind="query-params", placeholder="Name, tag, id or workload",
            on_change=_begin_anew,
        )  # fmt: skip
        query = st.text_input(
            "Query", key="query", bind="query-params", help=QUERY_HELP,
            placeholder="accuracy > 0.9 and framework = torch", on_change=_begin_anew,
        )  # fmt: skip
        filters = st.popover(
            "Filter", icon=":material/filter_alt:", key="filter-menu", on_change="rerun"
        )
        shown = st.popover("Show", icon=":material/view_column:", key="show-menu",
                           on_change="rerun")  # fmt: skip
        if any(st.query_params.get_all(name) for name in ("q", "query", *FILTERS)):
            st.button("Clear filters", icon=":material/filter_alt_off:", key="clear-filters",
                      on_click=_clear)  # fmt: skip
    if filters.open:
        with filters:
            _choose_filters()
    if shown.open:
        with shown:
            _choose_shown()
    return view(text, query)


def view(text: str, query: str) -> RunView:
    """What the address asks for."""
    given = st.query_params.get_all
    wanted = Wanted(
        text, query, _known("status"), _known("framework"), _known("accelerator"),
        given("workload"), given("tag"), _text("since"), _text("until"),
        st.query_params.get("archived") == "1", queries.vocabulary(),
        given("device"),
    )  # fmt: skip
    columns = tuple(dict.fromkeys(filter(_is_column(), given("columns")))) or default_columns()
    pinned = tuple(column for column in given("pinned") if column in columns)
    is_field = _is_field()
    sort = _text("sort") or run_list.NEWEST
    sort = sort if is_field(run_list.sorted_by(sort)) else run_list.NEWEST
    group = tuple(filter(is_field, _grouped_by()))
    return RunView(wanted, columns, pinned, sort, group, _text("baseline"))


def _begin_anew() -> None:
    """Other runs are looked for: from their first page, and none of them is selected."""
    links.put(page=None)
    run_selection.put([])


def _filter(**parameters: str | Sequence[str] | None) -> None:
    before = {name: st.query_params.get_all(name) for name in parameters}
    links.put(**parameters)
    if before != {name: st.query_params.get_all(name) for name in parameters}:
        _begin_anew()


def _clear() -> None:
    empty = {"q": "", "query": "", "filter-archived": False, "filter-since": "", "filter-until": ""}
    empty |= {f"filter-{name}": [] for name in FILTERS if f"filter-{name}" not in empty}
    for key, value in empty.items():
        if key in st.session_state:
            st.session_state[key] = value
    links.put(**dict.fromkeys(FILTERS))
    _begin_anew()


def _known(name: str) -> list[str]:
    return [value for value in st.query_params.get_all(name) if links.OF_RUNS[name][0](value)]


def default_columns() -> tuple[str, ...]:
    with store.opened() as db:
        several = run_list.has_several(db, "dataset")
    return run_columns.OF_DATA_SETS if several else run_columns.DEFAULT


def rules() -> dict[str, links.Rule]:
    """Of the address: what it asks for must be there to be shown."""
    given = st.query_params.get_all("columns") or default_columns()
    shown = links.one_of(tuple(filter(_is_column(), given)), "a column that is shown")
    column, is_field = (_is_column(), A_COLUMN), _is_field()
    sort = (
        lambda word: is_field(run_list.sorted_by(word.strip())),
        f"{A_COLUMN}, or one with a minus before it",
    )
    group = (lambda word: not word.strip() or is_field(word.strip()), A_COLUMN)
    return links.OF_RUNS | {"columns": column, "pinned": shown, "sort": sort, "group": group}


def _is_column() -> Callable[[str], bool]:
    """Whether runs have something under a word. The store is asked only for the words of a link."""
    if not st.query_params.get_all("columns"):
        return default_columns().__contains__
    with store.opened() as db:
        keys = fields.metric_keys(db)
    return lambda word: run_columns.is_column(word, keys)


def _is_field() -> Callable[[str], bool]:
    """Whether runs can be sorted and grouped by a word. Only for a link's is the store asked."""
    if not _text("sort") and not _grouped_by():
        return (run_list.sorted_by(run_list.NEWEST), "").__contains__
    with store.opened() as db:
        keys = fields.metric_keys(db)
    vocabulary = queries.vocabulary()
    return lambda word: fields.is_field(word, vocabulary, keys, _there)


def _there(word: str) -> list[str]:
    with store.opened() as db:
        return run_list.there(db, word)


def _grouped_by() -> list[str]:
    """The words of the address that runs are to be grouped by, each once."""
    given = (word.strip() for word in st.query_params.get_all("group"))
    return list(dict.fromkeys(filter(None, given)))


def absent() -> list[str]:
    """A sentence on each filter of the address that no run can pass: it stays, and says why."""
    asked = {name: st.query_params.get_all(name) for name in ("workload", "tag", "device")}
    if not any(asked.values()):
        return []
    with store.opened() as db:
        there = {name: run_list.choices(db, name) for name in ("workload", "device")}
        there["tag"] = runs.all_tags(db)
    return [
        f"No run has the {name} {value[:60]!r}, which the link asks for."
        for name, values in asked.items()
        for value in values
        if value not in there[name]
    ]


def _text(name: str) -> str:
    return st.query_params.get(name, "").strip()


def _choose_filters() -> None:
    with store.opened() as db:
        there = {name: run_list.choices(db, name) for name in ("device", "workload")}
        there["tag"] = runs.all_tags(db)
    _some("status", {status: status.capitalize() for status in runs.STATUSES})
    _some("framework", FRAMEWORK_NAMES)
    _some("accelerator", ACCELERATOR_NAMES)
    for name, known in there.items():  # what the address asks for stays, though no run has it
        _some(name, {choice: choice for choice in (*known, *st.query_params.get_all(name))})
    for name in ("since", "until"):
        _day(name)
    archived = st.toggle(
        "Archived runs too", value=st.query_params.get("archived") == "1", key="filter-archived"
    )
    _filter(archived="1" if archived else None)


def _choose_shown() -> None:
    with store.opened() as db:
        keys = fields.metric_keys(db)
    options = run_columns.options(keys, queries.config_keys())
    titles = {word: run_columns.title(word) for word in options}
    columns = _some("columns", titles, default=default_columns(),
                    help="In the order in which they are chosen.")  # fmt: skip
    _move(columns)
    _some("pinned", {word: titles[word] for word in columns}, placeholder="None",
          help="They stay at the left while the others scroll.")  # fmt: skip
    words = ["submitted", *(word for word in options if word != "submitted")]
    given = st.query_params.get("sort", run_list.NEWEST)
    by = _one("Sort by", words, run_list.sorted_by(given), {w: run_columns.title(w) for w in words})
    down = st.toggle("Descending", value=given.startswith("-"), key="show-descending")
    sort = f"{'-' if down else ''}{run_columns.SORTED_BY.get(by, by)}"
    titles = {REPEATS: GROUP_TITLES[REPEATS]} | {
        run_columns.SORTED_BY.get(word, word): title for word, title in titles.items()
    }
    titles |= {word: run_columns.title(word) for word in _grouped_by() if word not in titles}
    _some("group", titles, label="Group by", placeholder="Nothing",
          help="By several: a group for each combination that there is.")  # fmt: skip
    baseline = st.text_input(
        "Baseline", value=st.query_params.get("baseline", ""), key="show-baseline",
        placeholder="The id of a run",
        help="Figures are shown with their distance from its. Or select a run and press Baseline.",
    )  # fmt: skip
    _filter(sort=None if sort == run_list.NEWEST else sort)
    links.put(baseline=baseline.strip() or None)


def _move(columns: tuple[str, ...]) -> None:
    """One of the columns, a place to the left or to the right."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        word = st.selectbox(
            "Move a column", columns, format_func=run_columns.title, key="show-move",
            width="stretch",
        )  # fmt: skip
        at = columns.index(word) if word in columns else 0
        for label, to, icon in (("Left", at - 1, "back"), ("Right", at + 1, "forward")):
            st.button(
                label, icon=f":material/arrow_{icon}:", key=f"move-{label.lower()}",
                disabled=not 0 <= to < len(columns), on_click=_moved, args=(columns, at, to),
            )  # fmt: skip


def _moved(columns: tuple[str, ...], at: int, to: int) -> None:
    order = list(columns)
    order.insert(to, order.pop(at))
    st.session_state["filter-columns"] = order
    links.put(columns=order)


def _some(
    name: str, titles: Mapping[str, str], default: Collection[str] = (), *,
    label: str = "", placeholder: str = "Any", help: str | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Some of the choices, or none for any. The address holds their names, not their titles."""
    given = [choice for choice in st.query_params.get_all(name) if choice in titles]
    chosen = st.multiselect(
        label or name.capitalize(),
        list(titles),
        default=None if f"filter-{name}" in st.session_state else given or list(default),
        key=f"filter-{name}",
        format_func=titles.__getitem__,
        placeholder=placeholder,
        help=help,
    )
    put = _filter if name in (*FILTERS, "group") else links.put
    put(**{name: None if chosen == list(default) else chosen})
    return tuple(chosen)


def _one(label: str, choices: list[str], given: str, titles: Mapping[str, str]) -> str:
    """One of the choices, and also what the address has if that is none of them."""
    titles = {given: given} | dict(titles)
    choices = choices if given in choices else [given, *choices]
    chosen = st.selectbox(
        label, choices, index=choices.index(given), format_func=titles.__getitem__,
        key=f"show-{label.split()[0].lower()}",
    )  # fmt: skip
    return chosen if chosen is not None else choices[0]


def _day(name: str) -> None:
    given = st.query_params.get(name, "")
    day = st.text_input(
        {"since": "Submitted since", "until": "Submitted until"}[name], value=given,
        key=f"filter-{name}", placeholder="2025-01-31 or 7d",
        help=f"A day is one of the server's clock ({datetime.now().astimezone():%Z}).",
    )  # fmt: skip
    _filter(**{name: day.strip() or None})


def arrow(word: str, sort: str) -> str:
    """Behind the title of the column that runs are sorted by: which way."""
    if run_columns.SORTED_BY.get(word, word) != run_list.sorted_by(sort):
        return ""
    return " ↓" if sort[0] == "-" else " ↑"


def in_order(sort: str) -> str:
    """How the runs are sorted, in words."""
    if sort == run_list.NEWEST:
        return "newest first"
    return f"by {plain(sort.removeprefix('-'))}, {'falling' if sort[0] == '-' else 'rising'}"
