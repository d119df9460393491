"""Configure a run and start it."""

from functools import partial

import streamlit as st

from dashboard import (
    clicks,
    form_address,
    form_state,
    forms,
    host,
    links,
    pages,
    saved_views,
    store,
    tpu_view,
)
from dashboard.header import header, not_found, warn_of_link
from dashboard.words import plain
from engine import launch
from engine.config import FRAMEWORK_NAMES
from engine.format import counted
from engine.problems import ConfigError
from storage import runs

settings, hardware = store.configured(), host.hardware()
clone = st.query_params.get("clone")
with store.opened() as db:
    try:
        cloned = launch.find(db, clone) if clone else None
    except launch.UnknownRun as error:
        not_found(f"There is no run to clone. {error}")
        st.stop()
    tags, busy, waiting = runs.all_tags(db), runs.leases(db), len(runs.queue(db))

try:
    refused = form_address.begin(cloned, settings, hardware)
except ConfigError as error:
    not_found(f"Run {clone} cannot be cloned by this version. {error}")
    st.stop()
with header("New run", kicker=f"Clone of {cloned.id}" if cloned else ""):
    place_of_start = st.container(width="content")
    saved_views.control("new")
warn_of_link({"tpu": links.TPU})
problems = st.container()

configuration, called = st.columns([3, 2], gap="medium")
with configuration:
    with st.container(border=True, gap="small"):
        st.markdown("**What is trained**")
        forms.what()
    with st.container(border=True, gap="small"):
        st.markdown("**Where it runs**")
        forms.where(settings, hardware)
    with st.container(border=True, gap="small"):
        st.markdown("**How it is trained**")
        forms.how()
with called:
    with st.container(border=True, gap="small"):
        st.markdown("**What it is called**")
        forms.called(tags)
    summary = st.container(border=True, gap="small")

found, config, details = list(refused), None, None
try:
    config, details = launch.check(
        form_state.raw_config(), form_state.raw_details(), settings, hardware
    )
except ConfigError as error:
    found += error.problems
with problems:
    for sentence in dict.fromkeys(problem.sentence for problem in found):
        st.error(plain(sentence), icon=":material/error:")
    if refused:
        st.button("Use the form as it stands", on_click=form_address.accept, key="accept")
    else:
        left_out = form_address.write(cloned, hardware)
        if left_out:
            st.caption(f"Too long for a link, which lacks it: {', '.join(left_out)}.")

start = place_of_start.button(
    "Start run",
    type="primary",
    icon=":material/play_arrow:",
    key="start",
    disabled=bool(found),
    help="Mend what is marked below first." if found else None,
)
with summary:
    st.markdown("**What will happen**")
    if config is None:
        st.caption("Nothing yet: mend what is marked above.")
    else:
        st.caption(
            f"{FRAMEWORK_NAMES[config.framework]} takes {counted(config.steps_per_epoch, 'step')} "
            f"x {counted(config.epochs, 'epoch')} = {config.total_steps:,} steps of "
            f"{config.batch_size:,} samples, and validates after each epoch."
        )
        if busy or waiting:
            in_line = f"{len(busy)} of {len(hardware.devices)} devices in use, "
            in_line += f"{counted(waiting, 'run')} waiting"
            st.caption(f"{in_line}: this one starts when its devices are free.")
        st.code(form_state.command_line(config, hardware), language="bash", wrap_lines=True)
if config is not None:
    with called, st.container(border=True, gap="small"):
        st.markdown("**Would it run on a TPU?**")
        tpu_view.panel(config)

if config and details:
    submit = partial(
        launch.submit, settings, config, details, by=launch.this_user(), cloned_from=clone
    )
    with problems:
        clicks.submit("run", start, submit, pages.RUN)
