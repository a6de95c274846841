"""A folder holds one run, and one process at a time trains in it."""

from pathlib import Path

import pytest
from tests.cli.conftest import TINY, Command, Finished, mistake, wait_for_update
from tests.cli.sweeps import rows, summary
from tests.forked import fork

from sac_lightning.core.locking import FolderLock

CARTPOLE = (*TINY, "env=cartpole", "callbacks.plots=null")


def files(folder: Path) -> dict[str, bytes]:
    """Everything below `folder` but for the lock, which has no content."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def ended(train: Command, tmp_path: Path) -> Path:
    """A run that has ended."""
    done = train(*CARTPOLE, "hydra.run.dir=run")
    assert done.code == 0, done.err
    return tmp_path / "run"


@pytest.mark.parametrize("left", ["everything", "checkpoints", "metrics.csv", "replay", "config.yaml"])
def test_second_run_in_a_folder_is_refused_and_the_first_one_stays(
    train: Command, ended: Path, left: str
) -> None:
    if left != "everything":  # what is left after somebody has tidied up
        for path in [path for path in ended.rglob("*") if path.is_file()]:
            if left not in path.parts:
                path.unlink()
    before = files(ended)
    assert before
    line = mistake(train(*CARTPOLE, "hydra.run.dir=run", "seed=1", makes_envs=False))
    assert line.startswith(f"hydra.run.dir={ended}: contains a run: continue it with resume={ended}, or name")
    assert files(ended) == before


def test_run_and_sweep_do_not_share_a_folder(train: Command, ended: Path, tmp_path: Path) -> None:
    before = files(ended)
    line = mistake(train("-m", "seed=0,1", *CARTPOLE, f"hydra.sweep.dir={ended}", makes_envs=False))
    assert line == f"hydra.sweep.dir={ended}: contains a run: name another folder for a sweep"
    assert files(ended) == before
    assert train("-m", "seed=0,1", *CARTPOLE, "hydra.sweep.dir=sweep").code == 0
    before = files(tmp_path / "sweep")
    line = mistake(train(*CARTPOLE, "hydra.run.dir=sweep", makes_envs=False))
    assert line == f"hydra.run.dir={tmp_path / 'sweep'}: contains a sweep: name another folder"
    assert files(tmp_path / "sweep") == before


def test_folder_with_files_of_other_kinds_may_be_a_run_s(train: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("alpha looks too large")
    assert train(*CARTPOLE, "hydra.run.dir=run").code == 0
    assert (tmp_path / "run" / "notes.txt").exists()


def test_mistake_leaves_no_folder_with_a_lock(train: Command, tmp_path: Path) -> None:
    mistake(train(*CARTPOLE, "gamma=2", "hydra.run.dir=here/run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("resume=run",), ("resume=run/checkpoints/best.ckpt",)])
def test_run_that_is_held_is_not_resumed(train: Command, ended: Path, arguments: tuple[str, ...]) -> None:
    before = files(ended)
    lock = FolderLock(ended)
    lock.acquire()
    line = mistake(train(*arguments, "total_env_steps=90", makes_envs=False))
    lock.release()
    assert line.startswith(f"resume={ended}: is in use by another process")
    assert files(ended) == before
    assert train(*arguments, "total_env_steps=90").code == 0


def test_two_processes_resume_one_folder_and_one_of_them_runs(
    ended: Path, process_env: dict[str, str]
) -> None:
    env = {**process_env, "OMP_NUM_THREADS": "1"}
    more = (f"resume={ended}", "total_env_steps=600")
    both = [fork("train.py", *more, cwd=ended.parent, env=env) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    finished = [Finished(p.returncode, *texts) for p, texts in zip(both, outputs, strict=True)]
    codes = sorted(each.code for each in finished)
    if codes == [0, 0]:  # one had ended before the other began
        assert any("has 600 env steps already" in each.out for each in finished)
    else:
        assert codes == [0, 2]
        assert "is in use by another process" in mistake(max(finished, key=lambda each: each.code))
    steps = [int(row["env_steps"]) for row in rows(ended)]
    assert steps == sorted(set(steps))
    assert summary(ended)["env_steps"] == 600


def test_run_that_was_killed_is_resumed_at_once_though_its_env_workers_live_on(
    tmp_path: Path, train: Command, process_env: dict[str, str]
) -> None:
    endless = [each for each in CARTPOLE if not each.startswith("total_env_steps")]
    many = ("total_env_steps=1000000", "replay.capacity=1000", "num_envs=2", "env.vectorization=async")
    process = fork("train.py", *endless, *many, "hydra.run.dir=run", cwd=tmp_path, env=process_env)
    try:
        wait_for_update(process, tmp_path)
        line = mistake(train("resume=run", "total_env_steps=1000001", makes_envs=False))
        assert "is in use by another process" in line
    finally:
        process.kill()
        process.communicate()
    refused = train("resume=run", "total_env_steps=1")
    assert "is in use" not in refused.err
