"""The view `metric_wide`: one row a step, one column a metric, also for metrics of people's own."""

from __future__ import annotations

from collections.abc import Iterable

from storage.database import Database

# These columns come first and always, so that what was written for them works in every store.
FIRST = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate",
         "epoch_s", "samples_per_s", "step_loss")  # fmt: skip
OF_STEP: tuple[str, ...] = ("run_id", "step", "epoch", "at")
MOST = 500  # SQLite has 2,000 columns at most, and nobody reads so many


def note(db: Database, begun: Iterable[tuple[str, int]]) -> None:
    """Of series that have begun, each a key and an id: the first of a metric gives it a column."""
    known = "SELECT 1 FROM series WHERE key = ? AND id != ? LIMIT 1"
    if any(not db.execute(known, of).fetchone() for of in begun if of[0] not in FIRST):
        rebuild(db)


def rebuild(db: Database) -> None:
    """Make the view of all metrics that any run has."""
    keys = [key for (key,) in db.execute("SELECT DISTINCT key FROM series ORDER BY key")]
    columns = ", ".join(
        f"max(CASE key WHEN {_literal(db, key)} THEN value END) AS {_name(key)}"
        for key in _columns(keys)
    )
    db.execute("DROP VIEW IF EXISTS metric_wide")
    db.execute(
        "CREATE VIEW metric_wide AS SELECT run_id, step, max(epoch) AS epoch, max(at) AS at, "  # noqa: S608  quoted
        f"{columns} FROM metrics GROUP BY run_id, step"
    )


def _columns(keys: Iterable[str]) -> list[str]:
    """Names of columns differ by more than their case; what cannot be a name gets none."""
    taken, columns = set(OF_STEP), []
    for key in (*FIRST, *keys):
        if key.lower() not in taken and key and key.isprintable() and len(columns) < MOST:
            taken.add(key.lower())
            columns.append(key)
    return columns


def _literal(db: Database, key: str) -> str:
    return db.execute("SELECT quote(?)", [key]).fetchone()[0]


def _name(key: str) -> str:
    return '"' + key.replace('"', '""') + '"'
