"""A run that fails or is stopped leaves a whole run directory that says so."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import TINY, Command, wait_for_update
from tests.forked import Forked, fork

FAULTY = ("env=gym", "env.id=Faulty-v0", "env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]")
SAID = {
    "raise": "Faulty-v0 raised KeyError in step: 'wheel', at env step 45",
    "reward": "Faulty-v0: the reward of env 0 is nan, at env step 45",
}


def wandb_exit_code(run: Path) -> int:
    """The exit code that W&B's offline record ends with, read without a network."""
    (record,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    line = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(record)]
    seen = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout
    entries = [json.loads(entry) for entry in seen.splitlines()]
    (end,) = [entry["exit"] for entry in entries if entry["type"] == "exit"]
    return int(end.get("exit_code", 0))


@pytest.mark.parametrize("fault", SAID)
def test_env_that_fails_ends_the_run_with_1_and_a_kept_checkpoint(
    fault: str, train: Command, tmp_path: Path
) -> None:
    logger = "logger=wandb" if fault == "raise" else "logger=csv"
    faults = (f"+env.kwargs.fault={fault}", "+env.kwargs.at=45", "steps_per_epoch=20")
    ended = train(*TINY, *FAULTY, *faults, logger)
    assert ended.code == 1
    assert SAID[fault] in " ".join(ended.err.split())
    (run,) = (tmp_path / "runs" / "Faulty-v0").iterdir()
    assert f"the whole traceback is in {run / 'train.log'}\n" in ended.err
    assert f"python train.py resume={run} 'allowed_prefixes=[faulty_envs]'\n" in ended.out
    log = (run / "train.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert SAID[fault] in log
    assert json.loads((run / "summary.json").read_text())["status"] == "failed"
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert int(content["state_dict"]["sac.env_steps"]) == 40  # the last epoch that ended
    assert (run / "plots" / "learning_curve.png").is_file()
    if fault == "raise":
        assert wandb_exit_code(run) == 1


# arguments: the exit status, and Lightning's sentence.
REFUSED = {
    "logger=none +callbacks.rate={_target_:pytorch_lightning.callbacks.LearningRateMonitor}": (
        2,
        "Cannot use `LearningRateMonitor` callback with `Trainer` that has no logger.",
    ),
    "callbacks=early_stopping callbacks.early_stopping.stopping_threshold=1 "
    "callbacks.early_stopping.monitor=eval/retrun_mean": (
        1,
        "Early stopping conditioned on metric `eval/retrun_mean` which is not available.",
    ),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_option_that_lightning_refuses_ends_the_run_with_its_sentence_alone(
    arguments: str, train: Command, tmp_path: Path
) -> None:
    code, sentence = REFUSED[arguments]
    ended = train(*TINY, *arguments.split(" "))
    assert ended.code == code  # 2 only before the first env step
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert "File " not in ended.err
    (run,) = (tmp_path / "runs" / "Pendulum-v1").iterdir()
    assert "Traceback (most recent call last)" in (run / "train.log").read_text()
    assert json.loads((run / "summary.json").read_text())["exit_status"] == code


@pytest.fixture(scope="module")
def long_runs(
    tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str]
) -> Iterator[dict[signal.Signals, tuple[Path, Forked]]]:
    """Two processes in the middle of a long run, one for each signal."""
    running = {}
    for each in (signal.SIGINT, signal.SIGTERM):
        cwd = tmp_path_factory.mktemp(each.name)
        tiny = [argument for argument in TINY if not argument.startswith(("total", "steps_per"))]
        endless = ("total_env_steps=1000000", "steps_per_epoch=1000000", "replay.capacity=1000")
        running[each] = cwd, fork("train.py", *tiny, *endless, cwd=cwd, env=process_env)
    yield running
    for _, process in running.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_with_130_after_a_whole_checkpoint(
    number: signal.Signals, long_runs: dict[signal.Signals, tuple[Path, Forked]]
) -> None:
    cwd, process = long_runs[number]
    wait_for_update(process, cwd)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (run,) = (cwd / "runs" / "Pendulum-v1").iterdir()
    seen = json.loads((run / "summary.json").read_text())
    assert seen["status"] == "interrupted"
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert int(content["state_dict"]["sac.env_steps"]) == seen["env_steps"] > 20
