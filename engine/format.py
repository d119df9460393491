"""Figures as people read them: with a unit and no more digits than they can use. Unknown is —."""

from __future__ import annotations

from collections.abc import Sequence

from engine.metrics import describe

UNKNOWN = "—"


def figure(value: float | None, digits: int = 3) -> str:
    """Significant digits, with thousands separated: 0.0123, 4.56, 12,300.

    >>> figure(12345.6), figure(0.012345), figure(None)
    ('12,346', '0.0123', '—')
    """
    if value is None:
        return UNKNOWN
    rounded = f"{value:.{digits}g}"
    is_long = isinstance(value, int) or abs(float(rounded)) >= 1000
    return f"{value:,.0f}" if is_long else rounded


def metric(key: str, value: float | None) -> str:
    """A metric's value with its unit: `88.1 %`, `64,300 samples/s`, `0.327`."""
    unit = describe(key).unit
    if value is None:
        return UNKNOWN
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{figure(value)} {unit}".rstrip()


def duration(seconds: float | None) -> str:
    """`0.076 s`, `4.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.

    >>> duration(0.0761), duration(4.21), duration(185)
    ('0.076 s', '4.2 s', '3 min 5 s')
    """
    if seconds is None:
        return UNKNOWN
    if 0.0005 <= seconds < 0.995:
        return f"{seconds:.2g} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def gib(size_bytes: int | None) -> str:
    return UNKNOWN if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def amount(value: float | None, unit: str) -> str:
    """With a decimal prefix: `54.3 MFLOP`, `50.4 MB`.

    >>> amount(54_270_724, "FLOP"), amount(12, "B")
    ('54.3 MFLOP', '12 B')
    """
    if value is None:
        return UNKNOWN
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if _reaches(value, size):
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def step_time(seconds: float | None) -> str:
    """`61.6 µs`, `251 ms`, `1.2 s`."""
    if seconds is None:
        return UNKNOWN
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if _reaches(seconds, size):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _reaches(value: float, size: float) -> bool:
    """Whether the value is one of that size, rounded as it is shown: 999.6 is shown as 1 k."""
    return abs(float(f"{value / size:.3g}")) >= 1


def counted(number: int, noun: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_a_row(words: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`.

    >>> in_a_row(["A", "B", "C"])
    'A, B and C'
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
