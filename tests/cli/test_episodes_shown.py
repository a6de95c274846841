"""Wherever a return is shown, the number of its episodes is too."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.cli.conftest import Command
from tests.report.folders import config, make_run, metrics

from sac_lightning.core import plots
from sac_lightning.training.callbacks.progress import _latest_texts
from sac_lightning_report import write_report


@pytest.mark.parametrize(
    ("latest", "shown"),
    [
        ({"eval/episodes": 10.0}, "return -150.0 (10 episodes)"),
        ({"eval/episodes": 1.0}, "return -150.0 (1 episode)"),
        ({"eval/episodes": 5.0, "rollout/return_mean": -2.0}, "return -150.0 (5 episodes, rollout -2.0)"),
        ({}, "return -150.0"),  # a module of one's own
    ],
)
def test_in_the_progress_bar(latest: dict[str, float], shown: str) -> None:
    assert _latest_texts({"eval/return_mean": -150.0, **latest}) == [shown]


@pytest.mark.parametrize(
    ("episodes", "label"),
    [
        ([10.0, 10.0], "evaluation, mean ± std of 10 episodes"),
        ([1.0, 1.0], "evaluation, mean ± std of 1 episode"),
        ([5.0, 10.0], "evaluation, mean ± std of 5 to 10 episodes"),
        ([np.nan, np.nan], "evaluation, mean ± std"),  # a run from before
    ],
)
def test_in_the_learning_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, episodes: list[float], label: str
) -> None:
    labels: list[str] = []
    legend = Axes.legend

    def read(axes: Axes, **options: object) -> object:
        labels.extend(axes.get_legend_handles_labels()[1])
        return legend(axes, **options)

    monkeypatch.setattr(Axes, "legend", read)
    run = {"env_steps": [1.0, 2.0], "eval/return_mean": [-2.0, -1.0], "eval/episodes": episodes}
    plots.learning_curve({key: np.array(column) for key, column in run.items()}, tmp_path / "c.png", "")
    assert labels == [label]


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((10, 10), "return, mean of 10 episodes"),
        ((5, 20), "return, mean of 5 to 20 episodes"),
        ((1, 1), "return, mean of 1 episode"),
        ((None, 10), "return of an evaluation"),  # one of them does not say it
    ],
)
def test_in_reports(tmp_path: Path, numbers: tuple[int | None, ...], shown: str) -> None:
    for seed, number in enumerate(numbers):
        said = {} if number is None else {"eval_episodes": number}
        make_run(tmp_path / str(seed), {**config(seed), **said}, metrics({1000: -2.0, 2000: -1.0}))
    write_report([tmp_path], tmp_path)
    assert f"Score: {shown}." in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert page.count(shown) >= 4  # beside the best score, and on the axes of curves and scores
    (head,) = (line for line in (tmp_path / "report.md").read_text().splitlines() if "| run |" in line)
    assert "eval episodes" in head


def test_in_the_run_s_files_and_tables(train: Command, tmp_path: Path) -> None:
    ended = train("debug=fast", "threads=1", "logger=csv", "eval_episodes=3", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["eval/return_mean"]]
    assert {float(row["eval/episodes"]) for row in rows} == {3.0}
    assert "(3 episodes" in ended.err
    shown = {
        line.split("│")[1].strip(): line.split("│")[2].strip()
        for line in ended.out.splitlines()
        if "│" in line
    }
    assert shown["eval_episodes"] == "3"
