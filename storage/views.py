"""Saved views: a page's state behind a short id. `state` is as the address has it, versioned."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from storage.database import Database, change
from storage.ids import DIGITS
from storage.search import like

ID_CHARS = 8
VERSION = 1  # of the way in which states are written: the parameters of addresses
NOT_TAKEN = (
    "NOT EXISTS (SELECT 1 FROM views AS other WHERE other.page = :page AND other.id != :id "
    "AND other.name = :name COLLATE NOCASE)"
)
OF_PAGE = "page = ? AND name LIKE ? ESCAPE '!'"


@dataclass(frozen=True)
class View:
    """`state` is each parameter of the page's address with its values."""

    id: str
    name: str
    page: str
    version: int
    state: dict[str, list[str]]
    created_by: str
    created_at: float


def create(
    db: Database,
    *,
    name: str,
    page: str,
    state: Mapping[str, Sequence[str]],
    by: str,
    now: float | None = None,
) -> str | None:
    """Keep a page's state and return its short id; None if a view of the page has that name."""
    view_id = "".join(secrets.choice(DIGITS) for _ in range(ID_CHARS))
    written = json.dumps({key: list(values) for key, values in state.items()})
    at = time.time() if now is None else now
    fields = {"id": view_id, "name": name, "page": page, "version": VERSION, "state": written,
              "created_by": by, "created_at": at}  # fmt: skip
    with change(db):
        added = db.execute(
            f"INSERT INTO views ({', '.join(fields)}) "
            f"SELECT {', '.join(f':{field}' for field in fields)} WHERE {NOT_TAKEN}",
            fields,
        )
    return view_id if added.rowcount else None


def rename(db: Database, view: View, name: str) -> bool:
    """Call it so, under the same link. False if it is gone, or another of its page has the name."""
    with change(db):
        done = db.execute(
            f"UPDATE views SET name = :name WHERE id = :id AND {NOT_TAKEN}",  # noqa: S608  own words
            {"id": view.id, "page": view.page, "name": name},
        )
    return bool(done.rowcount)


def get(db: Database, view_id: str) -> View | None:
    row = db.execute("SELECT * FROM views WHERE id = ?", [view_id]).fetchone()
    return _view(row) if row else None


def of_page(db: Database, page: str, text: str = "", limit: int = 100) -> list[View]:
    """The views of one page, by name: those whose names hold the text."""
    query = (
        f"SELECT * FROM views WHERE {OF_PAGE} "  # noqa: S608  own words
        "ORDER BY name COLLATE NOCASE, id LIMIT ?"
    )
    return [_view(row) for row in db.execute(query, [page, like(text), limit])]


def count(db: Database, page: str, text: str = "") -> int:
    """How many views of one page have names that hold the text."""
    query = f"SELECT count(*) FROM views WHERE {OF_PAGE}"  # noqa: S608  own words
    return db.execute(query, [page, like(text)]).fetchone()[0]


def put_back(db: Database, view: View) -> bool:
    """A view that was deleted, as it was: its link works again. False if it is there, or another of
    its page has the name."""
    fields = asdict(view) | {"state": json.dumps(view.state)}
    with change(db):
        added = db.execute(
            f"INSERT OR IGNORE INTO views ({', '.join(fields)}) "
            f"SELECT {', '.join(f':{name}' for name in fields)} WHERE {NOT_TAKEN}",
            fields,
        )
        return bool(added.rowcount)


def delete(db: Database, view_id: str) -> bool:
    with change(db):
        return bool(db.execute("DELETE FROM views WHERE id = ?", [view_id]).rowcount)


def _view(row: Mapping[str, str]) -> View:
    fields = dict(row)
    return View(**fields | {"state": json.loads(fields["state"])})  # pyright: ignore
