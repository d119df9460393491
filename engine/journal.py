"""The trainer's journal: one JSON line an event, numbered from 1, in a file of the run's own.

With nobody reading, the trainer writes on; a reader that comes back reads on from its offset.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine import events

READ_BYTES = 8 << 20
FULL_DISK_WAIT_S = 60.0


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event as it stands in the journal. `at` is Unix time in seconds."""

    seq: int
    at: float
    event: events.Event


class Chunk(NamedTuple):
    """What one read gave. `damaged` lines were complete but no events of ours."""

    records: list[Record]
    offset: int
    damaged: int


class _Stamp(msgspec.Struct, gc=False):
    """What each line has beside its event."""

    seq: int
    at: float


_stamps, _events = msgspec.json.Decoder(_Stamp), msgspec.json.Decoder(events.Event)


class Writer:
    """Appends events. What a full disk refuses is kept in memory and tried again."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._clock = clock
        self._pending = b""
        self._seq = 0

    @classmethod
    def after_another(cls, path: Path) -> Writer:
        """Go on where a writer that is gone ended; a line that it left unfinished is closed."""
        writer, last = cls(path), read(path, max(0, _size(path) - READ_BYTES))
        if last.records:
            writer._seq = last.records[-1].seq
        if last.offset < _size(path):
            writer._pending = b"\n"
        return writer

    def append(self, event: events.Event) -> None:
        """Queue the event and write all that is queued; a full disk leaves it queued."""
        self._seq += 1
        line = {"seq": self._seq, "at": round(self._clock(), 4), **events.to_json(event)}
        text = json.dumps(line, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        self._pending += text.encode("utf-8", "replace") + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Write what is queued; False if there is no room for it yet."""
        while self._pending:
            try:
                written = os.write(self._fd, self._pending)
            except OSError:  # no room, quota or I/O error: the caller decides how long to wait
                return False
            self._pending = self._pending[written:]
        return True

    def drain(self) -> bool:
        """Wait for room on a full disk, so that a run that is done is known to be done."""
        give_up = time.monotonic() + FULL_DISK_WAIT_S
        while not self.flush():
            if time.monotonic() > give_up:
                return False
            time.sleep(0.5)
        return True

    def close(self) -> None:
        os.close(self._fd)


def read(path: Path, offset: int) -> Chunk:
    """Events in complete lines from byte `offset` on; a line still being written is left."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(READ_BYTES)
    except FileNotFoundError:
        return Chunk([], offset, 0)
    complete = data[: data.rfind(b"\n") + 1]
    lines = complete.splitlines()
    records = _parsed(complete, len(lines))
    return Chunk(records, offset + len(complete), len(lines) - len(records))


def outcome(path: Path) -> Record | None:
    """The event that ended the run, if the trainer got as far as writing one."""
    records = read(path, max(0, _size(path) - READ_BYTES)).records
    ended = [r for r in records if isinstance(r.event, (events.Finished, events.Failed))]
    return ended[-1] if ended else None


def _parsed(text: bytes, lines: int) -> list[Record]:
    """The events of so many lines: all at once, or one by one if there are others among them."""
    try:
        stamps, found = _stamps.decode_lines(text), _events.decode_lines(text)
    except ValueError:
        stamps, found = [], []
    if len(found) == lines:
        return [Record(s.seq, s.at, event) for s, event in zip(stamps, found, strict=True)]
    return [record for line in text.splitlines() if (record := _parse(line))]


def _parse(line: bytes) -> Record | None:
    try:
        stamp = _stamps.decode(line)
        return Record(stamp.seq, stamp.at, _events.decode(line))
    except ValueError:
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
