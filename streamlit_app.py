"""The entry: `streamlit run streamlit_app.py`, or `python -m dashboard` with its settings."""

from dashboard.server import app

__all__ = ["app"]
