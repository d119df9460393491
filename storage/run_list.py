"""Which runs, in which order, and a page of them; or groups of them. Series are never read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from storage import fields, runs, search
from storage.database import Database
from storage.fields import Statement, Vocabulary
from storage.runs import Run

NEWEST = "-submitted"
SEARCHED = """(runs.id || ' ' || runs.name || ' ' || runs.workload || ' ' || runs.dataset || ' '
    || runs.framework || ' '
    || coalesce((SELECT group_concat(tag, ' ') FROM tags WHERE run_id = runs.id), ''))"""

DEVICE_NAME = "json_extract(value, '$.name')"  # of one of a run's devices


@dataclass(frozen=True)
class Wanted:
    """What is looked for; an empty part leaves out nothing.

    `text` is words that must all occur, `query` is in the query language. `since` and `until` are
    days, the last one with all of it.
    """

    text: str = ""
    query: str = ""
    statuses: Sequence[str] = ()
    frameworks: Sequence[str] = ()
    accelerators: Sequence[str] = ()
    workloads: Sequence[str] = ()
    tags: Sequence[str] = ()
    since: str = ""
    until: str = ""
    archived: bool = False
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    devices: Sequence[str] = ()


class Page(NamedTuple):
    runs: list[Run]
    total: int


@dataclass(frozen=True)
class Spread:
    """Of the runs of a group that have a value. `variance` is of the sample (n - 1)."""

    count: int
    mean: float | None
    variance: float | None


@dataclass(frozen=True)
class Group:
    """`values` are what the runs have in common; `spreads` one for each figure asked for."""

    values: tuple[Any, ...]
    count: int
    newest: str
    spreads: tuple[Spread, ...]


class Groups(NamedTuple):
    """Some of the groups, and how many there are."""

    groups: list[Group]
    total: int


class Selected(NamedTuple):
    """What those of some runs that exist amount to."""

    total: int
    active: int
    archived: int


def page(
    db: Database, wanted: Wanted, *, sort: str = NEWEST, limit: int = 50, offset: int = 0
) -> Page:
    """A page of the runs, and how many there are. `sort` is a word; "-" before it: descending.

    Runs that lack it come last, either way. Raise `BadQuery`.
    """
    statement = _statement(db, wanted)
    where = _where(statement, wanted)
    counted = f"SELECT count(*) FROM runs {statement.joins} WHERE {where}"  # noqa: S608
    way, key, filters_metrics = _way(sort), "NULL", bool(statement.joins)
    by = f"submitted_at {way}, id {way}"
    if sorted_by(sort) != "submitted":
        found = statement.field(sorted_by(sort))
        letters = " COLLATE NOCASE" if found.kind == "text" else ""
        key, by = found.sql, f"key{letters} {way} NULLS LAST, submitted_at DESC, id DESC"
    # To count takes no metric that is only sorted by. Where metrics are looked up for both, once.
    once = filters_metrics and key != "NULL"
    query = (
        f"WITH found AS {'' if once else 'NOT'} MATERIALIZED (SELECT runs.id AS id, "  # noqa: S608
        f"runs.submitted_at AS submitted_at, {key} AS key FROM runs {statement.joins} "
        f"WHERE {where}) SELECT id, ({'SELECT count(*) FROM found' if once else counted}) "
        f"FROM found ORDER BY {by} LIMIT {int(limit)} OFFSET {int(offset)}"
    )
    rows = db.execute(query, statement.values).fetchall()
    beyond = offset and not rows
    total = db.execute(counted, statement.values).fetchone()[0] if beyond else 0
    return Page(of_ids(db, [row[0] for row in rows]), rows[0][1] if rows else total)


def sorted_by(sort: str) -> str:
    """The word that runs are sorted by, without its direction."""
    return sort.removeprefix("-")


def of_ids(db: Database, run_ids: Sequence[str]) -> list[Run]:
    """Those of the runs that exist, in this order."""
    query = f"{runs.SELECT} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608  own words
    found = {row["id"]: row for row in db.execute(query, [json.dumps(list(run_ids))])}
    return [runs.from_row(found[run_id]) for run_id in run_ids if run_id in found]


def those_there(db: Database, run_ids: Sequence[str]) -> set[str]:
    """The ids of those of the runs that exist, however many."""
    query = "SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(?))"
    return {row[0] for row in db.execute(query, [json.dumps(list(run_ids))])}


def ids(db: Database, wanted: Wanted) -> list[str]:
    """All that are found, the newest first."""
    statement = _statement(db, wanted)
    where = _where(statement, wanted)
    order = "ORDER BY runs.submitted_at DESC, runs.id DESC"
    query = f"SELECT runs.id FROM runs {statement.joins} WHERE {where} {order}"  # noqa: S608
    return [row[0] for row in db.execute(query, statement.values)]


def groups(
    db: Database, wanted: Wanted, by: Sequence[str], figures: Sequence[str], *,
    sort: str = NEWEST, limit: int = 500,
) -> Groups:  # fmt: skip
    """Runs that have all of `by` in common, with the spread of each figure; dates are taken by day.

    A run with several tags is in the group of each. `sort` is by the mean of a number, the first
    of texts, the newest date; "-" before it: descending. Raise `BadQuery` for a word that is none,
    or a figure that is no number.
    """
    statement = _statement(db, wanted)
    where = _where(statement, wanted)
    grouped = [_grouped(statement, word) for word in by]
    names = [f"g{i}" for i in range(len(by))]
    common = ", ".join(names)
    of_group = "".join(f", {sql} AS {name}" for (sql, _), name in zip(grouped, names, strict=True))
    tagged = "".join(dict.fromkeys(join for _, join in grouped))
    numbers = [_number(statement, word) for word in figures]
    of_run = "".join(f", {sql} AS x{i}" for i, sql in enumerate(numbers))
    means = "".join(
        f", avg(x{i}) OVER (PARTITION BY {common}) AS mean{i}" for i in range(len(numbers))
    )
    spread = "".join(
        f", count(x{i}), avg(x{i}), sum((x{i} - mean{i}) * (x{i} - mean{i})) / (count(x{i}) - 1.0)"
        for i in range(len(numbers))
    )
    ordered, over = _group_order(statement, by, sorted_by(sort))
    of_runs = f"FROM runs {tagged}{statement.joins} WHERE {where}"
    inner = f"SELECT runs.id, {ordered} AS o{of_group}{of_run} {of_runs}"
    count = len(by) + 2  # the column, from 1, that has the group's number of runs
    rows = db.execute(
        f"SELECT count(*) OVER (), {common}, count(*), max(id){spread} FROM (SELECT *{means} FROM "  # noqa: S608
        f"({inner})) GROUP BY {common} ORDER BY {over} {_way(sort)} NULLS LAST, {count} DESC, "
        f"{count + 1} DESC LIMIT {int(limit)}",
        statement.values,
    ).fetchall()
    return Groups([_group(tuple(row)[1:], len(by)) for row in rows], rows[0][0] if rows else 0)


def outline(db: Database, run_ids: Sequence[str]) -> Selected:
    """Of runs, however many: one query, no metrics."""
    query = (
        "SELECT count(*), total(status IN ('PENDING', 'RUNNING')), total(archived) "
        "FROM runs WHERE id IN (SELECT value FROM json_each(?))"
    )
    return Selected(*map(int, db.execute(query, [json.dumps(list(run_ids))]).fetchone()))


def tags_of(db: Database, run_ids: Sequence[str]) -> list[str]:
    """Each tag that any of the runs has."""
    query = "SELECT DISTINCT tag FROM tags WHERE run_id IN (SELECT value FROM json_each(?)) "
    return [row[0] for row in db.execute(query + "ORDER BY 1", [json.dumps(list(run_ids))])]


def _statement(db: Database, wanted: Wanted) -> Statement:
    return Statement(wanted.vocabulary, fields.metric_keys(db), partial(there, db))


def there(db: Database, word: str) -> list[str]:
    """What runs have in a column; at a key of the config, as `config.workload.width`, one value."""
    if not word.startswith("config."):
        return choices(db, word)
    path = f"$.{word.removeprefix('config.')}"
    query = "SELECT json_extract(config, :path) FROM runs WHERE json_type(config, :path) NOT NULL"
    row = db.execute(f"{query} LIMIT 1", {"path": path}).fetchone()
    return [] if row is None else [str(row[0])]


def choices(db: Database, column: str) -> list[str]:
    """What there is in one of runs' own columns, or as a device's name."""
    if column == "device":
        query = f"SELECT DISTINCT {DEVICE_NAME} FROM runs, json_each(runs.devices) ORDER BY 1"  # noqa: S608
        return [row[0] for row in db.execute(query) if row[0]]
    if column not in ("workload", "dataset", "framework", "accelerator"):
        raise ValueError(f"Unknown column {column!r}.")
    rows = db.execute(f"SELECT DISTINCT {column} FROM runs ORDER BY 1")  # noqa: S608  one of these
    return [row[0] for row in rows]


def has_several(db: Database, column: str) -> bool:
    """Whether runs differ in one of their own columns."""
    query = f"SELECT min({column}) < max({column}) FROM runs"  # noqa: S608  one of ours
    return bool(db.execute(query).fetchone()[0])


def _grouped(statement: Statement, by: str) -> tuple[str, str]:
    """What runs are grouped by, and the join that it takes."""
    found = statement.field(by)
    if found.kind == "tag":
        return "tags.tag", "LEFT JOIN tags ON tags.run_id = runs.id "
    if found.kind == "date":
        return f"date({found.sql}, 'unixepoch', 'localtime')", ""
    return found.sql, ""


def _group_order(statement: Statement, by: Sequence[str], word: str) -> tuple[str, str]:
    """What a run adds to its group's place, and how: (of a run, of the group)."""
    own = [fields.OTHER_NAMES.get(one, one) for one in (*by, word)]
    if own[-1] in own[:-1]:
        return "NULL", f"g{own.index(own[-1])}"
    found = statement.field(word)
    if found.kind in ("number", "config"):
        return _number(statement, word), "avg(o)"
    return found.sql, "max(o)" if found.kind == "date" else "min(o)"


