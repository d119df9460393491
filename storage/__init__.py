"""Remembers: everything Accelboard knows about its runs, in one SQLite file."""
