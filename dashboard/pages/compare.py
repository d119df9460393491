"""How do these runs differ, in what they were asked and in what they did?"""

import streamlit as st

from dashboard import compare_file, compare_live, compare_runs, compare_view, saved_views
from dashboard.compare_live import Latest
from dashboard.header import header, warn_of_link

top = st.container()
picked = compare_runs.asked()
if not picked:
    with top, header("Compare"):
        saved_views.control("compare")
    st.info("Choose two or more runs: search here, or select them on the Runs page.")
    with st.container(border=True):
        compare_runs.chooser(picked)
    st.stop()

warn_of_link(compare_view.rules(picked))
latest = Latest(compare_view.controls(picked))
with top, header("Compare"):
    saved_views.control("compare")
    with st.popover(f"Runs ({len(picked)})", icon=":material/playlist_add:", width="content"):
        compare_runs.chooser(picked)
    compare_file.button(latest)
compare_live.follow(latest)
