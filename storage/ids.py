"""Run ids: 12 characters that sort by time and are safe in a URL, a path and a shell word."""

from __future__ import annotations

import re
import secrets
import threading
import time

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
CHARS, RANDOM_BITS = 12, 15
PATTERN = re.compile(rf"[{DIGITS}]{{{CHARS}}}")

_lock = threading.Lock()
_last = 0


def new(now: float | None = None) -> str:
    """Milliseconds of Unix time (45 bits: until the year 3084), then 15 bits: the first id of a
    millisecond has random ones, and those after it count on, so that a process makes none twice.
    """
    global _last
    milliseconds = int((time.time() if now is None else now) * 1000)
    with _lock:
        again = milliseconds == _last >> RANDOM_BITS
        _last = _last + 1 if again else milliseconds << RANDOM_BITS | secrets.randbits(14)
        return _encode(_last, CHARS)


def is_id(text: str) -> bool:
    return bool(PATTERN.fullmatch(text))


def _encode(number: int, length: int) -> str:
    return "".join(DIGITS[(number >> 5 * place) & 31] for place in reversed(range(length)))
