"""A sweep that was killed goes on: what is done stays, what is half-done resumes, what is missing runs."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.conftest import TINY, Command, Finished, Server, mistake
from tests.cli.sweeps import assert_same_result, summary
from tests.forked import Forked, fork

from sac_lightning.cli.rundir import RunDirectory

LONGER = [each for each in TINY if not each.startswith("total_env_steps")]
SWEEP = ("-m", "seed=0,1,2", "env=cartpole", "callbacks.plots=null", *LONGER, "total_env_steps=300")


class Killed(NamedTuple):
    """A sweep that was killed in its second job and started again."""

    folder: Path
    before: dict[str, bytes]  # the files of its first job when it was killed
    again: Finished


def files(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def wait_for_one(pattern: str, cwd: Path, process: Forked) -> Path:
    ends = time.monotonic() + 90.0
    while not (found := list(cwd.glob(pattern))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends, pattern
        time.sleep(0.01)
    return found[0]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str], server: Server) -> Killed:
    """That sweep; the second start only says that it goes on."""
    cwd = tmp_path_factory.mktemp("killed")
    process = fork("train.py", *SWEEP, cwd=cwd, env=process_env)
    try:
        best = wait_for_one("multirun/CartPole-v1/*/1/checkpoints/best.ckpt", cwd, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    folder = best.parents[2]
    assert not (folder / "1" / "summary.json").exists()
    assert not (folder / "2").exists()
    before = files(folder / "0")
    return Killed(folder, before, server.call("train", cwd, (*SWEEP, "sweep.resume=true")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """The same sweep, never stopped."""
    cwd = tmp_path_factory.mktemp("whole")
    ended = server.call("train", cwd, (*SWEEP, "hydra.sweep.dir=sweep"))
    assert ended.code == 0, ended.err
    return cwd / "sweep"


def test_only_what_is_missing_runs_again(killed: Killed) -> None:
    assert killed.again.code == 0, killed.again.err
    assert [path.name for path in killed.folder.parent.iterdir()] == [killed.folder.name]
    assert files(killed.folder / "0") == killed.before
    logs = [(killed.folder / job / "train.log").read_text() for job in ("1", "2")]
    assert ["resuming at" in log for log in logs] == [True, False]
    assert f"{killed.folder / '0'} is done already" in killed.again.out


@pytest.mark.parametrize("job", ["0", "1", "2"])
def test_result_is_that_of_a_sweep_that_was_never_stopped(job: str, killed: Killed, whole: Path) -> None:
    assert summary(killed.folder / job)["status"] == "done"
    assert_same_result(killed.folder / job, whole / job)


def test_report_is_that_of_a_sweep_that_was_never_stopped(
    killed: Killed, whole: Path, tmp_path: Path, server: Server
) -> None:
    for name, folder in (("killed", killed.folder), ("whole", whole)):
        ended = server.call("report", tmp_path, (f"runs='{folder}'", f"out={name}"))
        assert ended.code == 0, ended.err
    table, other = ((tmp_path / name / "report" / "groups.csv").read_text() for name in ("killed", "whole"))
    assert table == other
    assert table.count("\n") == 2  # the head, and three seeds of one group


def test_sweep_grows_at_its_end_and_nowhere_else(server: Server, whole: Path) -> None:
    more = ("sweep.resume=true", "hydra.sweep.dir=sweep", "total_env_steps=300")
    rest = ("env=cartpole", "callbacks.plots=null", *LONGER)
    before = files(whole / "0")
    line = mistake(server.call("train", whole.parent, ("-m", "seed=0,2,1", *rest, *more)))
    assert line.startswith(f"hydra.sweep.dir={whole}: contains another sweep: its jobs are ")
    line = mistake(server.call("train", whole.parent, (*SWEEP, "hydra.sweep.dir=sweep")))
    assert line.endswith("contains a sweep: continue it with sweep.resume=true, or name another folder")
    ended = server.call("train", whole.parent, ("-m", "seed=0,1,2,3", *rest, *more))
    assert ended.code == 0, ended.err
    assert summary(whole / "3")["seed"] == 3
    assert files(whole / "0") == before
    assert len(json.loads((whole / "sweep.json").read_text())["jobs"]) == 4


def test_job_with_other_values_is_refused_and_its_run_left_alone(server: Server, whole: Path) -> None:
    # The arguments are the same, but a config that they name has changed: here, the key of one.
    config = whole / "1" / "config.yaml"
    config.write_text(config.read_text().replace("gamma: 0.99", "gamma: 0.9"))
    before = files(whole / "1")
    again = ("sweep.resume=true", "hydra.sweep.dir=sweep")
    ended = server.call("train", whole.parent, (*SWEEP[:1], "seed=0,1,2,3", *SWEEP[2:], *again))
    assert ended.code == 2
    assert f"gamma=0.99: is 0.9 in the run that {whole / '1'} already contains" in ended.err
    assert files(whole / "1") == before


def test_folder_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    entered = threading.Event()

    def hold() -> None:
        with RunDirectory(tmp_path).locked(wait=True):
            entered.set()

    with RunDirectory(tmp_path).locked(wait=True):
        waiting = threading.Thread(target=hold)
        waiting.start()
        assert not entered.wait(0.2)
    waiting.join(10.0)
    assert entered.is_set()


def test_interrupted_sweep_ends_with_130_and_begins_no_further_job(
    tmp_path: Path, process_env: dict[str, str]
) -> None:
    endless = [each.replace("total_env_steps=300", "total_env_steps=1000000") for each in SWEEP]
    process = fork("train.py", *endless, "hydra.sweep.dir=sweep", cwd=tmp_path, env=process_env)
    wait_for_one("sweep/0/checkpoints/best.ckpt", tmp_path, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert summary(tmp_path / "sweep" / "0")["status"] == "interrupted"
    assert not (tmp_path / "sweep" / "1").exists()
    assert [" missing " in line for line in out.splitlines() if line.startswith("│ 1")] == [True]


def test_several_mistakes_of_one_sweep_are_told_job_by_job(train: Command, tmp_path: Path) -> None:
    ended = train("-m", "gamma=1.5,0.9", *TINY, "hydra.sweep.dir=sweep")
    assert ended.code == 2
    again = train("-m", "gamma=1.5,0.9", *TINY, "hydra.sweep.dir=sweep", "sweep.resume=true")
    assert again.code == 2
    assert again.err.count("error: gamma=1.5: must be a number in [0, 1)") == 1
    assert "1 is done already" in again.out
