"""Which pages there are. Streamlit runs this script, and it runs the page that was asked for."""

import streamlit as st

from dashboard import pages, store

st.set_page_config(page_title="Accelboard", page_icon=":material/speed:", layout="wide")
page = st.navigation(list(pages.ALL), position="top")
store.stop_if_unusable()
page.run()
