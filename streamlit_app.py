"""The entry: `python -m dashboard` with its settings, or plain `streamlit run streamlit_app.py`."""

import streamlit as st

from dashboard import server

app = st.App(
    server.NAVIGATION,
    lifespan=server.lifespan,
    routes=server.ROUTES,
    middleware=server.MIDDLEWARE,
    on_script_error=server.say_sorry,
)
