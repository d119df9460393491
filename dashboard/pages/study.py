"""Can these arms be compared, what did each take, and what should be done next?"""

import streamlit as st

from dashboard import links, pages, study_view
from dashboard.header import not_found, warn_of_link
from engine.studies.actions import UnknownStudy

study_id = links.run_id()
if not study_id:
    not_found(
        "This link names no study: its address should end in /study?id=… .",
        "All studies",
        pages.STUDIES,
    )
    st.stop()
warn_of_link(links.OF_STUDY)
try:
    study_view.follow(study_id)
except UnknownStudy as error:
    not_found(str(error), "All studies", pages.STUDIES)
