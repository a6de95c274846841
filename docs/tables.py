"""Writes what README.md, docs/entropy.md, `--help` and conf/ say about the entropy rules: `make docs`.

The one source is the docstring of each rule, in the form that entropy/target_entropy.py describes, and the
defaults in conf/alpha and conf/target_entropy.
"""

import inspect
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

import yaml

from sac_lightning import entropy

ROOT = Path(__file__).parents[1]
FORM = re.compile(
    r"(?:Aims at|Sets α(?: to)?) (?P<formula>.+?) \[(?P<source>[^\]]+)\]: (?P<use>.+?)\. "
    r"(?:Actions: (?P<actions>.+?)\. )?Interval: (?P<interval>.+?)\.(?: |$)"
)
COMMON = ("_target_", "critic", "critic_value", "units", "per_dim")  # explained in a table of their own
HELP_STARTS = "    Nats of the unit action box. A continuous dimensions, n choices, H_max = log n or A log 2."
HELP_ENDS = (
    "    Every alpha: alpha.critic=same|fixed|none, for the backup; alpha.units=unit_box|env, for nats."
)


class Rule(NamedTuple):
    """One option of conf/alpha or conf/target_entropy and what its class says about it."""

    group: str
    name: str
    summary: str
    keys: str
    formula: str
    source: str
    use: str
    actions: str
    interval: str


def rules(group: str) -> list[Rule]:
    """Returns all rules of a group, `auto` first."""
    found = []
    files = sorted((ROOT / "conf" / group).glob("*.yaml"), key=lambda path: (path.stem != "auto", path.stem))
    for path in files:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        doc = inspect.getdoc(getattr(entropy, config["_target_"].rpartition(".")[2])) or ""
        match = FORM.match(" ".join(doc.split()))
        if match is None:
            raise SystemExit(
                f"{config['_target_']}: the docstring has not the form of docs/tables.py:\n{doc}"
            )
        facts = {name: fact or "" for name, fact in match.groupdict().items()}
        defaults = [f"`{key}` {shown(value)}" for key, value in config.items() if key not in COMMON]
        summary = " ".join(doc.partition("\n\n")[0].split())
        found.append(Rule(group, path.stem, summary, ", ".join(defaults) or "no keys", **facts))
    return found


def shown(value: object) -> str:
    """Returns a default as a reader sees it; what comes from other keys is the run's."""
    if value == "${target_entropy}":
        return "auto"
    if isinstance(value, str):
        return "required" if value == "???" else "the run's" if value.startswith("${") else value
    return f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Returns a Markdown table."""
    lines = [" | ".join(line) for line in [heads, *rows]]
    lines.insert(1, "|".join(["---"] * len(heads)))
    return "\n".join(f"|{line}|" if line.startswith("---") else f"| {line} |" for line in lines)


def between(text: str, first: str, last: str, new: str) -> str:
    """Returns `text` with everything between two of its lines replaced by `new`."""
    before, start, rest = text.partition(f"{first}\n")
    _, end, after = rest.partition(f"{last}\n")
    if not (start and end):
        raise SystemExit(f"there must be a line {first!r} and after it a line {last!r}")
    return f"{before}{first}\n{new}\n{last}\n{after}"


def help_entry(rule: Rule) -> str:
    """Returns the lines of a rule in `--help`."""
    first = f"    {f'{rule.group}={rule.name}':<28} {rule.formula} [{rule.source}]"
    facts = f"{rule.interval}; {rule.keys}; {rule.use}"
    lines = textwrap.wrap(facts, 116, initial_indent=" " * 33, subsequent_indent=" " * 33)
    return "\n".join([first, *lines]).replace("`", "")


def documents() -> dict[Path, str]:
    """Returns the text that each file with generated parts must have."""
    readme, page, help_text = ROOT / "README.md", ROOT / "docs/entropy.md", ROOT / "conf/hydra/default.yaml"
    made = {path: path.read_text(encoding="utf-8") for path in (readme, page, help_text)}
    alpha, target = rules("alpha"), rules("target_entropy")
    for group, own in (("alpha", alpha), ("target_entropy", target)):
        first, last = f"<!-- {group}: written by `make docs` -->", "<!-- end -->"
        short = [[f"`{each.name}`", each.summary] for each in own]
        made[readme] = between(made[readme], first, last, table([f"`{group}=`", "what it does"], short))
    first, last = "<!-- alpha: written by `make docs` -->", "<!-- end -->"
    full = [
        [f"`{each.name}`", each.formula, each.source, each.interval, each.keys, each.use] for each in alpha
    ]
    heads = ["`alpha=`", "α", "source", "interval", "keys (defaults)", "use"]
    made[page] = between(made[page], first, last, table(heads, full))
    first = "<!-- target_entropy: written by `make docs` -->"
    full = [
        [f"`{each.name}`", each.formula, each.keys, each.actions, each.interval, each.source, each.use]
        for each in target
    ]
    heads = ["`target_entropy=`", "H̄", "keys (defaults)", "actions", "interval", "source", "use"]
    made[page] = between(made[page], first, last, table(heads, full))
    entries = "\n".join(help_entry(each) for each in (*alpha, *target))
    made[help_text] = between(made[help_text], HELP_STARTS, HELP_ENDS, entries)
    for each in (*alpha, *target):
        path = ROOT / "conf" / each.group / f"{each.name}.yaml"
        config = path.read_text(encoding="utf-8").partition("_target_:")[2]
        made[path] = f"# {each.summary}\n_target_:{config}"
    return made


if __name__ == "__main__":
    for path, text in documents().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} has changed")
