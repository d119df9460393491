"""Journal -> store: a run's new events, with how far the journal was read, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import events, journal
from engine.journal import Chunk, Record
from storage import metrics
from storage.database import Database
from storage.metrics import Values


def ingest(db: Database, run_id: str, path: Path, offset: int, last_seq: int) -> Record | None:
    """Copy what the journal has from byte `offset` on and after event `last_seq`, in reads of
    bounded size; the last event that was new.
    """
    last = None
    while (chunk := journal.read(path, offset)).offset > offset:
        new = [record for record in chunk.records if record.seq > last_seq]
        offset, last_seq = chunk.offset, max([last_seq, *(record.seq for record in new)])
        _store(db, run_id, new, last_seq, chunk)
        last = new[-1] if new else last
    return last


def _store(db: Database, run_id: str, new: Sequence[Record], last_seq: int, chunk: Chunk) -> None:
    others = [record.event for record in new if not isinstance(record.event, events.Metrics)]
    facts: dict[str, Any] = {}
    for event in others:
        facts |= event.values if isinstance(event, events.Facts) else {}
    phases = [event.phase for event in others if isinstance(event, events.PhaseStarted)]
    started = [event.environment for event in others if isinstance(event, events.Started)]
    metrics.ingest(
        db,
        run_id,
        _points(new),
        last_seq=last_seq,
        offset=chunk.offset,
        damaged=chunk.damaged,
        at=max((record.at for record in new), default=None),
        phase=phases[-1] if phases else None,
        environment=started[-1] if started else None,
        facts=facts,
    )


def _points(new: Sequence[Record]) -> list[Values]:
    return [
        (key, event.step, event.epoch, record.at, value)
        for record in new
        if isinstance(event := record.event, events.Metrics)
        for key, value in event.values.items()
    ]
