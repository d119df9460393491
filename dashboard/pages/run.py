"""How is this run doing, or how did it go?"""

import streamlit as st

from dashboard import links, live
from dashboard.header import not_found
from engine.launch import UnknownRun

run_id = links.run_id()
if not run_id:
    not_found("This link names no run: its address should end in /run?id=… .")
    st.stop()
try:
    live.follow(run_id)
except UnknownRun as error:
    not_found(str(error))
