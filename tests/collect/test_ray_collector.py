"""Envs in Ray actors: what is stored, how old the weights are, and what is left when an actor dies."""

import logging
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytorch_lightning as pl
import ray
from pytorch_lightning.callbacks import Callback
from tests.envs.numbered import Numbered
from tests.resume.runs import QUIET, Run, StopAt, differences, saved_state

from sac_lightning import ActorConfig, CriticConfig, EnvConfig, ReplayDataModule, SACModule
from sac_lightning.collect.ray_collector import AHEAD, RayCollector
from sac_lightning.core.errors import ConfigError
from sac_lightning.replay import ReplayBuffer
from sac_lightning.replay.episodes import NO_ROW

ACTORS, ENVS, STEPS = 2, 2, 5
BLOCK = ENVS * STEPS


def workers() -> list[psutil.Process]:
    """The processes of actors."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found += [each] if each.name().startswith("ray::EnvWorker") else []
    return found


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for all tests, which they join."""
    before = psutil.Process().children(recursive=True)
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()
    left = {*psutil.Process().children(recursive=True)} - {*before}
    assert not psutil.wait_procs(left, timeout=60)[1]  # Ray's agents notice a little later


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    """Checks that no actor outlives its test."""
    yield
    assert not psutil.wait_procs(workers(), timeout=20)[1]


class Watch(Callback):
    """Calls a function after each iteration."""

    def __init__(self, look: Callable[[ReplayDataModule, SACModule], None]) -> None:
        self.look = look

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: SACModule, *args: Any) -> None:  # type: ignore[override]
        self.look(trainer.datamodule, pl_module)


def fit(look: Callable[[ReplayDataModule, SACModule], None], steps: int, **options: Any) -> ReplayDataModule:
    env = EnvConfig(id="Numbered", make=Numbered)
    data = ReplayDataModule(
        env,
        total_env_steps=steps,
        steps_per_epoch=steps,
        learning_starts=40,
        num_envs=ENVS,
        collect_steps=STEPS,
        iterations_per_batch=1,
        utd_ratio=0.5,
        batch_size=8,
        actors=ACTORS,
        eval_episodes=0,
        replay=ReplayBuffer(steps, n_step=3),
        **options,
    )
    small: dict[str, Any] = {"hidden_sizes": (8,)}
    module = SACModule(
        *data.specs, actor=ActorConfig(**small), critic=CriticConfig(**small), log_every_n_env_steps=20
    )
    trainer = pl.Trainer(
        max_epochs=1, logger=False, callbacks=[Watch(look)], enable_checkpointing=False, **QUIET
    )
    trainer.fit(module, data)
    return data


def check_stored(replay: ReplayBuffer, steps: int) -> list[Any]:
    """Checks that nothing is stored twice, torn or in another order; returns (process, env) of each row."""
    assert replay.added == len(replay) == steps
    seen, then = replay.store.obs.numpy(), replay.store.next_obs.numpy()
    assert len({*map(tuple, seen)}) == steps
    np.testing.assert_array_equal(then - seen, np.tile([0, 0, 1], (steps, 1)))
    followers = replay.next_row[:steps].numpy()
    for row in np.flatnonzero(followers != NO_ROW):
        np.testing.assert_array_equal(seen[followers[row]], then[row])
    makers = [(int(each[0]), int(each[1])) for each in seen]
    for maker in {*makers}:
        rows = [row for row, each in enumerate(makers) if each == maker]
        assert len({int(replay.store.env[row]) for row in rows}) == 1
        over = replay.store.truncated[rows].tolist()
        for index, (row, following) in enumerate(pairwise(rows)):
            assert seen[following][2] - seen[row][2] == 1 + over[index]  # a reset is a call too
    return makers


def test_blocks_keep_the_ratio_and_the_weights_age_is_known() -> None:
    lags: list[int] = []

    def look(data: ReplayDataModule, module: SACModule) -> None:
        assert data.experience is not None
        collector = data.experience.collector
        assert isinstance(collector, RayCollector)
        assert int(module.grad_steps) == max(0, data.env_steps - 40) // 2
        assert data.env_steps % BLOCK == 0
        lags.extend([] if collector.policy_lag is None else [collector.policy_lag])
        if lags and data.env_steps % 20 == 0:
            assert 0 <= module.latest["time/policy_lag"] <= max(lags)

    data = fit(look, 200, publish_every=3)
    assert data.experience is not None
    makers = check_stored(data.experience.replay, 200)
    assert len({*makers}) == ACTORS * ENVS
    # The first 40 steps are random; a block is at most AHEAD blocks of each actor behind, and a publication.
    assert len(lags) == (200 - 40) / BLOCK
    assert lags[0] == 0 < max(lags) <= (AHEAD * ACTORS * 2) * BLOCK // 2 + 3


def kill_actors(times: int, steps: int) -> None:
    """Fits while actors are killed at random times."""
    chosen = random.Random(0)
    due = sorted(chosen.sample(range(BLOCK, steps - 4 * BLOCK, BLOCK), times))

    def look(data: ReplayDataModule, module: SACModule) -> None:
        if due and data.env_steps >= due[0] and (alive := workers()):
            os.kill(chosen.choice(alive).pid, signal.SIGKILL)
            del due[0]

    data = fit(look, steps)
    assert not due
    assert data.experience is not None
    collector = data.experience.collector
    assert isinstance(collector, RayCollector)
    makers = check_stored(data.experience.replay, steps)
    assert len({pid for pid, _ in makers}) > ACTORS
    assert times <= collector.lost_blocks <= AHEAD * times
    assert {*data.experience.replay.store.env.tolist()} == {*range(ACTORS * ENVS)}


def test_actors_that_die_are_replaced_and_nothing_is_stored_twice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        kill_actors(3, 300)
    assert sum("has died and is replaced" in each.message for each in caplog.records) == 3


@pytest.mark.slow
def test_twenty_deaths_are_survived() -> None:
    kill_actors(20, 2000)


def test_fixed_order_resumes_bit_for_bit(tmp_path: Path) -> None:
    run = Run(actors=2, collect_steps=5)
    run.to_the_end(tmp_path / "whole")
    run.to_the_end(tmp_path / "cut", [StopAt(75)])
    run.to_the_end(tmp_path / "cut")
    whole, cut = (saved_state(tmp_path / name, run.capacity) for name in ("whole", "cut"))
    # Python's global generator: only the checks of annotations in tests draw from it.
    assert not [each for each in differences(cut, whole) if not each.startswith("/own/global_rng/python/")]
    assert any(name.startswith("/envs/actors/1/collector") for name in whole)


def test_an_env_that_an_actor_cannot_make_is_told_in_one_line() -> None:
    env = EnvConfig(id="Numbered", make=Numbered, kwargs={"elsewhere": str(os.getpid())})
    data = ReplayDataModule(env, actors=1, eval_episodes=0)
    told = r"^collector\.actors=1: actor 0 could not start: Numbered.* No module named 'robot'$"
    with pytest.raises(ConfigError, match=told):
        data.setup("fit")
