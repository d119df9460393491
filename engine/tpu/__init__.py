"""The TPU's compiler, asked without a TPU: does a run's step compile, does it fit, what bounds it?

export.py records the step in a process with PyTorch/XLA, compile.py compiles it in an environment
with libtpu, check.py starts both and makes one result of what they found.
"""
