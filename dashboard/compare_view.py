"""Parts of the Compare page: which runs, how they are drawn, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import streamlit as st

from dashboard import comparison, curve_controls, curves, distinct, links, points, store
from dashboard.charts import Drawing
from dashboard.compare_charts import Named
from dashboard.comparison import End
from dashboard.components import plot
from dashboard.curves import CurveView
from dashboard.words import plain
from engine.metrics import describe
from engine.studies import comparable, evidence
from engine.studies.comparable import Verdict
from storage import run_list
from storage.fields import ENDS, REPEATS
from storage.runs import Run

CHART_PX = 300
MOST_CHARTS = 4  # of those that are drawn if nobody chose
LEVEL_ICONS = {"red": ":material/block:", "amber": ":material/warning:"}
LEVEL_WORDS = {
    "red": "Their speeds should not be compared.",
    "amber": "Their speeds can be compared, with reserve.",
}


@dataclass(frozen=True)
class Compared:
    """What the address asks for. Colours are by the runs' order, so that the base has no say."""

    picked: list[Run]
    base: Run
    names: dict[str, str]
    metrics: tuple[str, ...]
    view: CurveView
    full: bool
    group: str
    end: End

    @property
    def colors(self) -> dict[str, int]:
        groups = self.groups.values() if self.group else [[run] for run in self.picked]
        return {run.id: place for place, runs in enumerate(groups) for run in runs}

    @property
    def groups(self) -> dict[str, list[Run]]:
        return comparison.groups(self.picked, self.group)

    @property
    def named(self) -> list[Named]:
        return [Named(run.id, self.names[run.id], self.colors[run.id]) for run in self.picked]


def rules(picked: list[Run]) -> dict[str, links.Rule]:
    """Of the address. What these runs have is asked for when a link is opened: later, a choice may
    have gone with the run that had it, and its control goes back to the first."""
    if "compare-base" in st.session_state:
        return links.OF_COMPARE
    keys, axes = comparison.metric_keys(picked), comparison.parameters(picked)
    ids = [run.id for run in picked]
    axes = {*axes, *(f"{comparison.METRIC}{key}" for key in keys)}
    axis = links.one_of(axes, "a parameter or a metric of these runs")
    return links.OF_COMPARE | {
        "metric": links.one_of(keys, "a metric of these runs"),
        "group": links.one_of(comparison.group_words(picked), "what groups these runs"),
        **dict.fromkeys(("base", "hide"), links.one_of(ids, "one of the runs compared")),
        "sort": links.one_of([*keys, "mfu"], "a figure of these runs"),
        **dict.fromkeys(("px", "py", "dims"), axis),
    }


def controls(picked: list[Run]) -> Compared:
    """How the runs are compared; all of it in the address."""
    names = distinct.labels(picked)
    keys = comparison.metric_keys(picked)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metrics = _metrics(keys)
        x_axis = cast(links.XAxis, _segment("Against", "x", links.X_AXES))
        group = _choice("Group by", "group", {"": "Nothing"} | _group_titles(picked))
        base = _choice("Base", "base", {run.id: names[run.id] for run in picked})
        with st.popover("Curves", icon=":material/tune:"):
            smoothing = curve_controls.smoothing("compare-")
            log = curve_controls.log_axes("compare-")
            full = _switch("All values", "full", help="Outliers too, however far they lie.")
    end = st.query_params.get("end", "")
    links.keep_hidden("compare", names)
    return Compared(
        picked, next(run for run in picked if run.id == base), names, metrics,
        CurveView(x_axis, smoothing, log, st.context.timezone), full, group,
        cast(End, end if end in ENDS else ENDS[0]),
    )  # fmt: skip


def _metrics(keys: Sequence[str]) -> tuple[str, ...]:
    default = list(keys[:MOST_CHARTS])
    given = [key for key in st.query_params.get_all("metric") if key in keys]
    begins_anew = followed("metric", default)
    chosen = st.multiselect(
        "Metrics", keys, default=None if begins_anew else given or default, key="compare-metric",
        format_func=lambda key: describe(key).title, placeholder="Choose metrics", width=290,
        wrap=True,
    )  # fmt: skip
    links.put(metric=None if chosen == default else chosen)
    return tuple(chosen) or tuple(default)


def followed(parameter: str, first: Any) -> bool:
    """Whether a widget that nobody touched was set to what it begins with for the runs as they are
    now: some were added or removed. Then it must not be given a default as well."""
    key, noted = f"compare-{parameter}", f"compare-{parameter}-first"
    before, st.session_state[noted] = st.session_state.get(noted), first
    is_untouched = parameter not in st.query_params and st.session_state.get(key) == before
    if before in (None, first) or not is_untouched:
        return False
    st.session_state[key] = first
    return True


def _group_titles(picked: Sequence[Run]) -> dict[str, str]:
    titles = {word: comparison.title(word) for word in comparison.group_words(picked)}
    return titles | ({REPEATS: "Repeats (all but the seed)"} if REPEATS in titles else {})


def _choice(label: str, parameter: str, titles: Mapping[str, str]) -> str:
    """One of the choices, the first unless the address has another."""
    options, given = list(titles), st.query_params.get(parameter, "")
    chosen = st.selectbox(
        label, options, index=options.index(given) if given in options else 0,
        key=f"compare-{parameter}", format_func=titles.__getitem__, width=190,
    )  # fmt: skip
    chosen = options[0] if chosen not in titles else chosen
    links.put(**{parameter: None if chosen == options[0] else chosen})
    return chosen


