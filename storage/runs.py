"""Runs: one row an execution. A change of state is one conditional UPDATE; final states stay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from storage import ids
from storage.database import Database, change

ACTIVE = ("PENDING", "RUNNING")
FINAL = ("SUCCEEDED", "FAILED", "STOPPED")
STATUSES = ACTIVE + FINAL


class Summary(NamedTuple):
    """What is known of one metric of one run without reading its points."""

    points: int
    last: float | None
    min: float | None
    max: float | None


class Run(msgspec.Struct, frozen=True):
    """One row. Times are Unix seconds; None is unknown or not yet."""

    id: str
    name: str
    notes: str
    tags: tuple[str, ...]
    submitted_by: str
    priority: int
    config: dict[str, Any]
    workload: str
    dataset: str
    framework: str
    accelerator: str
    total_steps: int
    cloned_from: str | None
    status: str
    failure_kind: str | None
    failure: str | None
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    stop_requested_at: float | None
    stop_requested_by: str | None
    host: str | None
    devices: list[dict[str, Any]]
    environment: dict[str, Any]
    process: dict[str, Any] | None
    phase: str | None
    step: int
    epoch: float
    last_event_at: float | None
    last_seq: int
    journal_offset: int
    damaged_lines: int
    archived: bool
    facts: dict[str, Any]
    resumed_epoch: int | None
    earlier_s: float
    cool_down_s: float
    metrics: dict[str, Summary]

    @property
    def pid(self) -> int | None:
        return self.process["pid"] if self.process else None

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def stopping(self) -> bool:
        """Asked to stop, and not yet over."""
        return self.active and self.stop_requested_at is not None


# A run's row with its tags and metric summaries, each as one JSON value: one query, no series.
# SQLite writes fifteen digits of a number in JSON, and as many as it takes of one that is quoted.
SELECT = """
    SELECT runs.*,
        (SELECT json_group_array(tag) FROM tags WHERE run_id = runs.id) AS tags,
        (SELECT json_group_object(key, json_array(points, quote(last), quote(min), quote(max)))
            FROM series WHERE run_id = runs.id) AS metrics
    FROM runs
