"""Numbers in documents: each stands between two comments that name it, and a command puts it there.

α ends at <!--lab b.alpha.ratio_0.5 .2f-->0.53<!--/lab-->.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from sac_lightning.core.errors import ConfigError
from sac_lightning.core.files import write_atomically
from sac_lightning.lab.table import Table

Known = Mapping[str, float]
MARKED = re.compile(r"<!--lab (?P<name>\S+) (?P<form>[^\s\->]+)-->(?P<text>.*?)<!--/lab-->")
IN_STORY = re.compile(r"\{(?P<name>[\w.\-]+) (?P<form>[^}]+)\}")
# U+2212, as the documents write negative numbers.
MINUS = "\N{MINUS SIGN}"


def told(known: Known, name: str, form: str) -> str:
    """The number of that name in Python's format `form`. Raises ConfigError for a name that nothing has."""
    if name not in known:
        raise ConfigError("number", name, "is quoted, but no experiment has it")
    text = format(known[name], form)
    mantissa, _, exponent = text.partition("e")
    if exponent:
        power = str(int(exponent)).replace("-", MINUS)
        text = f"{mantissa}·10^{power}"
    text = re.sub(r"^-(0(\.0*)?)$", r"\1", text)  # no minus zero
    return text.replace("-", MINUS)


def fill_document(path: Path, known: Known) -> bool:
    """Put the present numbers between the comments of a document; whether that changed it.

    A number of an experiment that has not been made stays as it is.
    """
    old = path.read_text(encoding="utf-8")
    new = MARKED.sub(lambda m: _renewed(m, known), old)
    if new != old:
        write_atomically(path, lambda temporary: temporary.write_text(new, encoding="utf-8"))
    return new != old


def _renewed(match: re.Match[str], known: Known) -> str:
    name, form = match["name"], match["form"]
    return f"<!--lab {name} {form}-->{told(known, name, form)}<!--/lab-->" if name in known else match[0]


def fill_story(text: str, known: Known) -> str:
    """`text` with `{name format}` replaced."""
    return IN_STORY.sub(lambda m: told(known, m["name"], m["form"]), text)


def read_numbers(path: Path) -> dict[str, float]:
    """A table of columns `name` and `value`; nothing where there is no file."""
    if not path.exists():
        return {}
    table = Table.read(path)
    return dict(zip((row["name"] for row in table.rows), table.column("value").tolist(), strict=True))


def write_numbers(path: Path, known: Known) -> None:
    """The table that `read_numbers` reads."""
    Table.of([{"name": name, "value": float(value)} for name, value in known.items()]).write(path)
