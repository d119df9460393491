"""How do these runs differ, in what they were asked and in what they did?"""

import streamlit as st

from dashboard import comparison, curves, links, saved_views, store
from dashboard.components.plot import plot
from dashboard.header import header
from dashboard.words import plain
from engine.metrics import describe
from storage import runs

with header("Compare"):
    saved_views.control("compare")

asked = links.compared()
with store.opened() as db:
    found = {run_id: run for run_id in asked if (run := runs.get(db, run_id))}
    options = {run.id: run for run in runs.list_newest(db, 500)} | found
unknown = [run_id for run_id in asked if run_id not in found]
if unknown:
    st.warning(
        f"Not in this store, and left out: {plain(', '.join(i[:60] for i in unknown[:5]))}"
        f"{' …' if len(unknown) > 5 else ''}.",
        icon=":material/search_off:",
    )

chosen = st.multiselect(
    "Runs",
    list(options),
    default=list(found)[: links.MAX_COMPARED],
    key=f"runs-{'-'.join(found)}",
    format_func=lambda run_id: comparison.label(options[run_id]),
    max_selections=links.MAX_COMPARED,
    placeholder="Choose runs to compare",
)
if chosen != list(found):
    links.put(runs=chosen)
    st.rerun()
if not chosen:
    st.info("Choose two or more runs above, or select them on the Runs page.")
    st.stop()

picked = [found[run_id] for run_id in chosen]
metric, x_axis, log_y = comparison.controls(picked)
with store.opened() as db, st.container(border=True, gap="small"):
    st.markdown(f"**{describe(metric).title}**")
    figure = curves.of_runs(db, picked, metric, x_axis, log_y=log_y)
    plot(
        figure,
        key=f"plot-compare-{metric}",
        height=420,
        alt=f"{describe(metric).title} by {x_axis}",
    )

st.markdown("**Results**")
comparison.results(picked)
st.markdown("**What differs**")
comparison.differences(picked)
