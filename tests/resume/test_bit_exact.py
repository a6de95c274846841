"""A run that was stopped and continued leaves the same bits as one that never was."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from commands import TINY, Fit, start, train, train_anew
from mixed import Blink, Drift, many, mixed, several
from runs import Run, StopAt, differences, metric_rows, saved_state

from sac_lightning.entropy import LearnedTemperature, Schedule, TemperatureRule, Tes

ENVS = ("Pendulum-v1", "HalfCheetah-v5", "CartPole-v1")
CASES = list(product(ENVS, ("sync", "async"), (1, 4), ("32-true", "bf16-mixed")))


@pytest.mark.parametrize(("env", "vectorization", "num_envs", "precision"), CASES)
def test_stopped_in_the_middle_of_an_epoch_and_continued(
    fit: Fit, tmp_path: Path, env: str, vectorization: str, num_envs: int, precision: str
) -> None:
    run = Run(env, vectorization, num_envs, precision, eval_max_steps=60)
    fit(run, tmp_path / "whole")
    fit(run, tmp_path / "parts", StopAt(97))  # of epochs of 60 steps: the second is cut short
    assert int(metric_rows(tmp_path / "parts")[-1]["env_steps"]) in (80, 100)
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
    # Each kind of state was there to be compared.
    kinds = {name.split("/")[1] for name in expected}
    assert kinds == {
        *("weights", "global_step", "optimizers", "schedulers", "collector", "envs", "replay", "transitions"),
        *("own", "best", "rows"),
    }
    assert {
        "/weights/sac.log_alpha",
        "/optimizers/2/state/0/exp_avg",
        "/own/noise_generator",
    } <= expected.keys()
    assert expected["/weights/sac.grad_steps"] == 120  # 160 − 40: the warm-up was not repeated


@pytest.mark.parametrize(
    ("env", "temperature"),
    [
        (
            "Pendulum-v1",
            LearnedTemperature(per_dim=True, target_entropy=Schedule(start=0.0, end=-1.0, steps=150)),
        ),
        ("CartPole-v1", LearnedTemperature(target_entropy=Tes(patience=25, mean_within=9.0, deviation=9.0))),
    ],
    ids=["schedule", "tes"],
)
def test_a_moving_target_goes_on_where_it_was(
    fit: Fit, tmp_path: Path, env: str, temperature: TemperatureRule
) -> None:
    run = Run(env, temperature=temperature)
    fit(run, tmp_path / "whole")
    fit(run, tmp_path / "parts", StopAt(97))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
    rows = metric_rows(tmp_path / "whole")
    targets = {row["train/target_entropy"] for row in rows if row["train/target_entropy"]}
    assert len(targets) >= 4  # it did move


@pytest.mark.parametrize(
    ("env", "vectorization", "num_envs"),
    [("HalfCheetah-v5", "sync", 1), ("Pendulum-v1", "async", 4), ("CartPole-v1", "sync", 4)],
)
def test_a_step_that_is_under_way_is_saved_and_goes_on(
    fit: Fit, tmp_path: Path, env: str, vectorization: str, num_envs: int
) -> None:
    run = Run(env, vectorization, num_envs, overlap=True)
    fit(run, tmp_path / "whole")
    for stop in (30, 97):  # in the warm-up, where actions are random, and after it
        fit(run, tmp_path / "parts", StopAt(stop))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
    assert "/collector/pending_step/action" in expected


@pytest.mark.parametrize("make", [several, many, mixed])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_actions_of_several_parts_go_on(
    fit: Fit, tmp_path: Path, make: Callable[[], Drift], vectorization: str
) -> None:
    run = Run("Drift", vectorization, 2, env_options={"make": make})
    fit(run, tmp_path / "whole")
    fit(run, tmp_path / "parts", StopAt(98))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []


def test_prior_data_are_read_again(fit: Fit, tmp_path: Path) -> None:
    fit(Run(), tmp_path / "earlier")
    run = Run(prior=(str(tmp_path / "earlier"),), offline_steps=70)
    fit(run, tmp_path / "whole")
    for stop in (0, 97):  # after the first offline updates, and between two evaluations
        fit(run, tmp_path / "parts", StopAt(stop))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []
    assert expected["/weights/sac.grad_steps"] == 70 + 120


def test_images_that_are_stored_once_go_on_in_memory_and_in_files(fit: Fit, tmp_path: Path) -> None:
    run = Run("Blink", env_options={"make": Blink}, frame_stack=4, total_env_steps=90)
    fit(run, tmp_path / "whole")
    run = replace(run, storage="memmap")
    fit(run, tmp_path / "parts", StopAt(67))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []


def test_the_comparison_sees_another_run(fit: Fit, tmp_path: Path) -> None:
    fit(Run(), tmp_path / "a")
    fit(Run(learning_starts=41), tmp_path / "b")
    seen = {
        name.split("/")[1]
        for name in differences(saved_state(tmp_path / "b", 100), saved_state(tmp_path / "a", 100))
    }
    assert seen >= {"weights", "optimizers", "collector", "envs", "replay", "transitions", "own", "rows"}


@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_stopped_wherever_episodes_end(fit: Fit, tmp_path: Path, vectorization: str, autoreset: str) -> None:
    # CartPole under random actions: episodes of about 20 steps, so that stops fall on and beside their ends.
    run = Run("CartPole-v1", vectorization, 2, env_options={"autoreset": autoreset})
    fit(run, tmp_path / "whole")
    for stop in (30, 60, 84, 132):  # in the warm-up, at an epoch's end, in the last epoch
        fit(run, tmp_path / "parts", StopAt(stop, SIGINT if stop % 4 else SIGTERM))
    fit(run, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", run.capacity)
    assert differences(saved_state(tmp_path / "parts", run.capacity), expected) == []


def test_a_run_that_had_ended_goes_on_as_if_it_had_not(fit: Fit, tmp_path: Path) -> None:
    # Without a schedule of learning rates, whose length is the run's.
    longer = Run(total_env_steps=180, lr_schedule=None)
    fit(longer, tmp_path / "whole")
    fit(longer.with_more(total_env_steps=120), tmp_path / "parts")
    fit(longer, tmp_path / "parts")
    expected = saved_state(tmp_path / "whole", longer.capacity)
    assert differences(saved_state(tmp_path / "parts", longer.capacity), expected) == []


@pytest.mark.parametrize(
    "options",
    [
        ("env=cartpole", "compile=true", "precision=bf16-mixed", "num_envs=4"),
        ("env=gym", "env.id=HalfCheetah-v5", "compile=false", "num_envs=4", "env.vectorization=async"),
    ],
    ids=" ".join,
)
def test_continued_by_a_new_process(tmp_path: Path, options: tuple[str, ...]) -> None:
    arguments = (*TINY, *options)
    callback = "+callbacks.stop={_target_: stop_at.Stop, env_steps: 100}"
    whole = start(*arguments, "hydra.run.dir=whole", cwd=tmp_path)
    stopped = train(
        *(*arguments, "hydra.run.dir=parts", callback, "allowed_prefixes=[stop_at]"), cwd=tmp_path
    )
    assert stopped.code == 130, stopped.err
    resumed = train_anew("resume=parts", "allowed_prefixes=[stop_at]", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    _, output = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    expected = saved_state(tmp_path / "whole", 100)
    assert differences(saved_state(tmp_path / "parts", 100), expected) == []
