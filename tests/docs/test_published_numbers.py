"""Numbers and pictures of README and docs/speed.md come from the committed CSVs, from the same rows."""

import csv
import json
import re
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "benchmarks"))

from throughput_results import csv_of, pooled, ratio, read_runs, speed  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")
SPEED = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").replace("−", "-")
SB3, SBX = "stable-baselines3 fp32", "sbx (JAX) fp32"
ENVS = ("Pendulum-v1", "HalfCheetah-v5")


def rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def line(text: str, begins: str) -> str:
    """The one row of a table that begins so."""
    (found,) = (each for each in text.splitlines() if each.startswith(f"| {begins}"))
    return found


def test_pendulum_s_returns_are_those_of_the_csv() -> None:
    table = {int(row["seed"]): float(row["return_mean"]) for row in rows("learning_pendulum.csv")}
    returns = [table[seed] for seed in range(5)]
    published = f"{', '.join(f'{value:.1f}' for value in returns)}: mean {statistics.mean(returns):.1f}"
    assert published in line(README, "Pendulum-v1, 5,000 env steps, seeds 0 to 4")
    assert {row["episodes"] for row in rows("learning_pendulum.csv")} == {"100"}


def test_the_first_picture_ends_where_the_table_does() -> None:
    curves = rows("learning_pendulum_curves.csv")
    for row in rows("learning_pendulum.csv"):
        (last,) = (
            each for each in curves if (each["seed"], each["env_steps"]) == (row["seed"], row["env_steps"])
        )
        assert float(last["return_mean"]) == pytest.approx(float(row["return_mean"]), abs=0.05)


def test_returns_of_solved_envs_are_those_of_the_csv() -> None:
    found = rows("learning_solved.csv")
    assert {each["episodes"] for each in found} == {"100"}
    for env in dict.fromkeys(each["experiment"] for each in found):
        own = sorted(
            (each for each in found if each["experiment"] == env), key=lambda each: int(each["seed"])
        )
        config = yaml.safe_load((ROOT / "conf" / "env" / f"{env}.yaml").read_text())
        assert {int(each["env_steps"]) for each in own} == {config["total_env_steps"]}
        begins = (
            f"{config['env']['id']}, {config['total_env_steps']:,} env steps, seeds 0 to {len(own) - 1} |"
        )
        returns = ", ".join(f"{float(each['return_mean']):.1f}" for each in own)
        assert line(README, begins).rstrip(" |").endswith(f"| {returns}"), env


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("name", ["eager fp32", "compiled fp32", "compiled bf16"])
def test_speeds_of_docs_are_those_of_all_runs(env: str, name: str) -> None:
    runs, ours = read_runs(RESULTS, env), f"sac_lightning {name}"
    begins = f"**sac_lightning** {name.removesuffix(' fp32').replace(' bf16', ', bf16')} |"
    cell = line(SPEED, begins).split("|")[2 + ENVS.index(env)]
    beside = ratio(runs, ours, SB3)
    published = (
        f"{speed(runs, ours).median:.0f}: {beside.median:.2f} ({beside.low:.2f} to {beside.high:.2f}), "
    )
    assert f"{published}{ratio(runs, ours, SBX).median:.2f}" in cell


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        (SB3, "Stable-Baselines3 2.9.2"),
        (SBX, "sbx 0.28.0"),
        ("torchrl fp32", "TorchRL"),
        ("tianshou fp32", "Tianshou"),
        ("skrl fp32", "skrl"),
        ("cleanrl-style eager fp32", "a plain PyTorch loop"),
    ],
)
def test_speeds_of_others_are_those_of_all_runs(name: str, begins: str) -> None:
    cells = line(SPEED, begins).split("|")[2:4]
    for env, cell in zip(ENVS, cells, strict=True):
        runs = read_runs(RESULTS, env)
        if name in pooled(runs):
            beside = "" if name == SB3 else f": {ratio(runs, name, SB3).median:.2f}"
            assert cell.strip() == f"{speed(runs, name).median:.0f}{beside}"


