"""Streamlit runs this script, and it runs the page that was asked for.

It lies among the pages since a `pages` folder beside it would be taken for pages of another kind.
"""

from pathlib import Path

import streamlit as st

from dashboard import host, pages, store

BRAND = Path(__file__).parents[1] / "brand"

st.set_page_config(page_title="Accelboard", page_icon=str(BRAND / "mark.svg"), layout="wide")
is_embedded = st.context.is_embedded  # ?embed=true: in another page, without ways out of this one
if not is_embedded:
    st.logo(BRAND / "wordmark.svg", size="medium")
page = st.navigation(pages.of_a_reader(), position="hidden" if is_embedded else "top")
store.stop_if_unusable()
host.warn_if_unsupervised()
page.run()
