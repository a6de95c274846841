"""What `resume=RUN_DIR` continues, what it allows to change, and what it says."""

import csv
import shutil
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from commands import TINY, Server, error_line, everything, start, summary
from runs import metric_rows

from sac_lightning.core.checkpoint import read_checkpoint

STOP = "+callbacks.stop={_target_: stop_at.Stop, env_steps: 100}"
ALLOWED = "allowed_prefixes=[stop_at]"  # what a run folder names is allowed on each command line
STOPPED = (*TINY, "env=cartpole", ALLOWED, STOP)


def steps(run: Path) -> list[int]:
    return [int(row["env_steps"]) for row in metric_rows(run)]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("gamma=0.5", "gamma=0.5: is 0.99 in the run that is resumed; "),
        ("seed=1", "seed=1: is 4 in the run that is resumed; "),
        ("actor.lr=0.1", "actor.lr=0.1: is 0.001 in the run that is resumed; "),
        ("env.id=Acrobot-v1", "env.id=Acrobot-v1: is CartPole-v1 in the run that is resumed; "),
        ("env=acrobot", "env=acrobot: is {"),
        ("debug=fast", "debug=fast: cannot be compared with the run that is resumed; "),
    ],
)
def test_what_would_change_the_past_is_refused_with_the_difference(
    run: Path, server: Server, override: str, line: str
) -> None:
    before = everything(run)
    found = error_line(server.train(f"resume={run}", "total_env_steps=200", override, cwd=run.parent))
    assert found.startswith(line)
    assert found.endswith(
        "only total_env_steps, eval_max_steps, device, logger, callbacks, trainer, print_config may change"
    )
    assert everything(run) == before


def test_what_cannot_change_the_past_may_change(run: Path, server: Server) -> None:
    same = ("gamma=0.99", "seed=4", "env=cartpole", "num_envs=1")
    watched = ("total_env_steps=200", "callbacks.progress=null", "trainer.max_time=00:01:00:00", "logger=csv")
    ended = server.train(f"resume={run}", *same, *watched, cwd=run.parent)
    assert ended.code == 0, ended.err
    assert "is not empty" not in ended.err  # Lightning's warning of the run's own checkpoints
    assert summary(run)["env_steps"] == 200


def test_a_longer_run_goes_on_after_its_end_and_appends_its_rows(run: Path, server: Server) -> None:
    before = (run / "metrics.csv").read_text().splitlines()
    assert server.train(f"resume={run}", "total_env_steps=240", cwd=run.parent).code == 0
    after = (run / "metrics.csv").read_text().splitlines()
    assert after[: len(before)] == before
    assert steps(run) == list(range(20, 260, 20))
    assert summary(run)["grad_steps"] == 200  # 240 − 40: the warm-up was not repeated
    assert summary(run)["status"] == "done"


def test_an_ended_run_says_so_and_stays_as_it_is(run: Path, server: Server) -> None:
    before = everything(run)
    ended = server.train(f"resume={run}", cwd=run.parent)
    assert ended.code == 0
    assert "has 160 env steps already: give total_env_steps above 160 to continue" in ended.out
    assert everything(run) == before


def test_the_best_evaluation_is_remembered_where_the_run_has_moved(run: Path, server: Server) -> None:
    best = summary(run)["best_return_mean"]
    checkpoint = (run / "checkpoints" / "best.ckpt").read_bytes()
    assert server.train(f"resume={run}", "total_env_steps=161", cwd=run.parent).code == 0
    last = float(metric_rows(run)[-1]["eval/return_mean"])
    assert summary(run)["best_return_mean"] == max(best, last)
    assert last > best or (run / "checkpoints" / "best.ckpt").read_bytes() == checkpoint


def test_the_last_epoch_s_best_evaluation_is_not_forgotten(tmp_path: Path, server: Server) -> None:
    # One epoch: its evaluation is the best, and judged before last.ckpt is written.
    one = (*TINY, "env=cartpole", "total_env_steps=60", "hydra.run.dir=run")
    assert server.train(*one, cwd=tmp_path).code == 0
    content = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    (best,) = (state for key, state in content["callbacks"].items() if key.startswith("BestCheckpoint"))
    assert float(best["best_model_score"]) == summary(tmp_path / "run")["best_return_mean"]


@pytest.mark.parametrize("name", ["a b", "seed=0,alpha=auto", "it's", "ünï"])
def test_any_name_of_a_run_directory_resumes(run: Path, server: Server, name: str) -> None:
    shutil.move(run, run.with_name(name))
    ended = server.train(f"resume={name}", "total_env_steps=180", cwd=run.parent)  # a relative path
    assert ended.code == 0, ended.err
    assert summary(run.with_name(name))["env_steps"] == 180
    assert [path.name for path in run.parent.iterdir()] == [name]


