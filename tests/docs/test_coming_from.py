"""docs/coming_from.md, docs/troubleshooting.md: each argument that they name for train.py is one of it."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sac_lightning.cli.command_line import translated_overrides

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def overrides(span: str) -> list[str]:
    """The arguments in the code `span`, unless it is another command or Python."""
    words = re.findall(r"'[^']*'|\S+", span.removeprefix("python train.py ").partition(" # ")[0])
    is_ours = all(re.fullmatch(r"'?[+~]?[a-z][\w./]*=.+|-m|~logger", word) for word in words)
    return [word.strip("'") for word in words if word != "-m"] if is_ours else []


def jobs(span: str) -> list[str]:
    """The jobs of a sweep over one key; any other command itself."""
    swept = re.search(r"(\S+=)(\S+,\S+)", span) if " -m " in span else None
    return [span.replace(swept[0], swept[1] + each) for each in swept[2].split(",")] if swept else [span]


def check_composes(spans: list[str]) -> None:
    """Fails for a span that the config does not take."""
    named = [each for each in map(overrides, spans) if each and not each[0].startswith("resume=")]
    # Composing takes a third of a second, so as many as possible share one: those without a common group.
    shared: list[dict[str, str]] = []
    for arguments in named:
        roots = {re.split(r"[./=]", each.lstrip("+~"), maxsplit=1)[0]: each for each in arguments}
        fitting = next((each for each in shared if not each.keys() & roots.keys()), None)
        if fitting is None:
            shared.append(fitting := {})
        fitting |= dict.fromkeys(roots, " ".join(arguments))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for each in shared:
            together = [word for span in dict.fromkeys(each.values()) for word in overrides(span)]
            try:
                compose("train", translated_overrides(together))
            except Exception as error:
                pytest.fail(f"{together}: {error}")


def test_the_arguments_of_the_right_column_are_ours() -> None:
    cells = [line.split(" | ", 1)[1] for line in PAGE.splitlines() if line.startswith("| ")]
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    assert len([each for each in map(overrides, spans) if each]) > 60
    check_composes(spans)


def test_what_to_type_when_it_does_not_learn_can_be_typed() -> None:
    typed = re.findall(r"^python train\.py .*$|`(?:python train\.py )[^`]*`", TROUBLES, re.MULTILINE)
    assert len(typed) > 25
    assert all(map(overrides, (each.strip("`") for each in typed)))
    check_composes([job for each in typed for job in jobs(each.strip("`"))])


def test_the_columns_of_a_trouble_are_in_the_log() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/sac_lightning").rglob("*.py"))
    columns = set(re.findall(r"`((?:train|eval|rollout|diagnostics)/\w+)`", TROUBLES))
    assert len(columns) > 8
    assert [
        each for each in sorted(columns) if each not in source and f'"{each.partition("/")[2]}"' not in source
    ] == []
