"""The small query language: `accuracy > 0.9 and (framework = torch or tag = "first try")`.

query      := and ("or" and)*
and        := not ("and" not)*
not        := "not" not | "(" query ")" | FIELD OPERATOR VALUE
OPERATOR   := = != < <= > >= ~          (~: contains)
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from storage.fields import DURATIONS, REPEATS, BadQuery, Field, Statement

MAX_CHARS = 2_000
MAX_DEPTH = 20
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
JOINERS = ("and", "or", "not")
TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<mark><=|>=|!=|==|[=<>~()])"""
    r"""|(?P<word>[^\s()<>=!~"']+)|(?P<bad>\S))"""
)
WITH_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?%?")
PLAIN_NAME = re.compile(r"[\w./-]+")  # of a field; one's own metric may be called `loss (test)`
AGO = re.compile(r"(\d{1,5})([hdw])")
AGO_S = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h|d)")
SPAN_S = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
QUOTE = '"'
# How other languages say it, and how it is said here.
OR_EACH = "Write a comparison for each value, joined by or."
SAID_HERE = {
    "in": OR_EACH, "like": "Write ~ for: contains.", "contains": "Write ~ for: contains.",
    "between": "Write two comparisons, joined by and.", "is": "Write = or !=.",
    "&&": "Write and.", "&": "Write and.", "||": "Write or.", "|": "Write or.", ",": "Write and.",
    "!": "Write not.", "≥": "Write >=.", "≤": "Write <=.", "≠": "Write !=.", "<>": "Write !=.",
    "!~": "Write not before the comparison.",
}  # fmt: skip
EXAMPLE = "Such as: accuracy > 0.9 and framework = torch."


class Token(str):
    """A word or mark; a quoted one is only ever a value."""

    quoted = False


def condition(text: str, statement: Statement, now: float | None = None) -> str:
    """The query as SQL of that statement, "TRUE" for an empty one. Raise `BadQuery`."""
    check("A query", text)
    tokens = _tokens(text)
    if not tokens:
        return "TRUE"
    parser = _Parser(tokens, statement, time.time() if now is None else now)
    return parser.whole()


