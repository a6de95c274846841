"""A run with a vector env of torch tensors: trained, resumed and evaluated by the commands."""

import json
from pathlib import Path

from .conftest import TINY, Command

ENV = (
    *("env=gym", "env.id=torch_pendulum:TorchPendulum-v0", "env.vectorization=torch", "num_envs=5"),
    "allowed_prefixes=[torch_pendulum]",
)


def test_a_run_is_trained_resumed_and_evaluated(train: Command, evaluate: Command, tmp_path: Path) -> None:
    ended = train(*TINY, *ENV, "hydra.run.dir=run", "normalization/reward=return_variance", "replay.n_step=2")
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["env_steps"], summary["grad_steps"], summary["resume"]) == (60, 40, "exact")
    assert summary["eval_return_mean"] < 0.0
    allowed = ENV[-1]
    ended = train("resume=run", "total_env_steps=90", allowed)
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["env_steps"] == 90
    ended = evaluate("run=run", "episodes=2", allowed)
    assert ended.code == 0, ended.err
