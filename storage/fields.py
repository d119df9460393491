"""What a run can be searched, sorted and grouped by: words of people -> SQL over summaries.

Every value that people gave is bound, never written into the SQL.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from storage.database import Database
from storage.runs import STATUSES

Kind = Literal["text", "number", "date", "tag", "config"]
ENDS = ("best", "last", "min", "max")
PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,3}")
SECTIONS = ("config", "workload", "dataset")  # a config's parts that have keys of their own
MOST_JOINS = 60  # SQLite joins 64 tables at most; more metrics are looked up run by run
REPEATS = "repeats"  # groups by all of the config but its seed
DEVICE = "(SELECT group_concat(json_extract(value, '$.name'), ', ') FROM json_each(runs.devices))"
TOOK = "coalesce(runs.finished_at, runs.last_event_at) - runs.started_at"
SPEED = """coalesce(json_extract(runs.facts, '$.steady_samples_per_s'),
    (SELECT last FROM series WHERE run_id = runs.id AND key = 'samples_per_s'))"""
COLUMNS: dict[str, tuple[Kind, str]] = {
    "id": ("text", "runs.id"),
    "name": ("text", "runs.name"),
    "status": ("text", "runs.status"),
    "framework": ("text", "runs.framework"),
    "accelerator": ("text", "runs.accelerator"),
    "device": ("text", DEVICE),
    "workload": ("text", "runs.workload"),
    "dataset": ("text", "runs.dataset"),
    "user": ("text", "runs.submitted_by"),
    "notes": ("text", "runs.notes"),
    "host": ("text", "runs.host"),
    "failure": ("text", "runs.failure_kind"),
    "tag": ("tag", "(SELECT group_concat(tag, ', ') FROM tags WHERE run_id = runs.id)"),
    "submitted": ("date", "runs.submitted_at"),
    "started": ("date", "runs.started_at"),
    "finished": ("date", "runs.finished_at"),
    "took": ("number", TOOK),
    "speed": ("number", SPEED),
    "progress": ("number", "min(1.0, CAST(runs.step AS REAL) / runs.total_steps)"),
    "priority": ("number", "runs.priority"),
    REPEATS: ("text", "json_remove(runs.config, '$.seed')"),
}
STATUS_TITLES = {status: status for status in STATUSES}
OTHER_NAMES = {"date": "submitted", "tags": "tag", "submitted_by": "user", "duration": "took"}
DURATIONS = ("took", "duration")


class BadQuery(ValueError):
    """What people wrote cannot be searched by; says what, the value, and the way out."""


@dataclass(frozen=True)
class Vocabulary:
    """What this store does not know by itself: which end of a metric is the better one, shorter
    names of metrics, a config's keys, those of its sections as `workload.width`, and of a column
    with few values these and their titles."""

    best: Mapping[str, Literal["max", "min"] | None] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    config: Collection[str] = ()
    nested: Collection[str] = ()
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Field(NamedTuple):
    kind: Kind
    sql: str


class Statement:
    """Parts of one SELECT over runs: what is bound, and one join for each metric it names."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        metric_keys: Collection[str],
        there: Callable[[str], Collection[str]] = lambda _: (),
    ) -> None:
        """`there` tells which values runs have in a column, and at a key of their configs."""
        self.values: dict[str, Any] = {}
        self._vocabulary = vocabulary
        self._metric_keys = metric_keys
        self._there = there
        self._joined: dict[str, tuple[str, str]] = {}  # key -> its mark and its join's name

    def bind(self, value: Any) -> str:
        """A mark that stands for the value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def choice(self, word: str, value: str) -> str:
        """The value of a column as it is stored, by its title too. Raise `BadQuery` if no run can
        have it: none of this version's, and none that is there."""
        choices = self._choices(word)
        if choices is None:
            return value
        for stored, title in choices.items():
            if value.lower() in (stored.lower(), title.lower()):
                return stored
        there = self._there(word.removeprefix("config.")) if word != "status" else ()
        if value.lower() in map(str.lower, there):
            return value
        raise BadQuery(f"Unknown {word} {value[:40]!r}. Choose one of: {', '.join(choices)}.")

    def titled(self, word: str, text: str) -> list[str]:
        """Which values of a column have the text in their titles."""
        choices = self._choices(word) or {}
        return [stored for stored, title in choices.items() if text.lower() in title.lower()]

    def _choices(self, word: str) -> Mapping[str, str] | None:
        named = self._vocabulary.choices.get(word.removeprefix("config."))
        return STATUS_TITLES if word == "status" else named

    @property
    def joins(self) -> str:
        return " ".join(
            f"LEFT JOIN series AS {alias} INDEXED BY series_by_key "  # it holds all that is asked
            f"ON {alias}.run_id = runs.id AND {alias}.key = {mark}"
            for mark, alias in self._joined.values()
        )

    def field(self, word: str) -> Field:
        """The column, metric or config key of that name. Raise `BadQuery`."""
        word = OTHER_NAMES.get(word, word)
        if word in COLUMNS:
            return Field(*COLUMNS[word])
        found = self.metric_of(word)
        if found:
            return Field("number", self._summary(*found))
        if self._is_config(word) and self._is_there(word):
            path = "$." + word.removeprefix("config.")
            path += ".name" if path in ("$.workload", "$.dataset") else ""
            return Field("config", f"json_extract(runs.config, {self.bind(path)})")
        raise BadQuery(self._unknown(word))

    def metric_of(self, word: str) -> tuple[str, str] | None:
        """(key, end): `accuracy` is the best of its metric, `last.train_loss` says which end."""
        end, dot, key = word.partition(".")
        if not dot or end not in ENDS:
            end, key = "best", word
        key = self._vocabulary.aliases.get(key, key)
        is_config = end == "best" and not dot and self._is_config(word)
        known = key in self._metric_keys or key in self._vocabulary.best
        return (key, end) if known and not is_config else None

    def _summary(self, key: str, end: str) -> str:
        column = (self._vocabulary.best.get(key) or "last") if end == "best" else end
        if key not in self._joined and len(self._joined) == MOST_JOINS:
            mark = self.bind(key)
            return f"(SELECT {column} FROM series WHERE run_id = runs.id AND key = {mark})"  # noqa: S608  own words
        if key not in self._joined:
            self._joined[key] = (self.bind(key), f"m{len(self._joined)}")
        # A bare column in WHERE would let SQLite join the other way round: metrics first, and then
        # each run's whole row by its id.
        return f"coalesce({self._joined[key][1]}.{column}, NULL)"

    def _is_config(self, word: str) -> bool:
        named = word in self._vocabulary.config
        section, dot, _ = word.partition(".")
        return bool(named or (dot and section in SECTIONS and PATH.fullmatch(word)))

    def _is_there(self, word: str) -> bool:
        """Whether this version has a key of the config, or else any run has it."""
        key, known = word.removeprefix("config."), self._vocabulary
        is_known = key.removesuffix(".name") in SECTIONS or key in (*known.config, *known.nested)
        return is_known or bool(self._there(f"config.{key}"))

    def _unknown(self, word: str) -> str:
        known = [*COLUMNS, *self._vocabulary.aliases, *self._vocabulary.best, *self._metric_keys]
        known += [*self._vocabulary.config, *self._vocabulary.nested]
        close = difflib.get_close_matches(word.removeprefix("config."), known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else (
            "Use a column (status, framework, device, tag, submitted, …), a metric, or a key of "
            "the configuration (config.NAME)."
        )  # fmt: skip
        return f"Unknown field {word[:60]!r}. {hint}"


def is_field(
    word: str,
    vocabulary: Vocabulary,
    metric_keys: Collection[str],
    there: Callable[[str], Collection[str]] = lambda _: (),
) -> bool:
    """Whether runs can be sorted and grouped by it; `there` is as in `Statement`."""
    try:
        Statement(vocabulary, metric_keys, there).field(word)
    except BadQuery:
        return False
    return True


def metric_keys(db: Database) -> list[str]:
    """Each key that any run has, by jumps through the index: not one row a series."""
    rows = db.execute(
        "WITH RECURSIVE found (key) AS (SELECT min(key) FROM series UNION ALL "
        "SELECT (SELECT min(key) FROM series WHERE series.key > found.key) FROM found "
        "WHERE found.key IS NOT NULL) SELECT key FROM found WHERE key IS NOT NULL"
    )
    return [key for (key,) in rows]
