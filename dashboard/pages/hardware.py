"""What hardware is here, who is using it, and why is an expected device missing?"""

import streamlit as st

from dashboard import alerts_view, hardware_view, host, saved_views
from dashboard.header import header

with header("Hardware"):
    if st.button("Look again", icon=":material/refresh:", key="look-again"):
        host.hardware.clear()
    saved_views.control("hardware")
alerts_view.banner()
hardware_view.devices()
hardware_view.frameworks()
alerts_view.listed()
