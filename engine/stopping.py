"""SIGTERM in a trainer's process: it asks the run to stop after the steps in hand."""

from __future__ import annotations

import signal
import threading

_asked = threading.Event()


def listen() -> None:
    """Call this in the process's main thread; torch_xla runs replicas in another one."""
    signal.signal(signal.SIGTERM, lambda *_: _asked.set())


def was_asked() -> bool:
    return _asked.is_set()
