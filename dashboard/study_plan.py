"""What a study will do, before it starts; and what it trained, on its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard import tables
from dashboard.words import plain
from engine.studies import setup
from engine.studies.plan import Planned
from engine.studies.question import Question

ROW_PX, MOST_ROWS = 35, 12


def plan(question: Question, planned: Sequence[Planned]) -> None:
    """The arms with what sets them apart, and every run in its order."""
    arms = question.arms()
    with st.expander("The plan: arms, and runs in their order", icon=":material/list:"):
        told({**setup.common(arms), "Compared with": question.baseline_label()})
        frame = pd.DataFrame(setup.apart(arms), index=[arm.label for arm in arms])
        if not frame.empty:
            tables.show("plan-arms", frame, alt="The arms, and what sets them apart",
                        height="content")  # fmt: skip
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
            hide_index=True,
            height=ROW_PX * (1 + min(len(order), MOST_ROWS)),
            alt="Every run of the study in its order",
        )


def told(values: Mapping[str, str]) -> None:
    """Names and values, one after the other."""
    st.caption(" · ".join(f"{plain(name)}: {plain(value)}" for name, value in values.items()))
