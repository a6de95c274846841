"""The files, folders and commands that CONTRIBUTING.md names exist, and every check uses the same ruff."""

import re
import tomllib
from pathlib import Path

import yaml

import sac_lightning

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "sac_lightning"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOOKS = {
    hook["id"]: hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
}


def test_every_file_and_folder_that_it_names_exists() -> None:
    folders = {cell for row in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE) for cell in row.split(", ")}
    named = {*re.findall(r"`([\w./-]+/[\w./-]+|[\w-]+\.\w+)`", TEXT), *(cell.strip("`") for cell in folders)}
    named |= set(re.findall(r"\]\(([\w./-]+)\)", TEXT)) | {"constraints.txt", "tests/replay"}
    assert len(named) > 20
    missing = [each for each in named if not any((folder / each).exists() for folder in (ROOT, PACKAGE))]
    assert missing == []


def test_every_folder_of_the_package_has_a_row() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    rows = "".join(re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE))
    assert [folder for folder in sorted(folders) if f"`{folder}`" not in rows] == []


def test_the_changelog_keeps_its_form() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert releases[0] == "Unreleased"
    kinds = re.findall(r"^### (.+)$", changelog, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert len(kinds) >= len(releases)


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT.replace("make its", "")))
    assert {"install", "check", "lint", "format", "versions"} <= named <= targets


def test_its_tools_are_installed_by_make_install() -> None:
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert any(line.startswith("pre_commit==") for line in pinned)
    assert '"pre-commit>=' in (ROOT / "pyproject.toml").read_text()


def test_hooks_run_the_ruff_of_make_lint_and_its_commands() -> None:
    (pinned,) = re.findall(r"^ruff==.+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    for name, command in (("ruff-check", "ruff check --fix"), ("ruff-format", "ruff format")):
        assert HOOKS[name]["additional_dependencies"] == [pinned]
        assert HOOKS[name]["entry"].startswith(command)
        assert f"$(BIN)/{command}" in makefile


def test_hooks_need_no_other_repository_and_exact_versions() -> None:
    assert all(hook["language"] == "python" for hook in HOOKS.values())
    assert all("==" in one for hook in HOOKS.values() for one in hook["additional_dependencies"])


def test_one_version_and_licence_stand_in_all_places() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == project["version"] == sac_lightning.__version__
    assert citation["license"] == project["license"]


def test_only_a_tag_publishes_and_only_what_was_built_and_checked() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert jobs["publish"]["if"] == "github.ref_type == 'tag'"
    assert (jobs["publish"]["needs"], jobs["publish"]["permissions"]) == ("build", {"id-token": "write"})
    lines = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    wanted = re.findall(r'grep -qx "(.+)" (\S+)', lines)
    assert len(wanted) == 3
    for line, file in wanted:
        line_of_today = line.replace('\\"', '"').replace("$version", sac_lightning.__version__)
        assert line_of_today in (ROOT / file).read_text(encoding="utf-8").splitlines()


def test_the_forms_for_questions_are_whole() -> None:
    for file in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(file.read_text())
        if file.stem != "config":
            assert {"name", "description", "body"} <= form.keys()
            assert all({"type", "id", "attributes"} <= part.keys() for part in form["body"])
