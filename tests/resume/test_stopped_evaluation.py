"""An evaluation hears a stop at once, and the resumed run makes it again."""

import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from commands import TINY, Fit, Server, start, summary
from evaluating import Judge, StopInEvaluation
from runs import Run, StopAt, differences, metric_rows, saved_state

from sac_lightning.core.checkpoint import read_checkpoint

# Cells without a time limit; the mode of an untrained policy walks against a wall for ever.
ENDLESS = ("env=gym", "env.id=CliffWalking-v1", "hydra.run.dir=run")


def evaluated(directory: Path) -> list[int]:
    """The env steps at which there was an evaluation."""
    return [int(row["env_steps"]) for row in metric_rows(directory) if row.get("eval/return_mean")]


@pytest.mark.parametrize(
    ("run", "number", "at", "kind"),
    [
        (Run(), 1, 7, SIGTERM),
        (Run(eval_episodes=12), 2, 205, SIGINT),  # of the second ten: the first ten have ended
        (Run("CartPole-v1", "async", 2), 3, 1, SIGTERM),  # the run's last evaluation
        (Run(overlap=True), 1, 200, SIGTERM),
    ],
    ids=["first", "second", "last", "overlap"],
)
def test_an_evaluation_that_is_stopped_is_made_again(
    fit: Fit, tmp_path: Path, run: Run, number: int, at: int, kind: int
) -> None:
    fit(run, tmp_path / "whole", Judge())
    fit(run, tmp_path / "parts", StopInEvaluation(number, at, kind), Judge())
    assert evaluated(tmp_path / "parts") == [60, 120][: number - 1]
    last = read_checkpoint(tmp_path / "parts" / "checkpoints" / "last.ckpt")
    assert int(last["state_dict"]["sac.env_steps"]) == (60, 120, 160)[number - 1]
    fit(run, tmp_path / "parts", Judge())
    assert evaluated(tmp_path / "parts") == [60, 120, 160]
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
    judged = [
        read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["callbacks"]["Judge"]
        for name in ("whole", "parts")
    ]
    assert judged[0] == judged[1]
    assert len(judged[0]["seen"]) == 3


def test_the_same_evaluation_stopped_three_times(fit: Fit, tmp_path: Path) -> None:
    run = Run()
    fit(run, tmp_path / "whole")
    for at in (1, 100, 200):
        fit(run, tmp_path / "parts", StopInEvaluation(1, at))
        assert evaluated(tmp_path / "parts") == []
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []


def test_a_stop_at_the_last_step_of_an_epoch_begins_no_evaluation(fit: Fit, tmp_path: Path) -> None:
    fit(Run(), tmp_path / "run", StopAt(60))
    assert evaluated(tmp_path / "run") == []


def test_a_run_that_is_made_longer_first_evaluates_what_it_had_reached(fit: Fit, tmp_path: Path) -> None:
    longer = Run(total_env_steps=180, lr_schedule=None)
    fit(longer, tmp_path / "whole")
    fit(longer.with_more(total_env_steps=120), tmp_path / "parts", StopInEvaluation(2))
    fit(longer, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", longer.capacity)
    assert differences(saved_state(tmp_path / "parts", longer.capacity), expected) == []


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_an_evaluation_without_end_hears_a_signal(tmp_path: Path, server: Server, number: int) -> None:
    process = start(*TINY, *ENDLESS, cwd=tmp_path)
    run = tmp_path / "run"
    try:
        while not (run / "metrics.csv").exists() or not metric_rows(run)[-1:] or rows_of(run)[-1] < 60:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)  # the epoch is over: only the evaluation is left to do
        assert evaluated(run) == []
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert summary(run)["env_steps"] == 60
    assert "CliffWalking-v1 has no time limit" in err
    assert server.train("resume=run", "eval_max_steps=30", cwd=tmp_path).code == 0
    assert evaluated(run) == [60, 120, 160]


def rows_of(run: Path) -> list[int]:
    """The env steps of all rows."""
    return [int(row["env_steps"]) for row in metric_rows(run)]


def test_an_evaluation_without_end_is_paused_by_max_time(tmp_path: Path, server: Server) -> None:
    process = start(*TINY, *ENDLESS, "trainer.max_time=00:00:00:03", cwd=tmp_path)
    run = tmp_path / "run"
    try:
        _, err = process.communicate(timeout=90)
    finally:
        process.kill()
    assert (process.returncode, summary(run)["status"]) == (0, "paused"), err
    assert summary(run)["env_steps"] == 60  # unless the machine needs three seconds for 60 env steps
    more = ("trainer.max_time=null", "eval_max_steps=20")
    assert server.train("resume=run", *more, cwd=tmp_path).code == 0
    assert (summary(run)["status"], evaluated(run)) == ("done", [60, 120, 160])


@pytest.mark.parametrize(
    ("limits", "warns"),
    [
        ((), True),
        (("eval_max_steps=10",), False),
        (("env.max_episode_steps=10",), False),
        (("env.wrappers=[{name: TimeLimit, max_episode_steps: 10}]",), False),
        (("env.id=FrozenLake-v1",), False),  # registered with a limit
    ],
)
def test_an_env_without_a_time_limit_is_warned_of(
    tmp_path: Path, server: Server, limits: tuple[str, ...], warns: bool
) -> None:
    if warns:
        limits = ("trainer.max_time=00:00:00:01",)
    assert server.train(*TINY, *ENDLESS, *limits, cwd=tmp_path).code == 0
    assert ("has no time limit" in (tmp_path / "run" / "train.log").read_text()) is warns
