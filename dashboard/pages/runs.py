"""Which runs are there, and how did they do?"""

import streamlit as st

from dashboard import alerts_view, pages, run_table, saved_views
from dashboard.header import header, warn_of_link

with header("Runs"):
    saved_views.control("")
    if st.button("New run", type="primary", icon=":material/add:", key="new-run"):
        st.switch_page(pages.NEW, query_params={})
warn_of_link()
alerts_view.banner()
run_table.show()