def test_readme_s_speeds_are_those_of_docs() -> None:
    for env, begins in zip(ENVS, ("whole loop on Pendulum-v1", "whole loop on HalfCheetah-v5"), strict=True):
        runs, text = read_runs(RESULTS, env), line(README, begins)
        for name, shown in (
            ("eager fp32", "eager"),
            ("compiled fp32", "compiled"),
            ("compiled bf16", "compiled bf16"),
        ):
            ours = f"sac_lightning {name}"
            published = f"{shown} {speed(runs, ours).median:.0f}: {ratio(runs, ours, SB3).median:.2f}"
            assert published in text
        assert re.search(rf"at {speed(runs, SB3).median:.0f}\b", text)


def test_memory_peaks_of_docs_and_changelog_are_those_of_the_file() -> None:
    peaks = json.loads((RESULTS / "memory_peak.json").read_text())
    compiled, eager = round(peaks["compiled_mb"]), round(peaks["eager_mb"])
    text = f"a peak of {compiled} MB; an eager run has {eager} MB, so the ratio is {peaks['ratio']:.2f}"
    assert text in " ".join(SPEED.split())
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"a memory peak of {compiled} MB" in changelog and f"stays at {eager} MB" in changelog


@pytest.mark.parametrize("env", ENVS)
def test_speed_s_picture_is_drawn_from_the_rows_of_the_table(env: str, tmp_path: Path) -> None:
    from contestants import LIMIT
    from throughput_plot import draw

    runs = read_runs(RESULTS, env)
    assert len(runs) > 1
    draw(pooled(runs), env, LIMIT, tmp_path / "all.png", len(runs))
    committed = csv_of(RESULTS, env).with_suffix(".png")
    assert looks_like(tmp_path / "all.png", committed)
    draw(runs[0], env, LIMIT, tmp_path / "one.png", 1)  # as the pictures were before
    assert not looks_like(tmp_path / "one.png", committed)


def test_the_first_picture_is_drawn_from_the_committed_rows(tmp_path: Path) -> None:
    from learning_seeds_plot import draw_seeds

    curves, scores = rows("learning_pendulum_curves.csv"), rows("learning_pendulum.csv")
    draw_seeds(curves, scores, tmp_path / "pendulum.png")
    committed = ROOT / "docs" / "figures" / "pendulum.png"
    assert looks_like(tmp_path / "pendulum.png", committed)
    draw_seeds([row for row in curves if row["seed"] != "0"], scores, tmp_path / "other.png")
    assert not looks_like(tmp_path / "other.png", committed)


