"""`python report.py`: all runs of a folder, failed ones too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Server, everything, mistake
from tests.report.folders import config, make_run

from sac_lightning.core.errors import install


def summary(folder: Path, name: str, **content: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps({"env_id": "Pendulum-v1", **content}))


def test_all_runs_are_told_in_order_and_failed_ones_counted(tmp_path: Path, server: Server) -> None:
    summary(tmp_path / "sweep", "10", status="done", seed=2, env_steps=400, eval_return_mean=-150.25)
    summary(tmp_path / "sweep", "2", status="failed", seed=1, env_steps=17, error="the disk is full")
    ended = server.call("report", tmp_path, ("runs=sweep",))
    assert ended.code == 0, ended.err
    lines = (tmp_path / "sweep" / "report.md").read_text().splitlines()
    assert lines[0] == "# 2 runs: 1 done, 1 failed"
    rows = lines[lines.index("## All runs") + 4 :][:2]
    # By number, not by letter.
    assert rows[0].startswith("| 2 | failed: the disk is full | Pendulum-v1 | 1 |")
    assert rows[1].startswith("| 10 | done | Pendulum-v1 | 2 | – | 400 | – | −150.2 |")
    assert "the disk is full" in ended.out


def test_real_run_is_told(finished_run: Path, tmp_path: Path, server: Server) -> None:
    ended = server.call("report", tmp_path, (f"runs='{finished_run}'", "out=."))
    assert ended.code == 0, ended.err
    assert "| done | Pendulum-v1 | 0 | – | 400 |" in (tmp_path / "report.md").read_text()
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_folder_without_a_run_is_a_mistake_in_one_line(tmp_path: Path, server: Server) -> None:
    for name, said in ((".", "contains no run"), ("nowhere", "is no folder")):
        assert said in mistake(server.call("report", tmp_path, (f"runs={name}",)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("by=alfa", "by=alfa: is in no run's config. Did you mean alpha"),
        ("by=alpha,lrr", "by=lrr: is in no run's config. Did you mean lr"),
        ("by=[]", "by=[]: must be a name, or a list of them in brackets"),
    ],
)
def test_unknown_key_to_group_by_is_a_mistake_in_one_line(
    argument: str, said: str, finished_run: Path, tmp_path: Path, server: Server
) -> None:
    line = mistake(server.call("report", tmp_path, (f"runs={finished_run}", "out=.", argument)))
    assert line.startswith(said)
    assert everything(tmp_path) == set()


def test_runs_with_no_common_metric_are_a_mistake_in_one_line(tmp_path: Path, server: Server) -> None:
    make_run(tmp_path / "a", config(), "env_steps,eval/return_mean\n100,1\n")
    make_run(tmp_path / "b", config(), "env_steps,loss\n100,1\n")
    line = mistake(server.call("report", tmp_path, ("runs=.",)))
    assert line.startswith("runs=")
    assert "its runs share no metric: a has eval/return_mean; b has loss. Make a report of each" in line
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_one_report_at_a_time(tmp_path: Path, server: Server) -> None:
    line = mistake(server.call("report", tmp_path, ("-m", "runs=.")))
    assert "runs=[DIR,DIR] names several folders" in line


def test_several_folders_with_any_name_make_one_report(tmp_path: Path, server: Server) -> None:
    summary(tmp_path, "seed=0,alpha=auto", status="done", seed=0)
    summary(tmp_path, "b", status="done", seed=1)
    one = server.call("report", tmp_path, ("runs=seed=0,alpha=auto",))
    assert one.code == 0, one.err
    assert (tmp_path / "seed=0,alpha=auto" / "report.html").is_file()
    assert "out=None: must name a folder" in mistake(server.call("report", tmp_path, ("runs=b,b",)))
    both = server.call("report", tmp_path, ("runs=['seed=0,alpha=auto',b]", "out=both"))
    assert both.code == 0, both.err
    assert "# 2 runs: 2 done" in (tmp_path / "both" / "report.md").read_text()


@pytest.mark.parametrize(("module", "package"), [("scipy", "SciPy"), ("jinja2", "Jinja2")])
def test_missing_extra_is_a_mistake_in_one_line(
    module: str, package: str, tmp_path: Path, process_env: dict[str, str]
) -> None:
    summary(tmp_path, "run", status="done")
    without = f"import sys; sys.modules['{module}'] = None; from sac_lightning.cli.report import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", without, "runs=run"],
        cwd=tmp_path,
        env=process_env,
        capture_output=True,
        text=True,
    )
    advice = f"a report needs {package}, which is not installed: {install('report')}"
    assert (ended.returncode, ended.stderr) == (2, f"error: runs=run: {advice}\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["summary.json"]
