"""Files that the documents link to or name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "lab/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
# Names are relative to one of these: `compile/graph.py`, `tests/cli`, `python benchmarks/graph.py`.
HOMES = [
    ROOT / home
    for home in ("", "src", "src/sac_lightning", "tests/cli", "tests/resume", "examples/thermostat")
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_python_file_that_it_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    without_links = re.sub(r"\[[^\]]*\]\([^)]*\)", "", text)
    written = re.findall(r"^`([\w/.]+)`$", text, re.MULTILINE)  # by the reader, as the page shows
    named = set(re.findall(r"([\w./-]+\.py)\b", without_links)) - set(written)
    homes = [*HOMES, path.parent]
    assert [name for name in sorted(named) if not any((home / name).exists() for home in homes)] == []
