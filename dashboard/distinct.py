"""Runs by what tells them apart, in as few words as will do: `torch · batch 64 · seed 3`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dashboard.charts import shortened
from engine.config import FRAMEWORK_NAMES
from engine.describe import configuration, device_names, setting_name
from storage.runs import Run

# Said first, in this order; any other key comes after them, by its name.
FIRST = ("framework", "device", "workload", "dataset", "batch_size", "learning_rate", "precision")
WORDS = {"batch_size": "batch", "learning_rate": "lr", "workload": "", "dataset": "", "device": ""}
WORDS |= {"precision": "", "framework": "", "optimizer": "", "schedule": "", "commit": "commit"}
IMPLIED = ("accelerator", "devices")  # said by the device
NAME_LETTERS = 40

Facts = Mapping[str, str]


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """By run id. Runs that nothing tells apart are told apart by their ids."""
    if len(runs) == 1:
        return {runs[0].id: shortened(runs[0].name, NAME_LETTERS)}
    facts = [_facts(run) for run in runs]
    fields = telling_apart(facts)
    said = [" · ".join(_said(name, of[name]) for name in fields if name in of) for of in facts]
    said = _with(said, [shortened(run.name, NAME_LETTERS) for run in runs])
    said = _with(said, [run.id for run in runs])
    return {run.id: text for run, text in zip(runs, said, strict=True)}


def telling_apart(facts: Sequence[Facts]) -> list[str]:
    """The fewest fields found, one after the other, whose values no two have in common.

    Seeds last: a sweep with a seed for each run is not told by its seeds alone.
    """
    chosen: list[str] = []
    names = sorted({name for of in facts for name in of}, key=_order)
    for pool in ([n for n in names if n not in ("seed", "commit")], ["seed"], ["commit"]):
        _choose(facts, pool, chosen)
    return sorted(chosen, key=_order)


def _choose(facts: Sequence[Facts], pool: Iterable[str], chosen: list[str]) -> None:
    """Add what splits most, as long as anything splits further."""
    pool = list(pool)
    while (kinds := _kinds(facts, chosen)) < len(facts) and pool:
        best = max(pool, key=lambda name: _kinds(facts, [*chosen, name]))
        if _kinds(facts, [*chosen, best]) == kinds:
            return
        chosen.append(best)
        pool.remove(best)


def _kinds(facts: Sequence[Facts], names: Sequence[str]) -> int:
    return len({tuple(of.get(name) for name in names) for of in facts})


def _with(said: Sequence[str], more: Sequence[str]) -> list[str]:
    """Add to those texts that others have too, where that tells any of them apart."""
    out = []
    for text, extra in zip(said, more, strict=True):
        rivals = {e for t, e in zip(said, more, strict=True) if t == text}
        is_needed = said.count(text) > 1 and len(rivals) > 1
        out.append(" · ".join(filter(None, [text, extra])) if is_needed else text)
    return out


def _facts(run: Run) -> dict[str, str]:
    config = {name: v for name, v in configuration(run).items() if name not in IMPLIED}
    git = run.environment.get("git") or {}
    own = {"device": device_names(run)}
    return own | config | ({"commit": str(git["commit"])[:7]} if git.get("commit") else {})


def _said(name: str, value: str) -> str:
    value = FRAMEWORK_NAMES.get(value, value) if name == "framework" else value
    word = WORDS.get(name, setting_name(name))
    return f"{word} {value}".strip()


def _order(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST) + (name in ("seed", "commit")), name)
