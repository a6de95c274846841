"""`train.py devices=2`: two real processes that train together, are killed, stopped and resumed."""

import json
import shutil
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
import torch
from tests.forked import Forked, fork

from built import same
from cli.conftest import Command, mistake

TWO = (
    *("debug=fast", "devices=2", "num_envs=2", "threads=1", "device=cpu", "logger=csv", "eval_episodes=3"),
    *("learning_starts=20", "steps_per_epoch=20", "log_every_n_env_steps=10", "eval_max_steps=10"),
    *("batch_size=16", "replay.capacity=100", "callbacks.plots=null", "collector.iterations_per_batch=1"),
)


def ranks(*arguments: str, cwd: Path, env: dict[str, str]) -> list[Forked]:
    """Both ranks, started by another program than train.py: their imports take no time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [
        fork("train.py", *arguments, cwd=cwd, env={**env, **shared, "LOCAL_RANK": str(i)}) for i in (0, 1)
    ]


def to_the_end(*arguments: str, cwd: Path, env: dict[str, str]) -> None:
    """Both ranks, until they have ended well."""
    for each in ranks(*arguments, cwd=cwd, env=env):
        _, err = each.communicate(timeout=120)
        assert each.returncode == 0, err


def wait_for_checkpoint(run: Path, process: Forked) -> None:
    """Return as soon as an epoch of this process has been saved."""
    saved, ends = metrics(run), time.monotonic() + 120
    while metrics(run) < saved + 3:  # an epoch has two rows
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.02)


def metrics(run: Path) -> int:
    """The rows of the log so far."""
    file = run / "metrics.csv"
    return file.read_text().count("\n") if file.exists() else 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str]) -> Path:
    """A run that was never stopped."""
    cwd = tmp_path_factory.mktemp("whole")
    to_the_end(*TWO, "total_env_steps=160", f"hydra.run.dir={cwd / 'run'}", cwd=cwd, env=process_env)
    return cwd / "run"


def test_only_rank_0_writes_what_people_read(whole: Path) -> None:
    rows = (whole / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(step) for step in range(10, 170, 10)]
    assert json.loads((whole / "summary.json").read_text())["env_steps"] == 160
    assert {path.name for path in whole.iterdir()} == {
        *("config.yaml", "metrics.csv", "summary.json", "train.log", "train.rank1.log"),
        *("checkpoints", "replay", ".lock"),
    }


def test_a_killed_rank_ends_the_other_and_a_signal_both_and_the_run_resumes_bit_for_bit(
    whole: Path, tmp_path: Path, process_env: dict[str, str]
) -> None:
    run, more = tmp_path / "run", "total_env_steps=100000"
    first = fork("train.py", *TWO, more, f"hydra.run.dir={run}", cwd=tmp_path, env=process_env)
    wait_for_checkpoint(run, first)
    (second,) = psutil.Process(first.pid).children()
    first.kill()
    psutil.wait_procs([second], timeout=30)
    assert not second.is_running() or second.status() == psutil.STATUS_ZOMBIE

    both = ranks(f"resume={run}", more, cwd=tmp_path, env=process_env)
    wait_for_checkpoint(run, both[0])
    both[1].kill()
    assert both[0].wait(timeout=30) == 1
    error = json.loads((run / "summary.json").read_text())["error"]
    assert error == "RankLost: rank 0 has lost another rank, whose log may say why it has ended"

    both = ranks(f"resume={run}", more, cwd=tmp_path, env=process_env)
    wait_for_checkpoint(run, both[0])
    both[0].send_signal(signal.SIGTERM)  # to one alone
    assert [each.wait(timeout=60) for each in both] == [130, 0], [each.communicate() for each in both]

    to_the_end(f"resume={run}", "total_env_steps=160", cwd=tmp_path, env=process_env)
    one, other = (torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (run, whole))
    for key in ("state_dict", "optimizer_states", "ReplayDataModule"):
        assert same(one[key], other[key]), key


def test_another_number_of_devices_and_a_sweep_are_refused(whole: Path, train: Command) -> None:
    refused = mistake(train(f"resume={whole}", "devices=4", "total_env_steps=200"))
    assert refused.startswith("devices=4: is 2 in the run that is resumed")
    assert mistake(train("-m", *TWO, "seed=0")) == "devices=2: must be 1 in a sweep (-m)"


def test_damage_to_the_replay_of_another_rank_is_reported(
    whole: Path, tmp_path: Path, train: Command
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    *_, newest = sorted((run / "replay" / "rank1").glob("segment-*"))
    newest.unlink()
    reported = mistake(train(f"resume={run}", "total_env_steps=200"))
    assert reported.startswith(f"{newest}: is missing, and the checkpoint needs it")
