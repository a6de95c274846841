"""A learner that is no longer finite ends its run as failed, and no checkpoint ever holds it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import TINY, Command, Finished, mistake
from tests.forked import fork

from sac_lightning.core.hardware import has_compiler

SPIKY = ("env=gym", "env.id=Spiky-v0", "env.imports=[spiky_envs]", "env.allowed_prefixes=[spiky_envs]")


def kwargs(**arguments: Any) -> list[str]:
    return [f"+env.kwargs.{key}={value}" for key, value in arguments.items()]


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for each in values for tensor in tensors(each)]


def failed(ended: Any, cwd: Path) -> tuple[str, Path]:
    """The error of the one run below `cwd`, which has failed and left finite checkpoints."""
    assert ended.code == 1, ended.err
    (run,) = (cwd / "runs" / "Spiky-v0").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "Traceback (most recent call last)" in (run / "train.log").read_text()
    checkpoints = list((run / "checkpoints").glob("*.ckpt"))
    assert checkpoints
    for path in checkpoints:
        content = torch.load(path, weights_only=True)
        kept = [content["state_dict"], content["optimizer_states"], content["sac_lightning"]["window"]]
        assert all(each.isfinite().all() for each in tensors(kept))
    return str(summary["error"]), run


@pytest.mark.parametrize(
    ("spike", "what"),
    [
        ({"obs": 3.4e38}, "EnvError: Spiky-v0: the observation[2] of env 0 is 3.4e+38"),
        ({"obs": 1e300, "dtype": "float64"}, "EnvError: Spiky-v0: the observation[2] of env 0 is 1e+300"),
        ({"reward": 1e39}, "EnvError: Spiky-v0: the reward of env 0 is 1e+39"),
        ({"reward": 1e36}, "EnvError: Spiky-v0: the reward of env 0 is 1e+36"),
    ],
)
def test_a_number_that_float32_cannot_use_ends_the_run_at_its_env_step(
    spike: dict[str, Any], what: str, train: Command, tmp_path: Path
) -> None:
    error, _ = failed(train(*TINY, *SPIKY, *kwargs(at=12, **spike)), tmp_path)
    assert error.startswith(what)
    assert error.endswith("at env step 12")


@pytest.mark.parametrize(
    ("spike", "what"),
    [
        # The square of 1e19 is finite in float32, the sum of these squares over a mini-batch is not.
        ({"reward": 1e19}, "train/critic_loss is inf, at update 1 "),
        # All metrics are finite and the critic stands still: the squares of its gradients are infinite.
        ({"obs": 1.7e19}, "exp_avg_sq of the critic optimizer is not finite, at update 10 "),
    ],
)
def test_an_update_that_is_not_finite_ends_the_run_and_is_named(
    spike: dict[str, float], what: str, train: Command, tmp_path: Path
) -> None:
    error, _ = failed(train(*TINY, *SPIKY, *kwargs(**spike)), tmp_path)
    assert error.startswith(f"NotFiniteError: {what}(by env step ")
    assert error.endswith("or clip the gradients (max_grad_norm)")


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
@pytest.mark.parametrize(
    ("spike", "what"),
    [
        ({"reward": 1e19}, "train/critic_loss is inf, at update 1 "),
        ({"obs": 1.7e19}, "exp_avg_sq of the critic optimizer is not finite, at update 10 "),
    ],
)
def test_a_compiled_update_that_is_not_finite_ends_the_run_and_is_named(
    spike: dict[str, float], what: str, tmp_path: Path, process_env: dict[str, str]
) -> None:
    process = fork("train.py", *TINY, *SPIKY, *kwargs(**spike), "compile=true", cwd=tmp_path, env=process_env)
    out, err = process.communicate(timeout=300)
    error, _ = failed(Finished(process.returncode, out, err), tmp_path)
    assert error.startswith(f"NotFiniteError: {what}(by env step ")
    assert "could not compile" not in err


def test_a_run_whose_env_was_mended_is_resumed_from_its_last_whole_checkpoint(
    train: Command, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    spike = kwargs(obs=3.4e38, at=45, mended=mended)
    _, run = failed(train(*TINY, *SPIKY, *spike), tmp_path)
    mended.touch()
    ended = train(f"resume={run}", "env.allowed_prefixes=[spiky_envs]")
    assert ended.code == 0, ended.err
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"], summary["grad_steps"]) == ("done", 60, 40)


@pytest.mark.parametrize(
    ("command", "value"),
    [(("evaluate",), "nan"), (("evaluate",), "inf"), (("export", "format=torch"), "nan")],
)
def test_weights_that_are_not_finite_are_neither_evaluated_nor_exported(
    command: tuple[str, ...], value: str, finished_run: Path, tmp_path: Path, server: Any
) -> None:
    checkpoint = tmp_path / "spoilt.ckpt"
    content = torch.load(finished_run / "checkpoints" / "last.ckpt", weights_only=True)
    name = next(name for name in content["state_dict"] if name.startswith("sac.actor."))
    content["state_dict"][name].view(-1)[0] = float(value)
    torch.save(content, checkpoint)
    line = mistake(
        server.call(command[0], tmp_path, (*command[1:], f"run={finished_run}", f"checkpoint={checkpoint}"))
    )
    assert line.startswith(f"checkpoint={checkpoint}: the weights {name.removeprefix('sac.')} are not finite")


@pytest.mark.parametrize(
    ("spike", "what"),
    [
        ({"obs": 3.4e38}, "the observation[2] is 3.4e+38 "),
        ({"obs": 1e300, "dtype": "float64"}, "the observation[2] is 1e+300 "),
        ({"reward": 1e39}, "the reward is 1e+39 "),
    ],
)
def test_an_evaluation_of_an_env_that_float32_cannot_use_is_one_line(
    spike: dict[str, Any], what: str, train: Command, server: Any, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    mended.touch()
    ended = train(*TINY, *SPIKY, *kwargs(**spike, mended=mended))
    assert ended.code == 0, ended.err
    (run,) = (tmp_path / "runs" / "Spiky-v0").iterdir()
    mended.unlink()
    ended = server.call("evaluate", tmp_path, (f"run={run}", "allowed_prefixes=[spiky_envs]", "episodes=1"))
    assert ended.code == 1, ended.err
    (line,) = [each for each in ended.err.splitlines() if not each.startswith("warning: ")]
    assert line.startswith(f"error: Spiky-v0: {what}")
    assert line.endswith("at step 1 of its episode")
    assert not (run / "eval.json").exists()
