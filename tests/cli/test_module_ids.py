"""`env.id=my_package:MyEnv-v0` at the command line: whoever types it allows it, a file does not."""

import json
from pathlib import Path

from tests.cli.conftest import TINY, Command, mistake

ID = "env.id=module_envs:Plain-v0"


def test_a_typed_module_is_imported_and_a_file_s_is_not(
    train: Command, evaluate: Command, tmp_path: Path
) -> None:
    ended = train("env=gym", ID, *TINY)
    assert ended.code == 0, ended.err
    (run,) = (tmp_path / "runs" / "module_envs:Plain-v0").iterdir()
    # The command that is shown works as it is.
    assert f"run={run} 'allowed_prefixes=[module_envs]'" in ended.out
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["env_id"]) == ("done", "module_envs:Plain-v0")
    line = mistake(evaluate(f"run='{run}'"))
    assert line.startswith("env.id=module_envs: only gymnasium, sac_lightning may be imported")
    assert line.endswith("name it: allowed_prefixes=[module_envs]")
    assert evaluate(f"run='{run}'", "episodes=1", "allowed_prefixes=[module_envs]").code == 0


def test_jobs_of_a_sweep_may_name_one_each(train: Command, tmp_path: Path) -> None:
    ended = train("-m", "env=gym", f"{ID},Pendulum-v1", *TINY, f"hydra.sweep.dir={tmp_path}/sweep")
    assert ended.code == 0, ended.err
    found = [json.loads((tmp_path / "sweep" / job / "summary.json").read_text()) for job in ("0", "1")]
    assert [each["env_id"] for each in found] == ["module_envs:Plain-v0", "Pendulum-v1"]


def test_a_config_of_somebody_s_folder_does_not_allow_it(train: Command, tmp_path: Path) -> None:
    (tmp_path / "conf" / "env").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - gym\n  - _self_\nenv:\n  id: module_envs:Plain-v0\n"
    (tmp_path / "conf" / "env" / "theirs.yaml").write_text(text)
    line = mistake(train("--config-dir", f"{tmp_path}/conf", "env=theirs", *TINY, makes_envs=False))
    assert line.startswith("env.id=module_envs: only ") and "env.allowed_prefixes=[module_envs]" in line


def test_render_mode_is_a_key(train: Command, tmp_path: Path) -> None:
    line = mistake(train(*TINY, "env.render_mode=ansi", makes_envs=False))
    assert line.startswith("env.render_mode=ansi: ")
    # Training's and evaluation's envs both need it.
    pictured = ("env=gym", "env.id=module_envs:Pictured-v0", "env.wrappers=[{name:AddRenderObservation}]")
    ended = train(*pictured, *TINY, "env.render_mode=rgb_array")
    assert ended.code == 0, ended.err
    ended = train(*pictured, *TINY)
    assert ended.code == 1
    # The env's own line, then what went wrong: no traceback of the command.
    assert 'raise ValueError("a render_mode is needed")' in ended.err
    line = "error: module_envs:Pictured-v0 could not be made: ValueError: a render_mode is needed"
    assert ended.err.splitlines()[-1] == line
    assert len(ended.err.splitlines()) == 9
    assert "Error executing job" not in ended.err


def test_a_simulator_that_exists_once_is_trained_and_evaluated(
    train: Command, evaluate: Command, tmp_path: Path
) -> None:
    run = f"hydra.run.dir={tmp_path}/run"
    ended = train("env=gym", "env.id=module_envs:Only-v0", *TINY, "eval_episodes=0", run)
    assert ended.code == 0, ended.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["eval_episodes"], summary["best_return_mean"]) == ("done", 0, None)
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    line = (f"run={tmp_path}/run", "allowed_prefixes=[module_envs]", "episodes=2")
    assert evaluate(*line).code == 1  # ten at once
    assert evaluate(*line, "envs=1").code == 0
    assert len(json.loads((tmp_path / "run" / "eval.json").read_text())["returns"]) == 2
    ended = train("env=gym", "env.id=module_envs:Only-v0", *TINY, f"hydra.run.dir={tmp_path}/no")
    assert ended.code == 1
    shown = " ".join(ended.err.split())
    assert "evaluation env 1 of 1: module_envs:Only-v0 could not be made: RuntimeError: the port" in shown
    assert "eval_episodes=0" in shown
