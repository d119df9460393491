"""Whether an error says that memory ran out, and whose: in the words of all that trainers load.

PyTorch and CUDA raise plain `RuntimeError`s for it, XLA hides it in other errors, TensorFlow calls
a full disk by the same name; so the words decide, and errors behind an error are asked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

LAST_BYTES = 64 << 10  # of a log
Whose = Literal["device", "host"]


class Words(NamedTuple):
    """`pattern` is a regular expression; `said_by` is who writes so."""

    whose: Whose
    pattern: str
    said_by: str

    def matches(self, text: str) -> bool:
        return re.search(self.pattern, text) is not None


# The host's first: TensorFlow says the same of both, but for the name of the allocator.
TABLE = (
    Words("host", r"DefaultCPUAllocator: (can't allocate|not enough) memory", "PyTorch"),
    Words("host", r"std::bad_alloc", "C++"),
    Words("host", r"Unable to allocate .* for an array", "NumPy"),
    Words("host", r"Cannot allocate memory", "the kernel"),
    Words("host", r"OOM when allocating .* by allocator (mkl)?cpu\b", "TensorFlow"),
    Words("device", r"CUDA out of memory", "PyTorch"),
    Words("device", r"CUDA error: out of memory", "PyTorch"),
    Words("device", r"CUDA_ERROR_OUT_OF_MEMORY", "CUDA's driver"),
    Words("device", r"cudaErrorMemoryAllocation", "CUDA's runtime"),
    Words("device", r"CU[A-Z]+_STATUS_ALLOC_FAILED", "cuBLAS, cuDNN, cuSOLVER"),
    Words("device", r"Cuda failure (\d+ )?'out of memory'", "NCCL"),
    Words("device", r"OOM when allocating", "TensorFlow"),
    Words("device", r"Failed to allocate request for", "TensorFlow"),
    Words("device", r"Dst tensor is not initialized", "TensorFlow, of a copy that found no room"),
    Words("device", r"Out of memory (while trying to allocate|allocating) \d+", "XLA"),
    Words("device", r"Attempting to (allocate|reserve) [\d.]+[KMGTB]?", "XLA on a TPU"),
    Words("device", r"Ran out of memory in memory space", "XLA's compiler for TPUs"),
)


def of(error: BaseException) -> Whose | None:
    """Whose memory ran out; None if the error, and those it came of, say no such thing."""
    for each in _chain(error):
        if isinstance(each, MemoryError):
            return "host"
        if found := said(str(each)):
            return found
    return None


def said_in(log: Path) -> Whose | None:
    """As `of`, by the last that a process printed before it was gone."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return said(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return None


def said(text: str) -> Whose | None:
    return next((words.whose for words in TABLE if words.matches(text)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