def test_two_resumes_in_a_row(run: Path, server: Server) -> None:
    for total in (170, 230):
        assert server.train(f"resume={run}", f"total_env_steps={total}", cwd=run.parent).code == 0
    assert summary(run)["env_steps"] == 230
    assert steps(run) == [*range(20, 161, 20), 170, *range(180, 221, 20), 230]


def test_a_stop_in_the_first_epoch_with_early_stopping(tmp_path: Path, server: Server) -> None:
    early = ("callbacks=early_stopping", "callbacks.early_stopping.stopping_threshold=100000")
    stop = STOP.replace("100", "50")
    run = ("hydra.run.dir=run", "callbacks.plots=null")
    ended = server.train(*STOPPED[:-1], stop, *early, *run, cwd=tmp_path)
    assert ended.code == 130, ended.err
    assert summary(tmp_path / "run")["env_steps"] == 50
    assert server.train("resume=run", ALLOWED, cwd=tmp_path).code == 0


def test_a_stop_in_the_warm_up_loses_no_step(tmp_path: Path, server: Server) -> None:
    stop = STOP.replace("100", "30")
    assert server.train(*STOPPED[:-1], stop, "hydra.run.dir=run", cwd=tmp_path).code == 130
    content = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert int(content["state_dict"]["sac.env_steps"]) == 30


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_signal_ends_with_130_after_a_checkpoint_at_that_step(tmp_path: Path, number: int) -> None:
    long = ("env=cartpole", "total_env_steps=1000000", "steps_per_epoch=100000", "hydra.run.dir=run")
    process = start(*TINY, *long, cwd=tmp_path)
    run = tmp_path / "run"
    while not (run / "metrics.csv").exists() or not steps(run):
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert summary(run)["status"] == "interrupted"
    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert int(content["state_dict"]["sac.env_steps"]) == summary(run)["env_steps"] >= 20


def test_max_time_pauses_a_run(tmp_path: Path, server: Server) -> None:
    long = ("env=cartpole", "total_env_steps=1000000", "steps_per_epoch=100000", "hydra.run.dir=run")
    ended = server.train(*TINY, *long, "trainer.max_time=00:00:00:01", cwd=tmp_path)
    run = tmp_path / "run"
    assert (ended.code, summary(run)["status"]) == (0, "paused")
    paused_at = summary(run)["env_steps"]
    more = (f"total_env_steps={paused_at + 50}", "trainer.max_time=null")
    assert server.train("resume=run", *more, cwd=tmp_path).code == 0
    assert (summary(run)["status"], summary(run)["env_steps"]) == ("done", paused_at + 50)
    assert steps(run) == sorted(set(steps(run)))


def test_the_guarantee_is_told(run: Path, tmp_path: Path, server: Server) -> None:
    assert summary(run)["resume"] == "exact"
    assert "resume: exact" in (run / "train.log").read_text()


def test_box2d_restarts_its_episodes_and_says_so(tmp_path: Path, server: Server) -> None:
    pytest.importorskip("Box2D")
    env = ("env=gym", "env.id=LunarLander-v3", "hydra.run.dir=lander")
    assert server.train(*STOPPED, *env, cwd=tmp_path).code == 130
    ended = server.train("resume=lander", ALLOWED, cwd=tmp_path)
    run = tmp_path / "lander"
    assert ended.code == 0, ended.err
    assert summary(run)["resume"] == "episode-restart"
    assert "resume: episode-restart (" in (run / "train.log").read_text()
    assert (summary(run)["env_steps"], summary(run)["grad_steps"]) == (160, 120)


def test_the_wandb_run_goes_on_under_its_id(tmp_path: Path, server: Server) -> None:
    wandb = ("logger=wandb", "logger.wandb.mode=offline", "hydra.run.dir=run")
    assert server.train(*STOPPED, *wandb, cwd=tmp_path).code == 130
    ended = server.train("resume=run", ALLOWED, cwd=tmp_path)
    assert ended.code == 0, ended.err
    folders = sorted((tmp_path / "run").rglob("offline-run-*"))
    ids = [folder.name.rpartition("-")[2] for folder in folders if folder.is_dir()]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_no_row_is_written_twice(tmp_path: Path, server: Server) -> None:
    assert server.train(*STOPPED, "hydra.run.dir=run", cwd=tmp_path).code == 130
    # As by a kill after the checkpoint: rows that the resumed run is going to write again.
    path = tmp_path / "run" / "metrics.csv"
    with path.open() as file:
        columns = next(csv.reader(file))
    with path.open("a") as file:
        file.write("120" + ",1.0" * (len(columns) - 1) + "\n" + "140,0.")
    assert server.train("resume=run", ALLOWED, cwd=tmp_path).code == 0
    assert steps(tmp_path / "run") == list(range(20, 161, 20))
    assert metric_rows(tmp_path / "run")[5]["train/critic_loss"] != "1.0"
