"""Tables of a comparison as HTML, on the page and in a file. Every text in them is escaped.

What belongs to a run has its id as `data-run`: the charts' script lights it up with its curves.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from dashboard import links
from dashboard.bands import MANY
from dashboard.charts import color, dash
from dashboard.comparison import Column, Difference, state
from engine.format import UNKNOWN
from storage.runs import Run

# Colours are mixed from the text's own, so that they suit a light page and a dark one; what
# the page is painted with, the charts' script says.
STYLE = """
.cmp{overflow:auto;max-height:34rem;border-radius:6px;
border:1px solid color-mix(in srgb,currentColor 15%,transparent);font-size:.85rem;line-height:1.35}
.cmp table{border-collapse:separate;border-spacing:0;width:100%;margin:0}
.cmp th,.cmp td{padding:.35rem .7rem;text-align:left;vertical-align:top;border:0;
border-bottom:1px solid color-mix(in srgb,currentColor 10%,transparent);font-weight:400}
.cmp td.figure,.cmp th.figure{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.cmp thead th{position:sticky;top:0;z-index:2;font-weight:600;min-width:5rem}
.cmp thead th[data-run]{min-width:7rem}
.cmp tr>:first-child{position:sticky;left:0;z-index:1;min-width:10rem;max-width:16rem;
overflow-wrap:anywhere}
.cmp thead tr>:first-child{z-index:3}
.cmp tr>:first-child,.cmp thead th{background:var(--accelboard-page,Canvas)}
.cmp .delta{display:block;font-size:.92em;opacity:.65}
.cmp .best{background:rgba(0,158,115,.2)}.cmp .worst{background:rgba(213,94,0,.16)}
.cmp .rank{font-size:.85em;margin-right:.35em;opacity:.8}
.cmp .differs{background:rgba(230,159,0,.2);font-weight:600}
.cmp td.value{max-width:18rem;overflow-wrap:anywhere}.cmp .section{font-weight:600;opacity:.7}
.cmp .note{font-size:.8em;opacity:.65;display:block}
.cmp-legend{display:flex;flex-wrap:wrap;gap:.2rem .3rem;max-height:9rem;overflow:auto;
font-size:.85rem;margin:0!important;padding:0!important;list-style:none}
.cmp-legend li{margin:0!important;padding:0!important}
.cmp-legend button{all:unset;box-sizing:border-box;display:flex;align-items:center;gap:.4rem;
padding:.1rem .45rem;border-radius:6px;cursor:pointer;overflow-wrap:anywhere}
.cmp-legend button:focus-visible{outline:2px solid currentColor}
.cmp-legend button[aria-pressed=false]{opacity:.45;text-decoration:line-through}
.cmp-swatch{display:inline-block;flex:none;width:1.5rem;height:3px;border-radius:2px;
vertical-align:middle;margin-right:.2rem}
.cmp-legend .lit,.cmp tr.lit>*,.cmp td.lit,.cmp th.lit{box-shadow:
inset 0 0 0 100vmax color-mix(in srgb,currentColor 12%,transparent)}
.cmp a{color:inherit}
"""
STRIPES = {"solid": (1, 0), "dash": (8, 4), "dot": (2, 3), "dashdot": (8, 3, 2, 3)}  # px on, off
BAND = (
    f"A line is the median of its runs. Its band goes from the lowest to the highest; of {MANY} "
    "runs or more, it holds the middle half."
)
MOST_CALLED = 10  # names that one name in the legend shows when it is pointed at
RANKS = {"best": "▲ best", "worst": "▽ worst"}


def legend(entries: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """What tells curves apart with their colours, each with the runs that it stands for: pointed
    at, it says what people call them.

    Each is a button that the charts' script listens to: it hides its curves, and shows them again.
    """
    items = "".join(
        f'<li><button type="button" aria-pressed="true" title="{html.escape(_called(runs))}" '
        f'data-run="{html.escape(" ".join(run.id for run in runs))}">'
        f"{swatch(place)}{html.escape(name)}</button></li>"
        for place, (name, runs) in enumerate(entries)
    )
    return f'<ul class="cmp-legend" aria-label="Curves">{items}</ul>'


def _called(runs: Sequence[Run]) -> str:
    names = list(dict.fromkeys(" ".join(run.name.split()) for run in runs))
    more = len(names) - MOST_CALLED
    return "\n".join([*names[:MOST_CALLED], *([f"and {more:,} more"] if more > 0 else [])])


def results(
    picked: Sequence[Run], base: Run, names: Mapping[str, str], columns: Sequence[Column], *,
    colors: Mapping[str, int], order: Sequence[int] = (), linked: bool = True,
) -> str:  # fmt: skip
    """A row a run: the figures, their distance from the base's, the best and the worst of each.

    `order` is the runs' places as they come; without it, as they were picked.
    """
    titles = [f"<th class=figure>{html.escape(column.title)}</th>" for column in columns]
    head = f"<tr><th>Run</th><th class=figure>Took</th>{''.join(titles)}</tr>"
    rows = []
    for place in order or range(len(picked)):
        run = picked[place]
        status, duration = state(run)
        cells = "".join(_figure(column, place) for column in columns)
        rows.append(
            f'<tr data-run="{run.id}"><th>{_named(run, base, names, colors, linked, status)}</th>'
            f"<td class=figure>{duration}</td>{cells}</tr>"
        )
    return _table(head, "".join(rows), "Results of each run")


def differences(
    found: Sequence[Difference], picked: Sequence[Run], base: Run, names: Mapping[str, str], *,
    colors: Mapping[str, int], linked: bool = True,
) -> str:  # fmt: skip
    """A row a key, a column a run, the base first; what is not as in the base is marked."""
    ordered = [base, *(run for run in picked if run is not base)]
    places = [list(picked).index(run) for run in ordered]
    named = [
        f'<th data-run="{run.id}">{_named(run, base, names, colors, linked)}</th>'
        for run in ordered
    ]
    rows, section = [], ""
    for row in found:
        if row.section != section:
            section = row.section
            rows.append(f"<tr><th class=section>{section}</th>{'<td></td>' * len(picked)}</tr>")
        rows.append(_difference(row, ordered, places))
    return _table(f"<tr><th>Key</th>{''.join(named)}</tr>", "".join(rows), "What differs")


def swatch(place: int) -> str:
    """A piece of the curve: its colour, and how it is dashed."""
    at, stops, shade = 0, [], color(place)
    for index, length in enumerate(STRIPES[dash(place)]):
        paint = "transparent" if index % 2 else shade
        stops.append(f"{paint} {at}px {at + length}px")
        at += length
    return f'<i class="cmp-swatch" style="background:repeating-linear-gradient(90deg,{",".join(stops)})"></i>'  # noqa: E501


def _figure(column: Column, place: int) -> str:
    cell = column.cells[place]
    rank = f"<span class=rank>{RANKS[cell.rank]}</span>" if cell.rank else ""
    delta = f"<span class=delta>{html.escape(cell.delta)}</span>" if cell.delta else ""
    return f'<td class="figure {cell.rank}">{rank}{html.escape(cell.text)}{delta}</td>'


def _named(
    run: Run, base: Run, names: Mapping[str, str], colors: Mapping[str, int], linked: bool,
    status: str = "",
) -> str:  # fmt: skip
    name, title = html.escape(names[run.id]), html.escape(" ".join(run.name.split()))
    if linked:
        address = links.path("run", {"id": run.id})
        name = f'<a href="{address}" target="_self">{name}</a>'
    notes = " · ".join(filter(None, ["base" if run is base else "", status]))
    note = f"<span class=note>{notes}</span>" if notes else ""
    return f'<span title="{title}">{swatch(colors[run.id])} {name}</span>{note}'


def _difference(row: Difference, ordered: Sequence[Run], places: Sequence[int]) -> str:
    base, cells = row.values[places[0]], []
    for run, place in zip(ordered, places, strict=True):
        value = row.values[place]
        kind = "value differs" if value != base else "value"
        told = html.escape(UNKNOWN if value is None else value)
        cells.append(f'<td class="{kind}" data-run="{run.id}">{told}</td>')
    return f"<tr><th>{html.escape(row.key)}</th>{''.join(cells)}</tr>"


def _table(head: str, body: str, label: str) -> str:
    return (
        f'<div class="cmp" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )
