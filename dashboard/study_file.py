"""A study's report as one HTML file that needs no network: text, tables, charts and plotly.js."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard import html_file, study_charts, study_sections, study_table
from dashboard.html_file import chart, paragraph, reasons, section
from dashboard.performance_view import ACCOUNTS
from dashboard.study_sections import Drawn
from engine.studies import cost
from engine.studies.cost import Prices
from engine.studies.question import KIND_NAMES
from engine.studies.report import Report

ARM_PX = 60
CHART_PX = 140


def page(report: Report, prices: Prices) -> bytes:
    """All of it, in UTF-8, with costs by these prices."""
    parts = [
        _told(report),
        _verdict(report),
        section("Answer", paragraph(report.answer)) if report.answer else "",
        section("Report card", _table(report, prices)),
        section("From when on", _list(cost.break_evens(report.cards, prices)))
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


def _table(report: Report, prices: Prices) -> str:
    head = "".join(f"<th>{html.escape(card.arm)}</th>" for card in report.cards)
    body = "".join(
        _row(name, cells) for name, cells in study_table.rows(report.cards, prices).items()
    )
    told = paragraph(f"Costs by: {cost.in_words(prices)}.")
    return f"<table><tr><th></th>{head}</tr>{body}</table>{told}"


def _row(name: str, cells: Sequence[str]) -> str:
    data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr><th>{html.escape(name)}</th>{data}</tr>"


def _findings(report: Report) -> str:
    if not report.findings:
        return paragraph("No rule found anything that stands out.")
    told = "".join(f"<li>{html.escape(f'{f.arm}. {f.sentence}')}</li>" for f in report.findings)
    return f"<ul>{told}</ul>"


def _list(sentences: Sequence[str]) -> str:
    if not sentences:
        return paragraph("Nothing to compare.")
    return f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in sentences)}</ul>"


def _drawn(drawn: Drawn) -> str:
    return chart(drawn.figure, drawn.height) + "".join(map(paragraph, drawn.told))


def _chart(figure: go.Figure, arms: int) -> str:
    return chart(figure, CHART_PX + ARM_PX * arms)
