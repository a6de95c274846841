"""docs/entropy.md and `--help` against the rules that there are and the CSVs that were measured."""

import csv
import importlib.util
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
import yaml

from sac_lightning.collect.collector import DENSITY_EVERY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/entropy.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks/results"
RULES = [
    (group, path)
    for group in ("alpha", "target_entropy")
    for path in sorted((ROOT / "conf" / group).glob("*.yaml"))
]
NAMES = [f"{group}={path.stem}" for group, path in RULES]
OF_ALL = {"_target_", "critic", "critic_value", "units", "per_dim"}  # in a table of their own


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first heading is that, cells stripped."""
    (lines,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines.splitlines()]


def results(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("group", "path"), RULES, ids=NAMES)
def test_every_rule_has_a_full_row_with_all_its_keys(group: str, path: Path) -> None:
    (row,) = [row for row in table(f"`{group}=`") if row[0] == f"`{path.stem}`"]
    assert all(row), row
    keys = set(yaml.safe_load(path.read_text(encoding="utf-8"))) - OF_ALL
    assert [key for key in keys if f"`{key}`" not in " ".join(row)] == []


def test_no_row_is_left_of_a_rule_that_is_gone() -> None:
    groups = ("alpha", "target_entropy")
    rows = [f"{group}={row[0].strip('`')}" for group in groups for row in table(f"`{group}=`")]
    assert sorted(rows) == sorted(NAMES)


def test_tables_help_and_first_lines_of_configs_are_those_of_the_docstrings() -> None:
    spec = importlib.util.spec_from_file_location("tables_of_docs", ROOT / "docs/tables.py")
    assert spec and spec.loader
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    documents = tables.documents()
    assert {path.name for path in documents} >= {"README.md", "entropy.md", "default.yaml", "tes.yaml"}
    changed = [path.name for path, text in documents.items() if path.read_text(encoding="utf-8") != text]
    assert changed == [], "run `make docs`"


@pytest.mark.parametrize(("group", "path"), RULES, ids=NAMES)
def test_help_has_formula_source_interval_defaults_and_use(group: str, path: Path) -> None:
    config = yaml.safe_load((ROOT / "conf/hydra/default.yaml").read_text(encoding="utf-8"))
    text = config["help"]["template"]
    entry = rf"^{group}={path.stem} +(\S.*) \[([^\]]+)\]\n +([^;]+);\s+([^;]+);\s+(\S.*)$"
    found = re.findall(entry, text, re.MULTILINE)
    assert len(found) == 1
    defaults = " ".join(found[0][3].split())
    for key, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if isinstance(value, float) and key in (
            "value",
            "init",
            "start",
            "end",
            "ratio",
            "eps",
            "sigma",
            "factor",
        ):
            assert f"{key} {value:g}" in defaults
    assert max(len(line) for line in text.splitlines()) <= 120


def test_discrete_table_is_the_csv() -> None:
    measured: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in sorted(results("discrete_targets.csv"), key=lambda row: int(row["seed"])):
        task, _, rule = row["variant"].partition("_")
        measured[task, rule].append(row)
    published = table("task")
    assert len(published) == len(measured) == 6
    for task, rule, _, returns, area, alphas in published:
        name = task.removesuffix("-v1").lower(), rule.replace("`", "").replace(" ", "-")
        rows = measured[name]
        assert [row["seed"] for row in rows] == list("01234")
        assert returns == ", ".join(f"{float(row['return_mean']):.1f}".replace("-", "−") for row in rows)
        assert area == f"{mean(float(row['return_auc']) for row in rows):.0f}".replace("-", "−")
        assert alphas == ", ".join(f"{float(row['alpha']):.2g}" for row in rows)


def test_classic_target_ends_acrobot_where_it_began() -> None:
    rows = [row for row in results("discrete_targets.csv") if row["variant"] == "acrobot_max_ratio-0.98"]
    assert {float(row["return_mean"]) for row in rows} == {-500.0}
    assert max(float(row["return_auc"]) for row in rows) > -500.0  # hardly ever is not never
    assert "hardly ever finds the reward and ends at −500 on all seeds" in TEXT


def test_costs_of_the_diagnostics_are_the_csvs_and_under_one_percent() -> None:
    times = {row["measure"]: float(row["value"]) for row in results("diagnostics.csv")}
    look = times["look_ms"] / 250
    density = (times["action_and_density_ms"] - times["action_ms"]) / DENSITY_EVERY
    step = times["update_ms"] + times["action_ms"] + density + look
    for name, cost in (("looks_percent", look), ("density_percent", density)):
        (published,) = re.findall(rf"(\d+\.\d\d) % \(`{name}`\)", TEXT)
        assert float(published) == pytest.approx(100 * cost / step, abs=0.006)
        assert float(published) < 0.5
