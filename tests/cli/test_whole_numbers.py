"""A float without a fraction, such as 1e5, is a whole number wherever one is asked for; 1.5 never is."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import TINY, Command, mistake

# Arguments with floats, and what config.yaml then holds for the last of them.
FLOATS = {
    "total_env_steps=6e1": 60,
    "steps_per_epoch=3e1": 30,
    "learning_starts=2e1": 20,
    "log_every_n_env_steps=1e1": 10,
    "eval_episodes=1.0": 1,
    "num_envs=2.0": 2,
    "batch_size=1.6e1": 16,
    "actor_delay=2.0": 2,
    "reset_every=3e1": 30,
    "seed=3.0": 3,
    "threads=1.0": 1,
}
# Keys whose object makes the number whole.
PARTS = (
    *("replay.capacity=1e3", "collector.collect_steps=1.0", "collector.iterations_per_batch=2.0"),
    *("env.max_episode_steps=2e1", "env.action={box: 1.0}", "critic.num_critics=3.0"),
    *("actor.hidden_sizes=[1.6e1, 8.0]", "callbacks.plots.every_n_epochs=1e0"),
    *("callbacks.entropy.evaluations=2e1", "target_entropy=schedule", "target_entropy.start=0"),
    *("target_entropy.end=-1", "target_entropy.steps=1e2"),
)


def run_of(cwd: Path) -> Path:
    (run,) = (cwd / "runs" / "Pendulum-v1").iterdir()
    return run


def test_a_run_with_floats_is_the_run_with_whole_numbers(train: Command, tmp_path: Path) -> None:
    ended = train(*TINY, *FLOATS, *PARTS)
    assert ended.code == 0, ended.err
    run = run_of(tmp_path)
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    written = {key: config[key] for key in (argument.partition("=")[0] for argument in FLOATS)}
    assert [repr(value) for value in written.values()] == [repr(value) for value in FLOATS.values()]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["env_steps"], summary["seed"]) == (60, 3)


def test_a_resumed_run_takes_a_float_for_its_end(train: Command, evaluate: Command, tmp_path: Path) -> None:
    assert train(*TINY, "alpha=anneal").code == 0
    run = run_of(tmp_path)
    ended = train(f"resume={run}", "total_env_steps=9e1")
    assert ended.code == 0, ended.err
    assert json.loads((run / "summary.json").read_text())["env_steps"] == 90
    assert train(f"resume={run}", "total_env_steps=9.0e1").out.endswith(
        "has 90 env steps already: give total_env_steps above 90 to continue\n"
    )
    assert evaluate(f"run={run}", "episodes=2e0", "seed=5.0").code == 0
    assert json.loads((run / "eval.json").read_text())["seeds"] == [5, 6]


@pytest.mark.parametrize("shares", ["sweep.at_once=1.0 sweep.threads=1e0"])
def test_a_sweep_takes_them(shares: str, train: Command, tmp_path: Path) -> None:
    ended = train("-m", "seed=1.0,2.0", *TINY, *shares.split())
    assert ended.code == 0, ended.err
    (sweep,) = (tmp_path / "multirun" / "Pendulum-v1").iterdir()
    assert [json.loads((sweep / job / "summary.json").read_text())["seed"] for job in "01"] == [1, 2]


@pytest.mark.parametrize("argument", [*FLOATS, *PARTS[:9], PARTS[-1]])
def test_a_fraction_is_refused(argument: str, train: Command) -> None:
    key = argument.partition("=")[0]
    broken = {"env.action": "{box: 1.5}", "actor.hidden_sizes": "[1.5]"}.get(key, "1.5")
    others = shlex.split("target_entropy=schedule target_entropy.start=0 target_entropy.end=-1")
    line = mistake(train(*TINY, *others, f"{key}={broken}", makes_envs=False))
    assert line.startswith((f"{key}=", f"{key.removeprefix('collector.')}=")), line