def looks_like(one: Path, other: Path) -> bool:
    """Of the same size, and nearly all pixels equal: fonts may be rendered a little differently."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return False
        pixels = [np.asarray(each.convert("L"), dtype=float) for each in (first, second)]
    return float((np.abs(pixels[0] - pixels[1]) > 64).mean()) < 0.001


def test_speeds_beside_the_first_edition_are_those_of_the_csv() -> None:
    section = SPEED.partition("## Beside the first edition")[2].partition("\n## ")[0]
    ratios = []
    in_readme: dict[str, list[tuple[str, str]]] = {}
    for env in ("Pendulum-v1", "HalfCheetah-v5"):
        speeds: dict[str, list[float]] = {}
        for row in rows(f"versus_b85adb5_{env}.csv"):
            speeds.setdefault(row["contestant"], []).append(float(row["updates_per_s"]))
        for shown, ours, before in (
            ("eager", "sac_lightning eager fp32", "b85adb5 eager"),
            ("compiled", "sac_lightning compiled fp32", "b85adb5 compiled"),
            ("compiled, bf16", "sac_lightning compiled bf16", "b85adb5 bf16"),
        ):
            medians = [f"{statistics.median(speeds[each]):.0f}" for each in (ours, before)]
            beside = [median_ratio(speeds[ours], speeds[each]) for each in (before, SB3)]
            cells = [env, shown, *medians, *(f"{each:.2f}" for each in beside)]
            assert f"| {' | '.join(cells)} |" in section
            ratios.append(beside[0])
            in_readme.setdefault(shown.replace(",", ""), []).append((medians[0], f"{beside[1]:.2f}"))
    assert f"This edition reaches {min(ratios):.2f} to {max(ratios):.2f} of its speed" in README
    for shown, ((here, times), (there, times_there)) in in_readme.items():
        assert f"{shown} {here} and {there}: {times} and {times_there} times" in README


def test_denormal_numbers_cost_what_docs_say() -> None:
    for env in ENVS:
        ratios = [
            float(row["ratio"])
            for row in rows("denormals.csv")
            if row["env"] == env and int(row["env_steps"]) >= 4_000
        ]
        assert f"{min(ratios):.2f} to {max(ratios):.2f} times" in SPEED.replace("\n ", "")


def test_parts_pass_a_return_when_family_says() -> None:
    family = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")
    passed: dict[str, dict[str, int]] = {}
    for row in sorted(rows("parts.csv"), key=lambda row: int(row["env_steps"])):
        if float(row["return_mean"]) > -250:
            passed.setdefault(row["recipe"], {}).setdefault(row["seed"], int(row["env_steps"]))
    for recipe, said in (
        ("SAC", "SAC passes −250 in the evaluations after {} and {}"),
        ("residual blocks", "*Residual blocks* pass it after {} and {}"),
        ("Batch Renormalization, no target network", "network after {} and {}"),
        ("reward normalisation", "*reward normalisation* it takes {} and {}"),
        ("linear learning-rate schedule", "is later ({} and {})"),
    ):
        assert said.format(*(f"{steps:,}" for steps in sorted(passed[recipe].values()))) in family
    assert "unit length" not in passed


def test_what_lag_costs_is_that_of_the_csv() -> None:
    text = " ".join((ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split())
    ends: dict[str, list[float]] = {}
    for row in rows("lag.csv"):
        if (row["env"], row["env_steps"]) == ("halfcheetah", "50000"):
            ends.setdefault(row["recipe"], []).append(float(row["return_mean"]))
    means = [f"{statistics.mean(ends[recipe]):,.0f}" for recipe in ("sync", "ray", "ray, blocks of 50")]
    assert "are {} without lag, {} with 70 and {} with 348 updates".format(*means) in text
    ranges = sorted(max(own) - min(own) for own in ends.values())
    assert f"differ by {ranges[0]:,.0f} to {ranges[-1]:,.0f}." in text
    passed: dict[tuple[str, str], int] = {}
    for row in rows("lag.csv"):
        if row["env"] == "pendulum" and float(row["return_mean"]) > -250:
            run = row["recipe"], row["seed"]
            passed[run] = min(passed.get(run, 10_000), int(row["env_steps"]))
    spans = []
    for recipe in ends:
        first = [steps for (each, _), steps in passed.items() if each == recipe]
        spans.append(f"{min(first):,} to {max(first):,}")
    without, small, large = spans
    assert f"after {without} env steps without lag, after {small} with 70 updates" in text
    assert f"and after {large} with 350" in text


def test_sac_with_the_published_rate_has_the_returns_of_the_csv() -> None:
    ends = [
        float(row["return_mean"])
        for row in sorted(rows("mujoco_v5/halfcheetah.csv"), key=lambda row: row["seed"])
        if (row["recipe"], row["env_steps"]) == ("sac_lr", "100000")
    ]
    shown = " and ".join(f"{each:,.0f}" for each in ends)
    assert f"| {shown}: mean {statistics.mean(ends):,.0f} (published" in README


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Of the rounds."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
