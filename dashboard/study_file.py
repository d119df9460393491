"""A study's report as one HTML file that needs no network: text, tables, charts and plotly.js."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard import study_charts, study_pipeline, study_scaling, study_table
from dashboard.components.assets import plotly_js
from dashboard.performance_view import ACCOUNTS
from engine.studies import scaling
from engine.studies.question import KIND_NAMES
from engine.studies.report import Report

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid #ddd;vertical-align:top}.green{color:#00734f}.amber{color:#8a5a00}
.red{color:#b00020}.told{opacity:.7}
"""
ARM_PX = 60
CHART_PX = 140
SCALING_ARMS = 4  # its chart is as high as that of so many arms


def page(report: Report) -> bytes:
    """All of it, in UTF-8."""
    title = html.escape(report.study.name)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
        f"<style>{STYLE}</style><script>{plotly_js().plain.decode()}</script>",
        f"<h1>{title}</h1>",
        _told(report),
        _notice(report),
        _verdict(report),
        _section("Answer", _paragraph(report.answer)) if report.answer else "",
        _section("Report card", _card(report)),
        _scaling(report),
        _pipeline(report),
        _section("Every repeat", _chart(study_charts.repeats(report.cards), len(report.cards))),
        _section(
            "Where the time went",
            _chart(study_charts.ledgers(report.cards, ACCOUNTS), len(report.cards)),
        ),
        _section("Findings", _findings(report)),
    ]
    return "\n".join(parts).encode()


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
    reasons = "".join(
        f"<li class={check.level}>{html.escape(check.sentence)}</li>"
        for check in report.verdict.checks
    )
    return f"<h2 class={level}>Comparability: {level}</h2><ul>{reasons}</ul>"


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>{body}"


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _notice(report: Report) -> str:
    notice = scaling.notice(report.question)
    return f"<p class=amber><b>{html.escape(notice)}</b></p>" if notice else ""


def _scaling(report: Report) -> str:
    found = scaling.of(report.question, report.cards)
    if found is None or not found.repeats:
        return ""
    table = _table([point.arm for point in found.points], study_scaling.rows(found))
    chart = _chart(study_scaling.chart(found), SCALING_ARMS)
    words = _paragraph(scaling.in_words(found))
    return _section(html.escape(study_scaling.TITLES[found.mode]), chart + table + words)


def _pipeline(report: Report) -> str:
    found = study_pipeline.of(report)
    if not found:
        return ""
    table = _table([probe.arm for probe in found], study_pipeline.rows(found))
    return _section(study_pipeline.TITLE, table + _paragraph(study_pipeline.CAPTION))


def _card(report: Report) -> str:
    return _table([card.arm for card in report.cards], study_table.rows(report.cards))


def _table(arms: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(arm)}</th>" for arm in arms)
    body = "".join(_row(name, cells) for name, cells in rows.items())
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _row(name: str, cells: Sequence[str]) -> str:
    data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr><th>{html.escape(name)}</th>{data}</tr>"


def _findings(report: Report) -> str:
    if not report.findings:
        return _paragraph("No rule found anything that stands out.")
    told = "".join(f"<li>{html.escape(f'{f.arm}. {f.sentence}')}</li>" for f in report.findings)
    return f"<ul>{told}</ul>"


def _chart(figure: go.Figure, arms: int) -> str:
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        default_height=f"{CHART_PX + ARM_PX * arms}px",
        config={"displaylogo": False, "responsive": True},
    )
