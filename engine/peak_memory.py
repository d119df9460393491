"""The most memory that this process has had resident, but for what only measuring it took."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

OF_THIS_PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # what `clear_refs` takes for it: proc(5)


class PeakMemory:
    """The kernel keeps a high-water mark; what is left out would have raised it."""

    def __init__(self) -> None:
        self._earlier, self._is_mark_ours = 0, True

    def bytes(self) -> int:
        return max(
            self._earlier, _mark() if self._is_mark_ours else psutil.Process().memory_info().rss
        )

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """What the block takes does not count.

        Where the mark cannot be lowered again, what is resident whenever one asks counts from then.
        """
        self.bytes()
        try:
            yield
        finally:
            self._is_mark_ours = self._is_mark_ours and _is_lowered()


of_this_process = PeakMemory()


def _mark() -> int:
    try:
        lines = (OF_THIS_PROCESS / "status").read_text(encoding="ascii", errors="replace")
        (mark,) = (line for line in lines.splitlines() if line.startswith("VmHWM:"))
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(mark.split()[1]) * 1024


def _is_lowered() -> bool:
    """Put the mark to what is resident now; False where that is not allowed."""
    try:
        (OF_THIS_PROCESS / "clear_refs").write_text(RESET_PEAK)
    except OSError:
        return False
    return True
