"""The report as Markdown, its figures beside it as PNG files."""

import re
from collections.abc import Mapping

from sac_lightning.report import tables
from sac_lightning.report.results import EnvResult, Results
from sac_lightning.report.tables import Table
from sac_lightning.report.words import CAPTIONS, METHODS

# By env and figure name, the PNG's path from where the Markdown lies.
Pictures = Mapping[str, Mapping[str, str]]


def markdown(results: Results, pictures: Pictures) -> str:
    """The whole document."""
    lines = [f"# {_text(results.headline)}", ""]
    for env in results.envs:
        lines += _env(results, env, pictures[env.env_id])
    if results.not_done:
        lines += ["## Failed, unfinished or damaged", "", *_table(tables.not_done(results)), ""]
    if results.notes:
        lines += ["## Notes", "", *(f"- {_text(note)}" for note in results.notes), ""]
    lines += ["## All runs", "", *_table(tables.runs(results)), ""]
    lines += ["## How it was computed", "", *(f"- **{name}.** {told}" for name, told in METHODS), ""]
    return "\n".join(lines)


def _env(results: Results, env: EnvResult, pictures: Mapping[str, str]) -> list[str]:
    lines = [f"## {_text(env.env_id)}", ""]
    if env.drawn:
        best, number = env.drawn[0], len(env.drawn[0].finals)
        overrides = tables.best_overrides(results, best)
        mean = f"interquartile mean of {number} runs" if number > 1 else "one run"
        told = f"Best: final score {tables.interval(best.final_iqm)}, {mean}"
        typed = f", with {_code(overrides)}" if overrides else ""
        lines += [f"{told}{typed}. {_text(tables.against_next(env))}".strip(), "", f"Score: {env.score}.", ""]
    lines += [*_table(tables.groups(env)), ""]
    if len(env.drawn) > 1:
        lines += ["Probability of improvement:", "", *_table(tables.improvement(env)), ""]
    for name, path in pictures.items():
        lines += [f"![{CAPTIONS[name]}]({path.replace(' ', '%20')})", ""]
    return lines


def _table(table: Table) -> list[str]:
    rule = ["---:" if place in table.numeric else "---" for place in range(len(table.head))]
    rows = [tuple(map(_cell, table.head)), tuple(rule), *tables.escape_cells(table, _cell)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """`text` so that Markdown shows it as it is: no HTML, link, picture, emphasis or formula."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    plain = re.sub(r"[\\`*~$]|^\s*\[|\](?=[(\[])|(?<!\w)_|_(?!\w)", r"\\\g<0>", plain)
    return re.sub(r":(?=//)|(?<=www)\.", r"\\\g<0>", plain)


def _code(text: str) -> str:
    """`text` as code: in more backticks than it holds in a row."""
    plain = " ".join(text.split())
    fence = "`" * (1 + max((len(each) for each in re.findall("`+", plain)), default=0))
    space = " " if "`" in plain else ""
    return f"{fence}{space}{plain}{space}{fence}"
