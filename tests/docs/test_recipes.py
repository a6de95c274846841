"""What benchmarks/family.py and benchmarks/minutes.py read from a run, and compare."""

import platform
import sys
from importlib.metadata import version
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


def test_a_row_names_the_versions_and_the_processor_that_made_it() -> None:
    from gate import versions

    python, numpy, processor = versions(["numpy"]).split("; ")
    assert (python, numpy) == (f"python {platform.python_version()}", f"numpy {version('numpy')}")
    info = Path("/proc/cpuinfo")
    assert processor == platform.machine() or f": {processor}\n" in info.read_text(encoding="utf-8")


def test_returns_are_compared_with_the_published_ones_at_the_same_env_steps() -> None:
    from family import compared

    row = {"recipe": "crossq lr=1e-4", "env": "halfcheetah", "env_steps": "50000", "return_mean": "5000"}
    other = {**row, "return_mean": "5026"}
    rows = [row, other, {**row, "env_steps": "55000"}, {**row, "env": "humanoid"}]
    (line,) = compared(rows)
    # (5013 - 6345) / 832 = -1.6
    assert line.startswith("crossq lr=1e-4, halfcheetah, 50,000 env steps: published 6345 ± 832; here 5013 ")
    assert line.endswith("(2 seeds), -1.6 standard deviations, more than 1.5")
    _, hopper = compared([*rows, {**row, "env": "hopper"}])
    # (5000 - 1421) / 959 = 3.7
    assert "published 1421 ± 959; here 5000 (1 seeds), +3.7 standard" in hopper


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


def test_of_two_runs_of_one_seed_the_longer_counts_by_env_steps_and_each_by_its_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import campaign_page
    from recipes import COLUMNS
    from tables import Table

    def table(name: str, *points: tuple[str, int, int, float]) -> Table:
        made = Table(tmp_path / name, COLUMNS)
        keys = ("recipe", "seed", "env_steps", "minutes", "return_mean")
        made.add(
            {**dict.fromkeys(COLUMNS, ""), "env": "ant", **dict(zip(keys, each, strict=True))}
            for each in points
        )
        return made

    # The second seed of `fast` has no run in the campaign; the one of `sac` is longer there.
    campaign = [("fast", 0, 10, 1.0, 5.0), ("sac", 0, 10, 1.0, 6.0), ("sac", 0, 20, 2.0, 7.0)]
    timed = [
        ("fast", 0, 10, 3.0, 8.0),
        ("fast", 0, 20, 9.0, 9.0),
        ("fast", 1, 10, 4.0, 4.0),
        ("sac", 0, 10, 5.0, 3.0),
    ]
    own = table("ant.csv", *campaign)
    monkeypatch.setattr(campaign_page, "table_of", lambda env: own)
    monkeypatch.setattr(campaign_page, "MINUTES_FILE", table("minutes.csv", *timed).path)
    curves = campaign_page.curves_of("ant")
    assert [each.values.tolist() for each, _ in curves["fast"]] == [[8.0, 9.0], [4.0]]
    assert [each.values.tolist() for each, _ in curves["sac"]] == [[6.0, 7.0]]
    assert campaign_page.after(curves["fast"], 1.0) == [5.0]
    # Half of the way from the third minute to the ninth; 20 env steps in 9 minutes, and 10 in 4.
    assert campaign_page.after(campaign_page.minutes_of("ant")["fast"], 6.0) == [8.5]
    assert campaign_page.minutes_rows("ant")[0] == ["ant", "fast", "", "", f"{(20 / 9 + 10 / 4) / 2:.0f}"]


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
