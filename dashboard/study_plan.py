"""What a study will do, before it starts; and what it trained, on its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import tables
from dashboard.words import plain
from engine.describe import leaves
from engine.studies import setup
from engine.studies.plan import Planned
from engine.studies.question import Arm, Question

ROW_PX, MOST_ROWS = 35, 12


def plan(question: Question, planned: Sequence[Planned]) -> None:
    """The arms with what sets them apart, and every run in its order."""
    arms = question.arms()
    with st.expander(
        "The plan: arms, and runs in their order", icon=":material/list:", key="plan",
        on_change="rerun", bind="query-params",
    ):  # fmt: skip
        told({**setup.common(arms), "Compared with": question.baseline_label()})
        frame = pd.DataFrame(setup.apart(arms), index=[arm.label for arm in arms])
        if not frame.empty:
            tables.show("plan-arms", frame, raw=lambda: _arms_raw(arms), height="content",
                        alt="The arms, and what sets them apart")  # fmt: skip
        order = pd.DataFrame(
            [
                (number, cell.arm, "warm-up" if cell.is_warm_up else f"seed {cell.seed}")
                for number, (cell, _) in enumerate(planned, 1)
            ],
            columns=["Run", "Arm", "As"],
        )
        tables.show(
            "plan-runs",
            order,
            raw=lambda: [_run_raw(number, one) for number, one in enumerate(planned, 1)],
            hide_index=True,
            height=ROW_PX * (1 + min(len(order), MOST_ROWS)),
            alt="Every run of the study in its order",
        )


def _arms_raw(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Each arm with its whole configuration."""
    return [{"arm": arm.label} | leaves(arm.config.model_dump(mode="json")) for arm in arms]


def _run_raw(number: int, one: Planned) -> dict[str, Any]:
    arm, seed, is_warm_up = one.cell
    return {"run": number, "arm": arm, "seed": seed, "is_warm_up": is_warm_up}


def told(values: Mapping[str, str]) -> None:
    """Names and values, one after the other."""
    st.caption(" · ".join(f"{plain(name)}: {plain(value)}" for name, value in values.items()))
