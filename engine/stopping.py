"""SIGTERM in a trainer's process: it asks the run to stop after the steps in hand."""

from __future__ import annotations

import signal


class Flag:
    """Raised by a signal's handler. It has no lock, as `threading.Event` has: a second signal may
    interrupt the handler of the first, and would wait for that lock for ever.
    """

    def __init__(self) -> None:
        self.is_raised = False

    def raise_(self, *_: object) -> None:
        self.is_raised = True


_asked = Flag()


def listen() -> None:
    """Call this in the process's main thread; torch_xla runs replicas in another one."""
    signal.signal(signal.SIGTERM, _asked.raise_)


def was_asked() -> bool:
    return _asked.is_raised