def _group(row: tuple[Any, ...], by: int) -> Group:
    values, (count, newest, *figures) = row[:by], row[by:]
    spreads = tuple(Spread(*figures[i : i + 3]) for i in range(0, len(figures), 3))
    return Group(values, count, newest, spreads)


def _number(statement: Statement, word: str) -> str:
    found = statement.field(word)
    if found.kind not in ("number", "config"):
        raise fields.BadQuery(f"{word} is no number, so it has no mean. Choose a metric.")
    if found.kind == "config":  # of text or a truth value there is no mean
        kind = found.sql.replace("json_extract", "json_type", 1)
        return f"iif({kind} IN ('integer', 'real'), {found.sql}, NULL)"
    return found.sql


def _where(statement: Statement, wanted: Wanted) -> str:
    tests = [] if wanted.archived else ["runs.archived = 0"]
    of_columns = {
        "status": wanted.statuses,
        "framework": wanted.frameworks,
        "accelerator": wanted.accelerators,
        "workload": wanted.workloads,
    }
    for column, chosen in of_columns.items():
        if chosen:
            tests.append(f"runs.{column} IN ({', '.join(map(statement.bind, chosen))})")
    if wanted.devices:
        marks = ", ".join(map(statement.bind, wanted.devices))
        tests.append(
            f"EXISTS (SELECT 1 FROM json_each(runs.devices) WHERE {DEVICE_NAME} IN ({marks}))"  # noqa: S608
        )
    for tag in wanted.tags:
        mark = statement.bind(tag)
        tests.append(f"runs.id IN (SELECT run_id FROM tags WHERE tag = {mark})")  # noqa: S608
    search.check("A search", wanted.text)
    for word in wanted.text.split()[:50]:
        tests.append(f"{SEARCHED} LIKE {statement.bind(search.like(word))} ESCAPE '!'")
    now = time.time()
    if wanted.since:
        begin, _ = search.span("The filter 'submitted since'", wanted.since, now)
        tests.append(f"runs.submitted_at >= {statement.bind(begin)}")
    if wanted.until:
        _, end = search.span("The filter 'submitted until'", wanted.until, now)
        tests.append(f"runs.submitted_at < {statement.bind(end)}")
    tests.append(search.condition(wanted.query, statement))
    return " AND ".join(tests)


def _way(sort: str) -> str:
    return "DESC" if sort.startswith("-") else "ASC"
