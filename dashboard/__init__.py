"""Shows: pages that configure runs and draw what the store holds. Nobody else imports Streamlit."""