"""
# What of a config a run's memory depends on, beside its batch size and its devices.
OF_MEMORY = ("workload", "dataset", "framework", "accelerator", "precision", "optimizer", "input")
DEVICES_ASKED_FOR = """CASE json_type(config, '$.devices')
    WHEN 'array' THEN json_array_length(config, '$.devices')
    ELSE json_extract(config, '$.devices') END"""
DEVICE_NAMES = """(SELECT group_concat(json_extract(value, '$.name'), ', ')
    FROM json_each(runs.devices))"""
VERSION_TRAINED = "coalesce(json_extract(environment, '$.workload_version'), 1)"
# Whether it took steps of its own, and not only over.
TRAINED = """step > coalesce(resumed_epoch, 0) * total_steps / json_extract(config, '$.epochs')"""
NEWEST_FIRST = "submitted_at DESC, id DESC"
_tags = msgspec.json.Decoder(tuple[str, ...])
_summaries = msgspec.json.Decoder(dict[str, Summary], strict=False)  # numbers and NULL as text


def create(
    db: Database,
    *,
    name: str,
    config: dict[str, Any],
    total_steps: int,
    submitted_by: str,
    notes: str = "",
    tags: Iterable[str] = (),
    priority: int = 0,
    cloned_from: str | None = None,
    resumed_epoch: int | None = None,
    cool_down_s: float = 0.0,
    now: float | None = None,
) -> str:
    """Add a PENDING run and return its id. `cool_down_s` is a rest of its host before it."""
    now = time.time() if now is None else now
    row = {
        "id": ids.new(now),
        "name": name,
        "notes": notes,
        "submitted_by": submitted_by,
        "priority": priority,
        "config": json.dumps(config),
        "workload": config["workload"]["name"],
        "dataset": config["dataset"]["name"],
        "framework": config["framework"],
        "accelerator": config["accelerator"],
        "total_steps": total_steps,
        "cloned_from": cloned_from,
        "resumed_epoch": resumed_epoch,
        "cool_down_s": cool_down_s,
        "submitted_at": now,
    }
    columns = ", ".join(row)
    values = ", ".join(f":{column}" for column in row)
    with change(db):
        db.execute(f"INSERT INTO runs ({columns}) VALUES ({values})", row)  # noqa: S608  own names
        for tag in tags:
            db.execute("INSERT OR IGNORE INTO tags VALUES (?, ?)", [row["id"], tag])
    return row["id"]


def get(db: Database, run_id: str) -> Run | None:
    row = db.execute(f"{SELECT} WHERE id = ?", [run_id]).fetchone()
    return from_row(row) if row else None


def list_newest(db: Database, limit: int, statuses: Sequence[str] = ()) -> list[Run]:
    """The newest runs, archived ones too, that have one of the statuses. `run_list` finds more."""
    where = f"status IN ({', '.join('?' * len(statuses))})" if statuses else "TRUE"
    query = f"{SELECT} WHERE {where} ORDER BY {NEWEST_FIRST} LIMIT ?"
    return [from_row(row) for row in db.execute(query, [*statuses, limit])]


def of_study(db: Database, study_id: str) -> dict[str, Run]:
    """All runs of a study, by their id."""
    query = f"{SELECT} WHERE id IN (SELECT run_id FROM study_runs WHERE study_id = ?)"  # noqa: S608  own words
    return {run.id: run for run in map(from_row, db.execute(query, [study_id]))}


def queue(db: Database) -> list[Run]:
    """PENDING runs, the next one first: by priority, then by time of submission."""
    query = f"{SELECT} WHERE status = 'PENDING' ORDER BY priority DESC, submitted_at, id"
    return [from_row(row) for row in db.execute(query)]


def running(db: Database) -> list[Run]:
    return [from_row(row) for row in db.execute(f"{SELECT} WHERE status = 'RUNNING' ORDER BY id")]


def running_ids(db: Database) -> set[str]:
    return {row[0] for row in db.execute("SELECT id FROM runs WHERE status = 'RUNNING'")}


def counts(db: Database) -> dict[str, int]:
    """How many runs there are in each status that has any."""
    return dict(tuple(row) for row in db.execute("SELECT status, count(*) FROM runs GROUP BY 1"))


def all_tags(db: Database) -> list[str]:
    return [row[0] for row in db.execute("SELECT DISTINCT tag FROM tags ORDER BY tag")]


def claim(
    db: Database, run_id: str, *, host: str, devices: Sequence[dict[str, Any]], now: float
) -> bool:
    """Move a PENDING run to RUNNING and lease its devices; False if either is taken."""
    with change(db):
        ids_taken = [device["id"] for device in devices]
        marks = ", ".join("?" * len(ids_taken))
        busy = db.execute(f"SELECT 1 FROM leases WHERE device_id IN ({marks})", ids_taken)  # noqa: S608
        if busy.fetchone():
            return False
        claimed = db.execute(
            "UPDATE runs SET status = 'RUNNING', started_at = ?, host = ?, devices = ?, "
            "last_event_at = ? WHERE id = ? AND status = 'PENDING'",
            [now, host, json.dumps(list(devices)), now, run_id],
        ).rowcount
        for device_id in ids_taken if claimed else ():
            db.execute("INSERT INTO leases VALUES (?, ?)", [device_id, run_id])
    return bool(claimed)


def unclaim(db: Database, run_id: str) -> bool:
    """Put a RUNNING run whose trainer never started back into the queue, or stop it if asked."""
    with change(db):
        put_back = db.execute(
            "UPDATE runs SET status = iif(stop_requested_at IS NULL, 'PENDING', 'STOPPED'), "
            "finished_at = stop_requested_at, started_at = NULL, devices = '[]' "
            "WHERE id = ? AND status = 'RUNNING' AND process IS NULL AND last_seq = 0",
            [run_id],
        ).rowcount
        if put_back:
            db.execute("DELETE FROM leases WHERE run_id = ?", [run_id])
    return bool(put_back)


def note_earlier(db: Database, run_id: str, seconds: float) -> None:
    """Note how long the runs that this one goes on from had been at it."""
    with change(db):
        db.execute("UPDATE runs SET earlier_s = ? WHERE id = ?", [seconds, run_id])


def record_process(db: Database, run_id: str, process: dict[str, Any]) -> None:
    """Note which process trains a RUNNING run: its `pid`, and what its launcher knows it by."""
    with change(db):
        db.execute(
            "UPDATE runs SET process = ? WHERE id = ? AND status = 'RUNNING'",
            [json.dumps(process), run_id],
        )


def note_facts(db: Database, run_id: str, facts: dict[str, Any]) -> None:
    """Add to what is known of a run as a whole, part by part; a part that is None is taken out."""
    with change(db):
        db.execute(
            "UPDATE runs SET facts = json_patch(facts, ?) WHERE id = ?", [json.dumps(facts), run_id]
        )


def request_stop(db: Database, run_id: str, by: str, now: float) -> bool:
    """Stop a PENDING run at once, ask a RUNNING one to; False if it is over already."""
    with change(db):
        changed = db.execute(
            "UPDATE runs SET stop_requested_at = coalesce(stop_requested_at, :now), "
            "stop_requested_by = coalesce(stop_requested_by, :by), "
            "finished_at = iif(status = 'PENDING', :now, NULL), "
            "status = iif(status = 'PENDING', 'STOPPED', status) "
            "WHERE id = :id AND status IN ('PENDING', 'RUNNING')",
            {"now": now, "by": by, "id": run_id},
        ).rowcount
    return bool(changed)


def finish(
    db: Database,
    run_id: str,
    status: str,
    *,
    finished_at: float,
    failure_kind: str | None = None,
    failure: str | None = None,
) -> bool:
    """Move an active run to its final status and free its devices; False if it had one."""
    with change(db):
        changed = db.execute(
            "UPDATE runs SET status = ?, finished_at = ?, failure_kind = ?, failure = ?, "
            "phase = NULL WHERE id = ? AND status IN ('PENDING', 'RUNNING')",
            [status, finished_at, failure_kind, failure, run_id],
        ).rowcount
        db.execute("DELETE FROM leases WHERE run_id = ?", [run_id])
    return bool(changed)


def edit(
    db: Database,
    run_id: str,
    *,
    name: str | None = None,
    notes: str | None = None,
    tags: Iterable[str] | None = None,
    name_before: str | None = None,
    notes_before: str | None = None,
) -> bool:
    """Change what a run is called; None leaves a part as it is.

    With `name_before` or `notes_before`, only if it still is that, or is so already. False if
    nothing was changed.
    """
    with change(db):
        changed = db.execute(
            "UPDATE runs SET name = coalesce(:name, name), notes = coalesce(:notes, notes) "
            "WHERE id = :id AND (:name_before IS NULL OR name IN (:name_before, :name)) "
            "AND (:notes_before IS NULL OR notes IN (:notes_before, :notes))",
            {"name": name, "notes": notes, "id": run_id,
             "name_before": name_before, "notes_before": notes_before},
        ).rowcount  # fmt: skip
        if changed and tags is not None:
            db.execute("DELETE FROM tags WHERE run_id = ?", [run_id])
            add_tags(db, run_id, tags)
    return bool(changed)


def add_tags(db: Database, run_id: str, tags: Iterable[str]) -> None:
    """Beside those that the run has, whoever added them."""
    with change(db):
        rows = [(run_id, tag) for tag in tags]
        db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", rows)


def remove_tags(db: Database, run_id: str, tags: Iterable[str]) -> None:
    """Only these; the others stay, whoever added them."""
    with change(db):
        rows = [(run_id, tag) for tag in tags]
        db.executemany("DELETE FROM tags WHERE run_id = ? AND tag = ?", rows)


def set_archived(db: Database, run_id: str, archived: bool) -> bool:
    """False if it is so already, or if there is no such run."""
    with change(db):
        query = "UPDATE runs SET archived = ? WHERE id = ? AND archived != ?"
        return bool(db.execute(query, [archived, run_id, archived]).rowcount)


def delete(db: Database, run_id: str) -> bool:
    """Remove a run and all that was recorded of it; False if it is active, or gone."""
    with change(db):
        query = "DELETE FROM runs WHERE id = ? AND status NOT IN ('PENDING', 'RUNNING')"
        return bool(db.execute(query, [run_id]).rowcount)


def largest_batch(db: Database, run: Run, workload_version: int) -> int | None:
    """The largest batch with which a run trained that is like this one in all that its memory
    depends on: what it trains, on which data, how, and on how many devices of which model.

    `workload_version` is that of the run's workload: another version is another model.
    """
    of_config = ", ".join(f"json_extract(config, '$.{name}')" for name in OF_MEMORY)
    like_it = f"json_array({of_config}, {DEVICES_ASKED_FOR}, {DEVICE_NAMES})"
    query = f"""
        SELECT max(json_extract(config, '$.batch_size')) FROM runs
        WHERE {TRAINED} AND failure_kind IS NOT 'out_of_memory' AND id != :id
            AND {VERSION_TRAINED} = :version
            AND {like_it} = (SELECT {like_it} FROM runs WHERE id = :id)
    """  # noqa: S608
    return db.execute(query, {"id": run.id, "version": workload_version}).fetchone()[0]


def leases(db: Database) -> dict[str, str]:
    """Device id -> id of the run that has it to itself."""
    return dict(tuple(row) for row in db.execute("SELECT device_id, run_id FROM leases"))


def from_row(row: Any) -> Run:
    """A row of `SELECT`."""
    fields = dict(zip(row.keys(), row, strict=True))  # dict(row) looks each name up, in a row
    return Run(
        **fields
        | {
            "tags": _tags.decode(fields["tags"]),
            "config": _decoded(fields["config"]),
            "devices": _decoded(fields["devices"]),
            "environment": _decoded(fields["environment"]),
            "facts": _decoded(fields["facts"]),
            "process": _decoded(fields["process"] or "null"),
            "archived": bool(fields["archived"]),
            "metrics": _summaries.decode(fields["metrics"]),
        }
    )


def _decoded(text: str) -> Any:
    """JSON; a name of a file may hold half a surrogate pair, which only the slower parser takes."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)
