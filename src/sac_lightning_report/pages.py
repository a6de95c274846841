"""Write a report as one HTML page and as Markdown. Whatever text a run has, both show it as text."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sac_lightning_report import tables, words
from sac_lightning_report.results import EnvResult, Results
from sac_lightning_report.tables import Table

TEMPLATES = Path(__file__).parent / "templates"
# With more groups, the table of all is folded.
MOST_GROUPS = 15


def template_environment(*folders: Path) -> Environment:
    """Return a Jinja2 environment that escapes all values, for the templates in `folders` and base.html.

    The filter `code` shows text between backticks as code.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _html_code
    return environment


def html(results: Results, drawings: Mapping[str, Mapping[str, Markup]]) -> str:
    """Return the page; `drawings` are `<svg>` elements by env and figure name."""
    template = template_environment().get_template("report.html")
    values = {"results": results, "drawings": drawings, "most_groups": MOST_GROUPS}
    return template.render(tables=tables, words=words, **values)


def markdown(results: Results, pictures: Mapping[str, Mapping[str, str]]) -> str:
    """Return the document; `pictures` are paths of PNG files by env and figure name, relative to it."""
    lines = [f"# {_text(results.headline)}", ""]
    for env in results.envs:
        lines += _env(results, env, pictures[env.env_id])
    if results.not_done:
        lines += ["## Failed, unfinished or damaged", "", *_table(tables.not_done(results)), ""]
    if results.notes:
        lines += ["## Notes", "", *(f"- {_text(note)}" for note in results.notes), ""]
    lines += ["## All runs", "", *_table(tables.runs(results)), ""]
    methods = (f"- **{name}.** {text}" for name, text in words.METHODS.items())
    lines += ["## How it was computed", "", *methods, ""]
    return "\n".join(lines)


def _env(results: Results, env: EnvResult, pictures: Mapping[str, str]) -> list[str]:
    lines = [f"## {_text(env.env_id)}", ""]
    if env.drawn:
        best, number = env.drawn[0], len(env.drawn[0].finals)
        mean = f"interquartile mean of {number} runs" if number > 1 else "one run"
        overrides = words.best_overrides(results, env)
        typed = f", with {_code(overrides)}" if overrides else ""
        first = words.first_group(env)
        sentence = f"{first}: final score {words.interval(best.final_iqm)}, {mean}{typed}."
        lines += [f"{sentence} {_text(words.best_against_next(env))}".strip(), "", f"Score: {env.score}.", ""]
    lines += [*_table(tables.groups(env)), ""]
    if len(env.drawn) > 1:
        lines += ["Probability of improvement:", "", *_table(tables.improvement(env)), ""]
    for name, path in pictures.items():
        lines += [f"![{words.CAPTIONS[name]}]({path.replace(' ', '%20')})", ""]
    return lines


def _table(table: Table) -> list[str]:
    rule = ["---:" if place in table.numeric else "---" for place in range(len(table.head))]
    head, *rows = ([_text(cell).replace("|", "\\|") for cell in row] for row in (table.head, *table.rows))
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def _text(text: str) -> str:
    """`text` so that Markdown shows it as it is: no HTML, link, picture, emphasis or formula."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    plain = re.sub(r"[\\`*~$]|^\s*\[|\](?=[(\[])|(?<!\w)_|_(?!\w)", r"\\\g<0>", plain)
    return re.sub(r":(?=//)|(?<=www)\.", r"\\\g<0>", plain)


def _code(text: str) -> str:
    """`text` as Markdown code, between more backticks than it has in a row."""
    plain = " ".join(text.split())
    fence = "`" * (1 + max((len(each) for each in re.findall("`+", plain)), default=0))
    space = " " if "`" in plain else ""
    return f"{fence}{space}{plain}{space}{fence}"


def _html_code(text: str) -> Markup:
    # Of a Markup, `re.sub` would escape the tags: it joins the parts by the method of the text that it got.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
