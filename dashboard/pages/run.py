"""How is this run doing, or how did it go?"""

import streamlit as st

from dashboard import links, live
from dashboard.header import not_found, warn_of_link
from engine.launch import UnknownRun

run_id = links.run_id()
if not run_id:
    not_found("This link names no run: its address should end in /run?id=… .")
    st.stop()
warn_of_link(links.OF_RUN)
try:
    live.follow(run_id)
except UnknownRun as error:
    not_found(str(error))
