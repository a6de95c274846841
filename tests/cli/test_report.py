"""`python report.py`: all runs of a folder, failed ones too."""

import json
from pathlib import Path

from tests.cli.conftest import Server


def summary(folder: Path, name: str, **content: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps({"env_id": "Pendulum-v1", **content}))


def test_all_runs_are_told_in_order_and_failed_ones_counted(tmp_path: Path, server: Server) -> None:
    summary(tmp_path / "sweep", "10", status="done", seed=2, env_steps=400, eval_return_mean=-150.25)
    summary(tmp_path / "sweep", "2", status="failed", seed=1, env_steps=17, eval_return_mean=None)
    ended = server.call("report", tmp_path, ("runs=sweep",))
    assert ended.code == 0, ended.err
    lines = (tmp_path / "sweep" / "report.md").read_text().splitlines()
    assert lines[0] == "# 2 runs: 1 done, 1 failed"
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| 2", "| 10"]  # by number, not by letter
    assert "−150" in lines[5] or "-150.2" in lines[5]


def test_real_run_is_told(finished_run: Path, tmp_path: Path, server: Server) -> None:
    ended = server.call("report", tmp_path, (f"runs='{finished_run}'", "out=."))
    assert ended.code == 0, ended.err
    assert "| done | Pendulum-v1 | 0 | 400 |" in (tmp_path / "report.md").read_text()


def test_folder_without_a_run_is_a_mistake_in_one_line(tmp_path: Path, server: Server) -> None:
    for name, told in ((".", "holds no run"), ("nowhere", "is no folder")):
        ended = server.call("report", tmp_path, (f"runs={name}",))
        assert ended.code == 2
        assert ended.err.count("\n") == 1
        assert told in ended.err
    assert list(tmp_path.iterdir()) == []
