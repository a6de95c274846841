"""The report as one HTML page that needs nothing else: no script, no font, no file, no network."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from sac_lightning.report import tables
from sac_lightning.report.page_style import STYLE
from sac_lightning.report.results import EnvResult, Results
from sac_lightning.report.tables import Table
from sac_lightning.report.words import CAPTIONS, METHODS

# By env and figure name, an <svg> element.
Drawings = Mapping[str, Mapping[str, str]]
MOST_GROUPS = 15


def page(results: Results, drawings: Drawings) -> str:
    """The whole document."""
    body = [_header(results)]
    body += [_env(results, env, drawings[env.env_id]) for env in results.envs]
    if results.not_done:
        body.append(_section("Failed, unfinished or damaged", _table(tables.not_done(results), "reasons")))
    if results.notes:
        body.append(_section("Notes", _list(escape(note) for note in results.notes)))
    body.append(_folded(f"All {len(results.runs)} runs", _table(tables.runs(results), "runs")))
    body.append(_section("How it was computed", _methods()))
    # A number and its unit stay on one line.
    content = "".join(body).replace("95 %", "95&nbsp;%")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(results.headline)} · sac_lightning</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{content}</main>\n</body>\n</html>\n"
    )


def _header(results: Results) -> str:
    statuses = [run.status for run in results.runs]
    counts = [(escape(each), statuses.count(each)) for each in sorted(set(statuses))]
    badges = "".join(f'<span class="badge {each}">{n} {each}</span>' for each, n in counts)
    number = len(results.runs)
    by = ", ".join(f"<code>{escape(key)}</code>" for key in results.grouping.keys)
    grouped = f"Grouped by {by}. " if by else "All runs of an env are one group. "
    return (
        f'<header>\n<p class="kicker">sac_lightning report</p>\n<h1>{number} run{"s" * (number != 1)}</h1>\n'
        f'<p class="badges">{badges}</p>\n<p class="muted">{grouped}{escape(results.title)}</p>\n</header>\n'
    )


def _env(results: Results, env: EnvResult, drawings: Mapping[str, str]) -> str:
    parts = [_best(results, env)] if env.drawn else ["<p>No run has a score yet.</p>\n"]
    parts.append(_groups(env))
    shown = "".join(
        f"<figure>\n{drawing}\n<figcaption>{escape(CAPTIONS[name])}</figcaption>\n</figure>\n"
        for name, drawing in drawings.items()
    )
    if shown:
        parts.append(f'<div class="figures">\n{shown}</div>\n')
    if len(env.drawn) > 2:
        told = "<p>Row against column: the chance that a run of the row's group scores higher.</p>\n"
        parts.append(_folded("Every pair of groups", told + _table(tables.improvement(env), "pairs")))
    return _section(env.env_id, "".join(parts))


def _groups(env: EnvResult) -> str:
    """The best groups, and all of them behind a click where they are many."""
    every = tables.groups(env)
    shown = _table(every._replace(rows=every.rows[:MOST_GROUPS]), "groups")
    if len(every.rows) <= MOST_GROUPS:
        return shown
    return shown + _folded(f"All {len(every.rows)} groups", _table(every, "groups"))


def _best(results: Results, env: EnvResult) -> str:
    best = env.drawn[0]
    value, _, interval = tables.interval(best.final_iqm).partition(" ")
    number, what = len(best.finals), "group" if len(env.groups) > 1 else "score"
    about = f"final score, interquartile mean of {number} runs" if number > 1 else "final score of one run"
    overrides = tables.best_overrides(results, best)
    typed = f'<p class="typed"><code>{escape(overrides)}</code></p>\n' if overrides else ""
    about += f" ({env.score})"
    return (
        f'<div class="best">\n<p class="kicker">Best {what}</p>\n{typed}<p>'
        f'<strong class="score">{escape(value)}</strong> <span class="muted">{escape(interval)}</span></p>\n'
        f'<p class="muted">{about}{", with its 95 % interval" if interval else "; no interval"}</p>\n'
        f"<p>{escape(tables.against_next(env))}</p>\n</div>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}</section>\n"


def _folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{escape(title)}</summary>\n{content}</details>\n"


def _list(items: Iterable[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{item}</li>\n" for item in items) + "</ul>\n"


def _table(table: Table, name: str) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        aligned = [' class="n"' if place in table.numeric else "" for place in range(len(cells))]
        return "".join(f"<{tag}{c}>{cell}</{tag}>" for c, cell in zip(aligned, cells, strict=True))

    rows = "".join(f"<tr>{line(cells, 'td')}</tr>\n" for cells in tables.escape_cells(table, escape))
    head = line([escape(cell) for cell in table.head], "th")
    return (
        f'<div class="scroll"><table class="{name}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _methods() -> str:
    terms = "".join(f"<dt>{escape(name)}</dt>\n<dd>{_code(told)}</dd>\n" for name, told in METHODS)
    return f"<dl>\n{terms}</dl>\n"


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
