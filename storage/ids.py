"""Run ids: 12 characters that sort by time and are safe in a URL, a path and a shell word."""

from __future__ import annotations

import re
import secrets
import time

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
TIME_CHARS, RANDOM_CHARS = 9, 3
PATTERN = re.compile(rf"[{DIGITS}]{{{TIME_CHARS + RANDOM_CHARS}}}")


def new(now: float | None = None) -> str:
    """Milliseconds of Unix time (45 bits: until the year 3084), then 15 random bits."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    return _encode(milliseconds, TIME_CHARS) + _encode(secrets.randbits(15), RANDOM_CHARS)


def is_id(text: str) -> bool:
    return bool(PATTERN.fullmatch(text))


def _encode(number: int, length: int) -> str:
    return "".join(DIGITS[(number >> 5 * place) & 31] for place in reversed(range(length)))
