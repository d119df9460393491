"""Runs: configure, queue, start, watch and stop training."""
