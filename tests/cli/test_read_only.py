"""A folder that cannot be written: one line, and no traceback of the handler of an error."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, TINY, Finished, Server, mistake

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
SHORT = (*TINY, "env=cartpole", "callbacks.plots=null")


def without_override() -> None:
    """Root may write where nobody may, unless this right is taken before the command starts."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        os._exit(99)


@pytest.fixture
def run(tmp_path: Path, server: Server) -> Iterator[Path]:
    """A run whose folders nobody may write into."""
    ended = server.call("train", tmp_path, (*SHORT, "hydra.run.dir=run"))
    assert ended.code == 0, ended.err
    folder = tmp_path / "run"
    folders = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield folder
    for path in folders:
        path.chmod(0o755)


def command(name: str, *arguments: str, cwd: Path, env: dict[str, str]) -> Finished:
    """One command as somebody who is not root."""
    line = [sys.executable, str(ROOT / name), *arguments]
    done = subprocess.run(
        line, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, preexec_fn=without_override
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def test_resume_in_a_folder_that_is_read_only(run: Path, process_env: dict[str, str]) -> None:
    ended = command("train.py", "resume=run", "total_env_steps=70", cwd=run.parent, env=process_env)
    assert mistake(ended).startswith(f"resume={run}: cannot be written (Permission denied)")


def test_new_run_in_a_folder_that_is_read_only(tmp_path: Path, process_env: dict[str, str]) -> None:
    (tmp_path / "run").mkdir(mode=0o555)
    ended = command("train.py", *SHORT, "hydra.run.dir=run", cwd=tmp_path, env=process_env)
    line = mistake(ended)
    assert line.startswith(f"hydra.run.dir={tmp_path / 'run'}: cannot be written (Permission denied)")


def test_run_whose_checkpoints_alone_are_read_only_fails_and_says_so(
    run: Path, process_env: dict[str, str]
) -> None:
    run.chmod(0o755)
    ended = command("train.py", "resume=run", "total_env_steps=90", cwd=run.parent, env=process_env)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "training failed: " in ended.err
    assert "Traceback" in (run / "train.log").read_text()
    assert '"status": "failed"' in (run / "summary.json").read_text()


def test_job_of_a_sweep_in_a_folder_that_is_read_only(tmp_path: Path, process_env: dict[str, str]) -> None:
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0").chmod(0o555)
    sweep = ("-m", "seed=0,1", *SHORT, "hydra.sweep.dir=sweep")
    ended = command("train.py", *sweep, cwd=tmp_path, env=process_env)
    assert ended.code == 1  # one job has failed, the other is done
    assert "Traceback" not in ended.err
    assert ended.err.count("cannot be written (Permission denied)") == 1
    assert '"status": "done"' in (tmp_path / "sweep" / "1" / "summary.json").read_text()


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("eval.py", ("run=run", "episodes=1"), "run=run: eval.json cannot be written (Permission denied)"),
        (
            "export.py",
            ("run=run", "format=torch"),
            "out=run/export/policy.pt2: cannot be written: Permission",
        ),
        ("report.py", ("runs=run",), "out=run: cannot be written (Permission denied): name another folder"),
    ],
)
def test_what_only_reads_a_run_says_where_it_cannot_write(
    run: Path, process_env: dict[str, str], name: str, arguments: tuple[str, ...], line: str
) -> None:
    ended = command(name, *arguments, cwd=run.parent, env=process_env)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith(f"error: {line}")
    if name == "eval.py":
        assert "return" in ended.out  # the numbers are there all the same