def check(what: str, text: str) -> None:
    """Raise `BadQuery` for what SQLite would not search by."""
    if len(text) > MAX_CHARS:
        raise BadQuery(
            f"{what} may have {MAX_CHARS:,} characters at most, got {len(text):,}. Shorten it."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadQuery(
            f"{what} holds characters that are not Unicode text: {text[:40]!r}. Type it again."
        ) from None


def like(text: str) -> str:
    """A pattern of LIKE … ESCAPE '!' for what contains the text."""
    return "%" + re.sub("([!%_])", r"!\1", text) + "%"


def _tokens(text: str) -> list[Token]:
    found = []
    for match in TOKEN.finditer(text):
        if match["bad"]:
            rest = text[match.start("bad") :]
            what = "A quote is not closed" if match["bad"] in "\"'" else "This is no operator"
            raise BadQuery(f"{what}: {rest[:40]!r}. {_said_here(rest[:2])}")
        token = Token(_unquoted(match["quoted"]) if match["quoted"] else match[0].strip())
        token.quoted = match["quoted"] is not None
        found.append(token)
    return found


def _said_here(word: str) -> str:
    return SAID_HERE.get(word.strip().lower(), EXAMPLE)


def _unquoted(text: str) -> str:
    """A quote within a quoted text is written twice."""
    return text[1:-1].replace(2 * text[0], text[0])


def equal(name: str, value: object) -> str:
    """The query for what has this value, None for none: what `condition` reads back."""
    name = name if PLAIN_NAME.fullmatch(name) else _quoted(name)
    if value is None:
        return f"{name} = none"
    if isinstance(value, (int, float)):
        return f"{name} = {value!r}"
    return f"{name} = {_quoted(str(value))}"


def _quoted(text: str) -> str:
    return f"{QUOTE}{text.replace(QUOTE, 2 * QUOTE)}{QUOTE}"


class _Parser:
    """Recursive descent over the tokens; each method takes its part and returns its SQL."""

    def __init__(self, tokens: Sequence[Token], statement: Statement, now: float) -> None:
        self._tokens, self._at = tokens, 0
        self._statement, self._now = statement, now

    def whole(self) -> str:
        sql = self._any(0)
        if self._at < len(self._tokens):
            at_hand = str(self._tokens[self._at])
            raise BadQuery(f"Expected 'and' or 'or' before {at_hand[:40]!r}. {_said_here(at_hand)}")
        return sql

    def _any(self, depth: int) -> str:
        parts = [self._all(depth)]
        while self._take("or"):
            parts.append(self._all(depth))
        return f"({' OR '.join(parts)})"

    def _all(self, depth: int) -> str:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return f"({' AND '.join(parts)})"

    def _one(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise BadQuery(f"A query may be {MAX_DEPTH} levels deep at most. Use fewer brackets.")
        if self._take("not"):
            return f"NOT coalesce({self._one(depth + 1)}, FALSE)"
        if self._take("("):
            sql = self._any(depth + 1)
            if not self._take(")"):
                raise BadQuery(f"A bracket is not closed. {EXAMPLE}")
            return sql
        return self._comparison()

    def _comparison(self) -> str:
        name = self._next("a field")
        if name.lower() in JOINERS or name in OPERATORS or name in "()":
            raise BadQuery(f"Expected a field, got {str(name)!r}. {EXAMPLE}")
        found = self._field(name)
        operator = self._next(f"one of {' '.join(OPERATORS)} after {str(name)[:60]!r}")
        operator = "=" if operator == "==" and not operator.quoted else str(operator)
        if operator not in OPERATORS:
            raise BadQuery(
                f"Expected one of {' '.join(OPERATORS)} after {str(name)[:60]!r}, "
                f"got {operator[:40]!r}. {_said_here(operator)}"
            )
        value = self._next(f"a value after {name} {operator}")
        if value in ("(", ")") and not value.quoted:
            before = f"{name} {operator}"[:60]
            raise BadQuery(f"Expected a value after {before!r}, got {str(value)!r}. {OR_EACH}")
        return _compared(self._statement, str(name), found, operator, value, self._now)

    def _field(self, name: Token) -> Field:
        try:
            return self._statement.field(name)
        except BadQuery:
            if any(token in OPERATORS or token == "==" for token in self._tokens):
                raise
            raise BadQuery(
                f"A query compares a field with a value, got {str(name)[:40]!r}. {EXAMPLE} "
                "To find a word in names, write name ~ WORD."
            ) from None

    def _take(self, word: str) -> bool:
        at_hand = self._at < len(self._tokens) and self._tokens[self._at]
        if at_hand is False or at_hand.quoted or at_hand.lower() != word:
            return False
        self._at += 1
        return True

    def _next(self, what: str) -> Token:
        if self._at == len(self._tokens):
            raise BadQuery(f"The query ends where {what} should be. {EXAMPLE}")
        self._at += 1
        return self._tokens[self._at - 1]


def _compared(
    statement: Statement, name: str, found: Field, operator: str, value: Token, now: float
) -> str:
    if value == "none" and not value.quoted and operator in ("=", "!="):
        return f"({found.sql}) IS {'NOT ' if operator == '!=' else ''}NULL"
    if operator == "~":
        holds = f"CAST({found.sql} AS TEXT) LIKE {statement.bind(like(value))} ESCAPE '!'"
        titled = ", ".join(map(statement.bind, statement.titled(name, value)))
        return f"({holds} OR {found.sql} IN ({titled}))" if titled else holds
    if found.kind == "date":
        return _dated(statement, name, found.sql, operator, value, now)
    if found.kind == "number":
        return f"{found.sql} {operator} {statement.bind(_number(name, value))}"
    if found.kind == "config":
        return _configured(statement, name, found.sql, operator, value)
    if name == REPEATS and operator in ("=", "!="):
        other = f"SELECT {found.sql} FROM runs WHERE id = {statement.bind(str(value))}"  # noqa: S608
        return f"{found.sql} IS {'NOT ' if operator == '!=' else ''}({other})"
    if operator not in ("=", "!="):
        raise BadQuery(f"{name} is text, which {operator} cannot compare. Use =, != or ~.")
    negated = operator == "!="
    if found.kind == "tag":
        has = "runs.id IN (SELECT run_id FROM tags WHERE tag = {} COLLATE NOCASE)"
        return ("NOT " if negated else "") + has.format(statement.bind(str(value)))
    mark = statement.bind(statement.choice(name, str(value)))
    return f"{found.sql} IS {'NOT ' if negated else ''}{mark} COLLATE NOCASE"


def _configured(statement: Statement, name: str, sql: str, operator: str, value: Token) -> str:
    """A key of the config holds a number, a truth value or a text: the value says which."""
    truth = {"true": 1, "false": 0}.get(value.lower())
    try:
        number = truth if truth is not None else _number(name, value)
    except BadQuery:
        if operator not in ("=", "!="):
            raise
        negated = "NOT " if operator == "!=" else ""
        mark = statement.bind(statement.choice(name, str(value)))
        return f"CAST({sql} AS TEXT) IS {negated}{mark} COLLATE NOCASE"
    operator = {"=": "IS", "!=": "IS NOT"}.get(operator, operator)
    known = f"iif(typeof({sql}) = 'text', NULL, {sql})"  # to SQLite, any text is above any number
    return f"{known} {operator} {statement.bind(number)}"


def _number(name: str, value: Token) -> float:
    """`0.9`, `1e-3`, `60,000`, and `90%` for 0.9. In `0,9` the comma has another meaning. Of what
    is told in seconds, also `90s`, `15min` and `2h`."""
    is_span = name in DURATIONS
    if is_span and (span := SPAN.fullmatch(value)):
        return float(span[1]) * SPAN_S[span[2]]
    text = value.replace(",", "") if WITH_THOUSANDS.fullmatch(value) else value
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        wanted, such = (
            ("a time", "90s, 15min or 2h") if is_span else ("a number", "0.9, 90% or 1e-3")
        )
        raise BadQuery(f"{name} is compared with {wanted}, got {value[:40]!r}. Write it as {such}.")
    return number


def _dated(
    statement: Statement, name: str, sql: str, operator: str, value: Token, now: float
) -> str:
    """A day is a span: after it, before it, in it."""
    begin, end = span(name, value, now)
    first, last = statement.bind(begin), statement.bind(end)
    return {
        "=": f"({sql} >= {first} AND {sql} < {last})",
        "!=": f"NOT ({sql} >= {first} AND {sql} < {last})",
        "<": f"{sql} < {first}",
        "<=": f"{sql} < {last}",
        ">": f"{sql} >= {last}",
        ">=": f"{sql} >= {first}",
    }[operator]


def span(name: str, value: str, now: float) -> tuple[float, float]:
    """From and until, in Unix seconds: a day, a moment, or `7d` for seven days ago."""
    ago = AGO.fullmatch(value)
    if ago:
        at = now - int(ago[1]) * AGO_S[ago[2]]
        return at, at
    try:
        day = datetime.fromisoformat(value)
        end = day + timedelta(days=len(value) <= len("2025-01-31"))  # `20250131` is one too
        return day.astimezone().timestamp(), end.astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadQuery(
            f"{name} is compared with a date, got {value[:40]!r}. "
            "Write 2025-01-31, 2025-01-31T09:30, or 7d for seven days ago (h, d, w)."
        ) from None
