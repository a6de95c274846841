"""What benchmarks/family.py and benchmarks/minutes.py read from a run, and compare."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METRICS = """env_steps,eval/return_mean,time/env_steps_per_s
100,,50.0
200,7.5,25.0
300,8.0,
400,9.0,10.0
"""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch):
    """The scripts of benchmarks import their neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in ("campaign", "campaign_page", "family", "gate", "minutes", "recipes", "tables"):
        sys.modules.pop(name, None)


def test_minutes_are_those_of_training_by_the_speed_of_each_row(tmp_path: Path) -> None:
    from recipes import evaluations

    assert evaluations(tmp_path) == []
    (tmp_path / "metrics.csv").write_text(METRICS)
    # 100 / 50 + 100 / 25 = 6 seconds; a row without a speed adds nothing; 100 / 10 = 10 more
    minutes = [point.minutes for point in evaluations(tmp_path)]
    assert minutes == pytest.approx([6 / 60, 6 / 60, 16 / 60])
    assert [point[::2] for point in evaluations(tmp_path)] == [(200, 7.5), (300, 8.0), (400, 9.0)]


def test_returns_are_compared_with_the_published_ones_at_the_same_env_steps() -> None:
    from family import compared

    row = {"recipe": "crossq lr=1e-4", "env": "halfcheetah", "env_steps": "50000", "return_mean": "5000"}
    other = {**row, "return_mean": "5026"}
    rows = [row, other, {**row, "env_steps": "55000"}, {**row, "env": "hopper"}]
    (line,) = compared(rows)
    # (5013 - 6345) / 832 = -1.6
    assert line.startswith("crossq lr=1e-4, halfcheetah, 50,000 env steps: published 6345 ± 832; here 5013 ")
    assert line.endswith("(2 seeds), -1.6 standard deviations, more than 1.5")


def test_the_table_of_minutes_interpolates_and_leaves_out_runs_that_have_not_come_so_far(
    tmp_path: Path,
) -> None:
    from minutes import summarise
    from numpy import array

    from sac_lightning_report.runs import Curve

    curves = [Curve(array([0.0, 20.0]), array([0.0, 100.0])), Curve(array([0.0, 5.0]), array([0.0, 9.0]))]
    (line,) = summarise({("hopper", "sac"): curves}, [10.0], tmp_path / "summary.csv")
    assert "50 [nan, nan] after 10 min" in line
    assert (tmp_path / "summary.csv").read_text().splitlines()[1] == "hopper,sac,10,1,50,,"


def test_results_page_has_the_tables_of_what_was_run() -> None:
    from campaign_page import PAGE, page

    text = page()
    assert "<!--" not in text and "| env | method |" in text
    assert not PAGE.exists() or PAGE.read_text(encoding="utf-8") == text


def test_returns_are_read_at_the_evaluation_itself_and_runs_on_their_way_are_left_out() -> None:
    from campaign_page import at, shown
    from numpy import array

    from sac_lightning_report.runs import Curve
    from sac_lightning_report.statistics import interquartile_mean

    minutes = Curve(array([1.0, 2.0]), array([5.0, 7.0]))
    two = [
        (Curve(array([10.0, 20.0]), array([5.0, 7.0])), minutes),
        (Curve(array([10.0]), array([6.0])), minutes),
    ]
    assert (at(two, 10), at(two, 20), at(two, 15)) == ([5.0, 6.0], [7.0], [])
    assert shown(interquartile_mean([7.0]), 1) == "7.0 (1)"
    assert shown(interquartile_mean([-80.4]), 1) == "-80 (1)"
    assert shown(interquartile_mean([]), 0) == ""


@pytest.mark.parametrize("env", ["cartpole", "ant"])
def test_every_run_of_the_campaign_is_a_command_that_its_parser_takes(env: str) -> None:
    from campaign import CampaignRuns, Run, total_steps
    from campaign_page import env_id, table_of

    runs = CampaignRuns(table_of(env), Path("runs"), ("logger=csv",))
    ours = runs.command(Run("fast", ("experiment=fast",), env, 3))
    assert ours.startswith(f"python train.py experiment=fast env={env} seed=3 logger=csv steps_per_epoch=")
    theirs = runs.command(Run("sb3_sac", (), env, 3))
    assert f"--seed=3 --steps={total_steps(env)} --every=" in theirs
    assert runs.command(Run("sbx_crossq", (), env, 3)).startswith(
        ".venv-bench/bin/python benchmarks/campaign_sb3.py --library=sbx --algorithm=crossq "
        f"--env={env_id(env)} --seed=3 "
    )


def test_a_game_of_minatar_is_an_env_of_the_campaign(tmp_path: Path) -> None:
    from campaign import CampaignRuns, Run
    from campaign_page import env_id, table_of

    runs = CampaignRuns(table_of("space_invaders"), tmp_path, (), every=100)
    assert runs.arguments(Run("sac", (), "space_invaders", 0))[:4] == [
        "env=minatar",
        "env.game=SpaceInvaders",
        "seed=0",
        "steps_per_epoch=100",
    ]
    assert env_id("space_invaders") == "MinAtar/SpaceInvaders-v1"


def test_every_recipe_of_the_minutes_has_a_colour() -> None:
    from campaign import PEERS
    from minutes import COLOURS, RECIPES

    assert len(COLOURS) == len(set(COLOURS)) >= max(len(RECIPES), len(PEERS))
