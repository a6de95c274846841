"""Texts that quote numbers: the page's stories, and documents in which comments mark each number.

A document: α ends at <!--lab b.alpha.ratio_0.5 .2f-->0.53<!--/lab-->. A story: {b.alpha.ratio_0.5 .2f}.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import write_atomically

Known = Mapping[str, float]
MARKED = re.compile(r"<!--lab (?P<name>\S+) (?P<form>[^\s\->]+)-->(?P<text>.*?)<!--/lab-->")
IN_STORY = re.compile(r"\{(?P<name>[\w.\-]+) (?P<form>[^}]+)\}")
# U+2212, as the documents write negative numbers.
MINUS = "\N{MINUS SIGN}"


class Story(NamedTuple):
    """The text beside a figure: title, what was done, what to see, what follows."""

    title: str
    done: str
    see: str
    follows: str


@dataclass(frozen=True)
class Language:
    """Everything that the page says in one language.

    Args:
        code: of HTML's `lang`.
        name: the language's own name for itself.
        title: the page's title.
        lead: below the title; text between backticks is code.
        headings: of a story's three paragraphs.
        footer: below all sections, before the link to `document`.
        document: the file with the questions behind the figures.
        stories: by the letter of the experiment.
    """

    code: str
    name: str
    title: str
    lead: str
    headings: tuple[str, str, str]
    footer: str
    document: str
    stories: Mapping[str, Story]


def written(known: Known, name: str, form: str) -> str:
    """Return the number `name` in Python's format `form`. Raises ConfigError for an unknown name."""
    if name not in known:
        raise ConfigError("number", name, "is quoted, but no experiment has it")
    text = format(known[name], form)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        power = str(int(exponent)).replace("-", MINUS)
        text = f"{mantissa}·10^{power}"
    text = re.sub(r"^-(0(\.0*)?)$", r"\1", text)  # no minus zero
    return text.replace("-", MINUS)


def fill_story(story: Story, known: Known) -> Story:
    """Replace every `{name format}` by its number."""
    return Story(*(IN_STORY.sub(lambda m: written(known, m["name"], m["form"]), text) for text in story))


def fill_document(path: Path, known: Known) -> bool:
    """Write the present numbers between a document's comments. Return whether that changed it.

    A number of an experiment that has not been run stays as it is.
    """
    old = path.read_text(encoding="utf-8")
    new = MARKED.sub(lambda m: _renewed(m, known), old)
    if new != old:
        write_atomically(path, lambda temporary: temporary.write_text(new, encoding="utf-8"))
    return new != old


def _renewed(match: re.Match[str], known: Known) -> str:
    name, form = match["name"], match["form"]
    return f"<!--lab {name} {form}-->{written(known, name, form)}<!--/lab-->" if name in known else match[0]
