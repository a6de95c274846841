"""Run folders in every state that a training can leave."""

from pathlib import Path

import pytest
from tests.report.folders import config, make_run, metrics

from sac_lightning.core.errors import ConfigError
from sac_lightning_report.runs import ALPHA, SCORE, read_curves, read_runs

LOG = """2026-11-23 10:00:00,123 INFO sac_lightning.cli.run: run directory: x
2026-11-23 10:00:01,123 ERROR sac_lightning.cli.run: training failed: the reward of env 0 is nan
Traceback (most recent call last):
  File "run.py", line 1, in step
ValueError: the reward of env 0 is nan
"""


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    return path


def test_runs_are_found_at_any_depth_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/2", "alone", "other/sweep/0"):
        make_run(tmp_path / name, config())
    assert [run.name for run in read_runs(tmp_path)] == ["alone", "other/sweep/0", "sweep/2", "sweep/10"]
    assert [run.name for run in read_runs(tmp_path / "alone")] == ["alone"]


def test_what_lies_within_a_run_is_no_run(tmp_path: Path) -> None:
    make_run(tmp_path / "run", config())
    make_run(tmp_path / "run" / "wandb" / "offline-run" / "files", config())
    assert len(read_runs(tmp_path)) == 1


def test_reason_is_the_summarys_error_else_the_logs(tmp_path: Path) -> None:
    make_run(tmp_path / "0", config(), status="failed", error="OSError: the disk\nis full")
    for name, log in (("1", LOG), ("2", "Traceback (most recent call last):\nKeyError: 'x'\n"), ("3", "")):
        make_run(tmp_path / name, config(), status="failed")
        (tmp_path / name / "train.log").write_text(log)
    assert [run.reason for run in read_runs(tmp_path)] == [
        "OSError: the disk is full",
        "the reward of env 0 is nan",
        "KeyError: 'x'",
        "no reason in summary.json or train.log",
    ]


def test_run_without_a_summary_is_unfinished_and_one_that_was_stopped_can_continue(tmp_path: Path) -> None:
    make_run(tmp_path / "0", config(), status=None)
    make_run(tmp_path / "1", config(), status="interrupted")
    running, stopped = read_runs(tmp_path)
    assert running.status == "unfinished"
    assert "still runs, or it was killed" in running.reason
    assert f"resume={tmp_path / '1'}" in stopped.reason


def test_damaged_files_are_reported_and_the_rest_of_the_run_is_read(tmp_path: Path) -> None:
    for name in ("0", "1", "2"):
        make_run(tmp_path / name, config(seed=3), metrics({100: 5.0}))
    (tmp_path / "0" / "summary.json").write_text('{"status": "do')
    (tmp_path / "1" / "config.yaml").write_text("a: [1\nb: }")
    (tmp_path / "2" / "metrics.csv").write_text("step,loss\n1,2\n")
    summary, cfg, table = read_runs(tmp_path)
    assert (summary.status, summary.problems, summary.seed) == ("unfinished", ("summary.json is damaged",), 3)
    assert (cfg.problems, cfg.config, cfg.curves[SCORE].values.tolist()) == (
        ("config.yaml is damaged",),
        {},
        [5.0],
    )
    assert table.problems == ("metrics.csv cannot be read: its first column is not env_steps",)


@pytest.mark.parametrize(
    ("text", "points", "dropped"),
    [
        ("env_steps,eval/return_mean\n100,1\n200,2\n30", [(100, 1), (200, 2)], 1),  # torn in a number
        ("env_steps,eval/return_mean\n100,1\n200\n300,3\n", [(100, 1), (300, 3)], 1),  # a cell is missing
        ("env_steps,eval/return_mean\n100,1\n2x0,2\n300,3\n", [(100, 1), (300, 3)], 1),
        ("env_steps,eval/return_mean\n100,nan\n200,inf\n300,3\n400,\n", [(300, 3)], 0),
        ("env_steps,eval/return_mean\n200,2\n100,1\n200,5\n", [(100, 1), (200, 5)], 0),  # the last counts
        ("env_steps,eval/return_mean\n", [], 0),
        ("env_st", [], 1),
        ("", [], 0),
        ("env_steps,train/loss\n100,1\n", [], 0),
    ],
)
def test_every_whole_row_is_read_and_damaged_ones_are_counted(
    text: str, points: list[tuple[int, int]], dropped: int, tmp_path: Path
) -> None:
    found = read_curves(table(tmp_path, text))
    assert list(zip(found[SCORE].steps, found[SCORE].values, strict=True)) == points
    assert found.dropped == dropped
    assert len(found[ALPHA]) == 0


def test_no_metrics_file_is_no_curve(tmp_path: Path) -> None:
    assert len(read_curves(tmp_path / "metrics.csv")[SCORE]) == 0


def test_folder_without_a_run_is_a_mistake(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "contains no run"), (tmp_path / "nowhere", "is no folder")):
        with pytest.raises(ConfigError, match=message):
            read_runs(folder)
