"""`python eval.py run=RUN_DIR`: numbers and a film of a run's checkpoint, and mistakes in one line."""

import csv
import json
import pickle
import shutil
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import imageio.v2 as imageio
import numpy as np
import pytest
from tests.cli.conftest import TINY, Command, everything, mistake, start

from sac_lightning.core.errors import install


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to spoil."""
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy, ignore=shutil.ignore_patterns("wandb", "replay"))
    return copy


def test_evaluation_tells_and_writes_its_numbers(run: Path, evaluate: Command, tmp_path: Path) -> None:
    before = everything(tmp_path)
    ended = evaluate(f"run={run}", "episodes=3")
    assert ended.code == 0, ended.err
    assert everything(tmp_path) - before == {"run/eval.json"}
    result = json.loads((run / "eval.json").read_text())
    returns = np.array(result["returns"])
    assert (result["episodes"], len(returns), result["lengths"]) == (3, 3, [200, 200, 200])
    assert result["seeds"] == [1000000, 1000001, 1000002]
    assert result["return_mean"] == pytest.approx(returns.mean())
    assert result["return_std"] == pytest.approx(returns.std())
    assert (result["return_min"], result["return_median"], result["return_max"]) == tuple(sorted(returns))
    assert f"{returns.mean():.2f} ± {returns.std():.2f}" in ended.out
    assert result["checkpoint"].endswith("best.ckpt")


def test_same_seed_gives_the_same_returns_also_for_samples(run: Path, evaluate: Command) -> None:
    both = []
    for _ in range(2):
        assert evaluate(f"run={run}", "episodes=1", "deterministic=false", "seed=7").code == 0
        both.append(json.loads((run / "eval.json").read_text())["returns"])
    assert both[0] == both[1]


def test_returns_are_those_of_the_env_whatever_wraps_its_reward(
    train: Command, evaluate: Command, tmp_path: Path
) -> None:
    # Each of 20 steps costs up to 16; the agent is never shown a reward below -0.01.
    wrapper = "env.wrappers=[{name:ClipReward,min_reward:-0.01,max_reward:0}]"
    line = (*TINY, wrapper, "env.max_episode_steps=20", f"hydra.run.dir={tmp_path}/run")
    assert train(*line).code == 0
    assert evaluate(f"run={tmp_path}/run", "episodes=2").code == 0
    shown = json.loads((tmp_path / "run" / "eval.json").read_text())["return_mean"]
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ("rollout/return_mean", "eval/return_mean")
    values = [float(row[key]) for row in rows for key in columns if row[key]]
    assert len(values) >= 3
    assert max(shown, *values) < -1.0


def test_film_shows_every_state_of_the_first_episode(run: Path, evaluate: Command, tmp_path: Path) -> None:
    config = (run / "config.yaml").read_text().replace("max_episode_steps: null", "max_episode_steps: 10")
    (run / "config.yaml").write_text(config)
    ended = evaluate(f"run={run}", "episodes=1", "video=true")
    assert ended.code == 0, ended.err
    assert [path.name for path in (run / "videos").iterdir()] == ["eval.mp4"]
    with imageio.get_reader(run / "videos" / "eval.mp4") as film:
        assert film.count_frames() == 11  # the first state and ten more


@pytest.mark.parametrize("package", ["imageio", "imageio_ffmpeg"])
def test_film_without_its_package_is_a_mistake_before_evaluating(
    package: str, run: Path, evaluate: Command
) -> None:
    line = mistake(evaluate(f"run={run}", "video=true", hides=[package]))
    assert line == f"video=true: needs {package}, which is not installed: {install('video')}"
    assert not (run / "eval.json").exists()


def test_run_without_a_best_checkpoint_has_its_last(run: Path, evaluate: Command) -> None:
    (run / "checkpoints" / "best.ckpt").unlink()
    assert evaluate(f"run={run}", "episodes=1").code == 0
    assert json.loads((run / "eval.json").read_text())["checkpoint"].endswith("last.ckpt")


@pytest.mark.parametrize(
    ("argument", "begins"),
    {
        "episodes=0": "episodes=0: must be a whole number of at least 1",
        "episodes=abc": "episodes=abc: must be a whole number of at least 1",
        "envs=0": "envs=0: must be a whole number of at least 1",
        "max_steps=0": "max_steps=0: must be a whole number of at least 1, or null: no limit",
        "seed=-1": "seed=-1: must be a whole number of at least 0",
        "video=maybe": "video=maybe: must be true or false",
        "deterministic=5": "deterministic=5: must be true or false",
        "device=tpu": "device=tpu: must be auto, cpu, cuda or cuda:N",
        "allowed_prefixes=os": "allowed_prefixes=os: must be a list of packages",
        "checkpoint=none.ckpt": "checkpoint=none.ckpt: there is no none.ckpt",
        # train.py has this key, eval.py has another name for it.
        "eval_envs=3": "Could not override 'eval_envs'. To append to your config use +eval_envs=3. "
        "Did you mean envs?",
        "-m": "-m: evaluates one run at a time",
    }.items(),
)
def test_mistake_is_told_in_one_line(
    argument: str, begins: str, run: Path, evaluate: Command, tmp_path: Path
) -> None:
    before = everything(tmp_path)
    assert mistake(evaluate(f"run={run}", argument)).startswith(begins)
    assert everything(tmp_path) == before


def test_folder_that_is_no_run_is_told_what_it_lacks(evaluate: Command, tmp_path: Path) -> None:
    assert mistake(evaluate()) == "run=???: must be given"
    unknown = mistake(evaluate("run=nowhere", "env.id=Pendulum-v1"))
    assert unknown.startswith("Could not override 'env.id'")
    assert "is a key of" not in unknown  # the groups of train.py are none here
    assert mistake(evaluate("run=nowhere")) == "run=nowhere: is no run: there is no such folder"
    (tmp_path / "empty").mkdir()
    assert mistake(evaluate("run=empty")) == "run=empty: is no run: it has no config.yaml"
    (tmp_path / "empty" / "config.yaml").write_text("seed: 0")
    assert mistake(evaluate("run=empty")) == "run=empty: is no run: its config.yaml names no env.id"
    (tmp_path / "empty" / "config.yaml").write_text("env: {id: Pendulum-v1}")
    assert "there is no empty/checkpoints/best.ckpt and no empty" in mistake(evaluate("run=empty"))


def test_damaged_checkpoint_is_a_mistake(run: Path, evaluate: Command) -> None:
    file = run / "checkpoints" / "best.ckpt"
    file.write_bytes(file.read_bytes()[:-2000])
    line = mistake(evaluate(f"run={run}"))
    assert line.startswith(f"checkpoint=best ({file}): is damaged, or holds more than data")


class Program:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('executed', 'w').close()",)


def test_checkpoint_that_holds_a_program_is_refused_and_not_run(
    run: Path, evaluate: Command, tmp_path: Path
) -> None:
    (run / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Program(), protocol=2))
    assert "holds more than data" in mistake(evaluate(f"run={run}"))
    assert not (tmp_path / "executed").exists()


def test_run_cannot_allow_itself_an_import(run: Path, evaluate: Command) -> None:
    config = (run / "config.yaml").read_text()
    spoiled = config.replace("imports: []", "imports: [faulty_envs]", 1)
    spoiled = spoiled.replace("  allowed_prefixes: []", "  allowed_prefixes: [faulty_envs]", 1)
    assert spoiled.count("faulty_envs") == 2
    (run / "config.yaml").write_text(spoiled.replace("sac_lightning.envs.EnvConfig", "os.system"))
    line = mistake(evaluate(f"run={run}"))
    assert line.startswith("env.imports=faulty_envs: only gymnasium, sac_lightning may be imported")
    assert line.endswith("name it: allowed_prefixes=[faulty_envs]")
    assert evaluate(f"run={run}", "episodes=1", "allowed_prefixes=[faulty_envs]").code == 0


def test_checkpoint_of_another_env_is_a_mistake(run: Path, evaluate: Command) -> None:
    (run / "config.yaml").write_text("env: {id: CartPole-v1}")
    line = mistake(evaluate(f"run={run}"))
    assert (
        "was trained on obs (3,) and a Box of 1 (bounded); CartPole-v1 has obs (4,) and Discrete(2)" in line
    )


@pytest.fixture
def endless_run(run: Path, train: Command) -> Path:
    """A run on cells without a time limit, whose policy walks against a wall."""
    options = ("env=gym", "env.id=CliffWalking-v1", "eval_max_steps=12", "logger=csv", "callbacks.plots=null")
    ended = train("debug=fast", "threads=1", "hydra.run.dir=endless", *options)
    assert ended.code == 0, ended.err
    return run.parent / "endless"


def test_an_episode_that_its_env_does_not_end_is_limited(endless_run: Path, evaluate: Command) -> None:
    assert evaluate(f"run={endless_run}", "episodes=2").code == 0  # as the run was evaluated
    assert json.loads((endless_run / "eval.json").read_text())["lengths"] == [12, 12]
    ended = evaluate(f"run={endless_run}", "episodes=2", "max_steps=5", "video=true")
    assert ended.code == 0, ended.err
    result = json.loads((endless_run / "eval.json").read_text())
    assert (result["lengths"], result["max_steps"]) == ([5, 5], 5)
    with imageio.get_reader(endless_run / "videos" / "eval.mp4") as film:
        assert film.count_frames() == 6
    assert "time limit" not in ended.err


@pytest.mark.parametrize("video", ["false", "true"])
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_an_evaluation_without_end_warns_and_hears_a_signal(
    endless_run: Path, process_env: dict[str, str], number: int, video: str
) -> None:
    config = endless_run / "config.yaml"
    config.write_text(config.read_text().replace("eval_max_steps: 12", "eval_max_steps: null"))
    options = (f"run={endless_run}", "episodes=2", f"video={video}")
    process = start("eval.py", *options, cwd=endless_run.parent, env=process_env)
    try:
        assert process.stderr is not None
        warning = next(line for line in process.stderr if line.startswith("warning: "))
        assert warning.startswith("warning: CliffWalking-v1 has no time limit: ")
        assert warning.endswith("max_steps=1000\n")
        time.sleep(1.0)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    assert not (endless_run / "eval.json").exists()
    assert not (endless_run / "videos").exists()


def test_both_seeds_of_the_command_mean_starts_of_the_run(run: Path, evaluate: Command) -> None:
    """The first episodes of the command are those by which the run was judged."""
    assert evaluate(f"run={run}", "episodes=2", "checkpoint=last").code == 0
    result = json.loads((run / "eval.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    assert summary["eval_episodes"] == 2
    assert result["return_mean"] == pytest.approx(summary["eval_return_mean"], abs=1e-3)
