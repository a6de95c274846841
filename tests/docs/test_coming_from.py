"""docs/coming_from.md: each argument that it names for train.py is one that the config takes."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sac_lightning.cli.command_line import in_our_words

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")


def overrides(span: str) -> list[str]:
    """The arguments in the code `span`, unless it is another command or Python."""
    words = re.findall(r"'[^']*'|\S+", span.removeprefix("python train.py "))
    is_ours = all(re.fullmatch(r"'?[+~]?[a-z][\w./]*=.+|-m|~logger", word) for word in words)
    return [word.strip("'") for word in words if word != "-m"] if is_ours else []


def test_the_arguments_of_the_right_column_are_ours() -> None:
    cells = [line.split(" | ", 1)[1] for line in PAGE.splitlines() if line.startswith("| ")]
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    named = [each for each in map(overrides, spans) if each and not each[0].startswith("resume=")]
    assert len(named) > 60
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
                compose("train", in_our_words(together))
            except Exception as error:
                pytest.fail(f"{together}: {error}")
