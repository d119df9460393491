"""A study's report as one HTML file that needs no network: text, tables, charts and plotly.js."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard import (
    html_file,
    study_charts,
    study_pipeline,
    study_scaling,
    study_sections,
    study_table,
)
from dashboard.html_file import chart, paragraph, reasons, section
from dashboard.performance_view import ACCOUNTS
from dashboard.study_sections import Drawn
from engine.studies import cost, scaling
from engine.studies.cost import Prices
from engine.studies.question import KIND_NAMES
from engine.studies.report import Report

ARM_PX = 60
CHART_PX = 140
SCALING_ARMS = 4  # its chart is as high as that of so many arms


def page(report: Report, prices: Prices) -> bytes:
    """All of it, in UTF-8, with costs by these prices."""
    parts = [
        _told(report),
        paragraph(" · ".join(f"{name}: {value}" for name, value in report.setup.items())),
        _notice(report),
        _verdict(report),
        section("Answer", paragraph(report.answer)) if report.answer else "",
        section("Report card", _card(report, prices)),
        _scaling(report),
        _pipeline(report),
        section(
            "From when on", _list(cost.break_evens(report.cards, prices), "Nothing to compare.")
        )
        + paragraph(cost.ASSUMING),
        section("Every repeat", _chart(study_charts.repeats(report.cards), len(report.cards))),
        section(
            "Where the time went",
            _chart(study_charts.ledgers(report.cards, ACCOUNTS), len(report.cards)),
        ),
        *(
            section(title, _drawn(drawn))
            for title, drawn in study_sections.charts(report, prices).items()
        ),
        section("Findings", _findings(report)),
    ]
    return html_file.page(report.study.name, parts)


def _told(report: Report) -> str:
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.study.submitted_at))
    kind = KIND_NAMES[report.study.kind]
    return (
        f"<p class=told>{html.escape(kind)} study {report.study.id} of {at}, by "
        f"{html.escape(report.study.submitted_by)}: {report.status.lower()}, "
        f"{report.progress.over} of {report.progress.runs} runs over, warm-ups included. "
        "Figures are medians over repeats, with bootstrapped 95 % intervals. The speed-up is of "
        f"samples/s against {html.escape(report.question.baseline_label())}.</p>"
    )


def _verdict(report: Report) -> str:
    level = report.verdict.level
    told = reasons((check.level, check.sentence) for check in report.verdict.checks)
    return f"<h2 class={level}>Comparability: {level}</h2>{told}"


def _notice(report: Report) -> str:
    notice = scaling.notice(report.question)
    return f"<p class=amber><b>{html.escape(notice)}</b></p>" if notice else ""


def _scaling(report: Report) -> str:
    found = scaling.of(report.question, report.cards)
    if found is None or not found.repeats:
        return ""
    table = _table([point.arm for point in found.points], study_scaling.rows(found))
    drawn = _chart(study_scaling.chart(found), SCALING_ARMS)
    words = paragraph(scaling.in_words(found))
    return section(study_scaling.TITLES[found.mode], drawn + table + words)


def _pipeline(report: Report) -> str:
    found = study_pipeline.of(report)
    if not found:
        return ""
    table = _table([probe.arm for probe in found], study_pipeline.rows(found))
    return section(study_pipeline.TITLE, table + paragraph(study_pipeline.CAPTION))


def _card(report: Report, prices: Prices) -> str:
    arms = [card.arm for card in report.cards]
    told = [*study_table.notes(report.cards, prices), f"Costs by: {cost.in_words(prices)}."]
    return _table(arms, study_table.rows(report.cards, prices)) + "".join(map(paragraph, told))


def _table(arms: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(arm)}</th>" for arm in arms)
    body = "".join(_row(name, cells) for name, cells in rows.items())
    return html_file.table(f"<tr><th></th>{head}</tr>{body}")


def _row(name: str, cells: Sequence[str]) -> str:
    data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr><th>{html.escape(name)}</th>{data}</tr>"


def _findings(report: Report) -> str:
    """With what became of the advice that was tested."""
    told = [f"{finding.arm}. {finding.sentence}" for finding in report.findings]
    told += [f"{test.arm}. {test.sentence} (Study {test.study_id}.)" for test in report.tests]
    return _list(told, "No rule found anything that stands out.")


def _list(sentences: Sequence[str], of_none: str) -> str:
    if not sentences:
        return paragraph(of_none)
    return f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in sentences)}</ul>"


def _drawn(drawn: Drawn) -> str:
    return chart(drawn.figure, drawn.height) + "".join(map(paragraph, drawn.told))


def _chart(figure: go.Figure, arms: int) -> str:
    return chart(figure, CHART_PX + ARM_PX * arms)