def _segment(
    label: str,
    parameter: str,
    options: Sequence[str],
    titles: Callable[[str], str] = str.capitalize,
) -> str:
    given = st.query_params.get(parameter, "")
    chosen = st.segmented_control(
        label, options, default=given if given in options else options[0], required=True,
        key=f"compare-{parameter}", format_func=titles,
    )  # fmt: skip
    chosen = chosen or options[0]
    links.put(**{parameter: None if chosen == options[0] else chosen})
    return chosen


def _switch(label: str, parameter: str, **options: Any) -> bool:
    is_on = st.toggle(
        label, value=st.query_params.get(parameter) == "1", key=f"compare-{parameter}", **options
    )
    links.put(**{parameter: "1" if is_on else None})
    return is_on


def reloaded(shown: Compared) -> Compared:
    """With what is recorded of the runs by now; one that was deleted meanwhile stays as it was."""
    with store.opened() as db:
        now = {run.id: run for run in run_list.of_ids(db, [run.id for run in shown.picked])}
    picked = [now.get(run.id, run) for run in shown.picked]
    return replace(shown, picked=picked, base=now.get(shown.base.id, shown.base))


def verdict(picked: Sequence[Run]) -> Verdict | None:
    """What is told against comparing the runs' speeds; nothing of less than two that started."""
    return _verdict(str(store.configured().store), _state(picked), picked)


@st.cache_data(max_entries=100, ttl=10, show_spinner=False)  # readings come late
def _verdict(where: str, state: str, _picked: Sequence[Run]) -> Verdict | None:
    with store.opened() as db:
        known = {run.id: evidence.of(db, run) for run in _picked}
    return comparable.speeds(_picked, known)


def told(found: Verdict | None) -> None:
    """The reasons against comparing speeds, out loud; what was found in order, on demand."""
    if found is None:
        return
    doubts = [check for check in found.checks if check.level != "green"]
    others = [check.sentence for check in found.checks if check.level == "green"]
    if not doubts:
        st.caption(f":material/check: {plain('Their speeds can be compared. ' + ' '.join(others))}")
        return
    say = st.error if found.level == "red" else st.warning
    reasons = " ".join(plain(check.sentence) for check in doubts)
    say(f"**{LEVEL_WORDS[found.level]}** {reasons}", icon=LEVEL_ICONS[found.level])


def charts(shown: Compared) -> None:
    """One chart a metric, two side by side where there is room."""
    if not shown.metrics:
        yet = " yet" if any(run.active for run in shown.picked) else ""
        st.info(f"No points{yet}: these runs have recorded nothing.", icon=":material/hourglass:")
        return
    hidden = tuple(st.query_params.get_all("hide"))
    grid = st.grid(1 if len(shown.metrics) == 1 else 2, min_column_width=290)
    for key in shown.metrics:
        title, state = describe(key).title, f"{_state(shown.picked)} {[*shown.names.values()]}"
        with grid.cell(), st.container(border=True, gap="small", key=f"panel-{key}"):
            st.markdown(f"**{plain(title)}**")
            data, beyond = _drawn(
                str(store.configured().store), state, key, shown.view, shown.full, shown.group,
                hidden, shown,
            )  # fmt: skip
            plot.mount(data, key=f"plot-compare-{key}", height=CHART_PX, on_hidden=links.hide)
            if beyond:
                st.caption(f"{outlying(beyond)} *All values* under *Curves* shows all.")


def outlying(count: int) -> str:
    """What is said under a chart whose axis leaves points out."""
    if count == 1:
        return "One outlying point lies beyond the axis, marked ▲ or ▼ at its edge."
    return (
        f"{count:,} outlying points lie beyond the axis; ▲ or ▼ at its edge marks each curve's "
        "farthest."
    )


@st.cache_data(max_entries=100, show_spinner=False)
def _drawn(
    where: str, state: str, key: str, view: CurveView, full: bool, group: str,
    hidden: tuple[str, ...], _shown: Compared,
) -> tuple[bytes, int]:  # fmt: skip
    """A chart as it is sent, and how many points lie beyond it: made once for one state of runs."""
    figure = figure_of(_shown, key, hidden)
    meta = figure["layout"].get("meta", {})
    # Of groups, what is drawn is the data: medians and bands.
    data = "" if group else points.address([run.id for run in _shown.picked], [key])
    drawn = plot.payload(figure, CHART_PX, f"{describe(key).title} by {view.x}", data)
    return drawn, meta.get("beyond", 0)


def figure_of(shown: Compared, key: str, hidden: Collection[str]) -> Drawing:
    """One metric of all runs or groups; those that are hidden have no say in its range."""
    own: dict[str, Any] = {"robust": not shown.full, "hidden": hidden}
    with store.opened() as db:
        if shown.group:
            return curves.of_groups(db, shown.groups, key, shown.view, **own)
        return curves.of_runs(db, shown.picked, shown.names, key, shown.view, **own)


def _state(picked: Sequence[Run]) -> str:
    """Of what is recorded: what was made of it stands while this is the same."""
    return repr([(run.id, run.last_seq, run.status, run.earlier_s) for run in picked])
