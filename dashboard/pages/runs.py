"""Which runs are there, and how did they do?"""

import streamlit as st

from dashboard import alerts_view, clicks, pages, run_import, run_table, run_view, saved_views
from dashboard.header import header, warn_of_link
from dashboard.words import plain

with header("Runs"):
    saved_views.control("")
    if not st.context.is_embedded:
        run_import.control()
        if st.button("New run", type="primary", icon=":material/add:", key="new-run"):
            clicks.go_to(pages.NEW)
warn_of_link(run_view.rules())
for sentence in run_view.absent():
    st.warning(plain(sentence), icon=":material/filter_alt_off:")
alerts_view.banner()
run_table.show()
