"""The bounds in pyproject.toml are what `make versions` installs, on every Python that it names."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]


def bounds() -> dict[str, Version]:
    """The lower bound of every dependency that users install."""
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(line for name in extras if name not in ("dev", "docs") for line in extras[name]),
    ]
    found = {}
    for requirement in map(Requirement, lines):
        lowest = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
        if requirement.name in found and not lowest:  # gymnasium[mujoco]: bounded among the dependencies
            continue
        (found[requirement.name],) = lowest
    return found


def pins(python: str) -> dict[str, Version]:
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    on = {"python_version": python}
    here = [each for each in wanted if each.marker is None or each.marker.evaluate(on)]
    assert len({each.name for each in here}) == len(here)
    assert all(str(each.specifier).startswith("==") for each in here)
    return {each.name: Version(str(each.specifier)[2:]) for each in here}


def test_the_lowest_versions_are_the_bounds() -> None:
    assert pins(PYTHONS[0]) == bounds()


@pytest.mark.parametrize("python", PYTHONS[1:])
def test_a_newer_python_has_the_same_or_a_newer_release_of_each(python: str) -> None:
    lowest = bounds()
    assert pins(python).keys() == lowest.keys()
    assert all(pinned >= lowest[name] for name, pinned in pins(python).items())


def test_the_workflow_runs_both_on_every_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "versions.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": PYTHONS, "versions": ["lowest", "newest"]}
    (line,) = [step["run"] for step in job["steps"] if "run" in step]
    for versions in job["strategy"]["matrix"]["versions"]:
        target = line.replace("${{ matrix.versions }}", versions).split()[1]
        assert re.search(rf"^[a-z -]*\b{target}\b[a-z -]*:", (ROOT / "Makefile").read_text(), re.M)
    assert SpecifierSet(PROJECT["requires-python"]).contains(PYTHONS[0])
