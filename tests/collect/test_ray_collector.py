"""Envs in Ray actors: what is stored, how old the weights are, and what is left when an actor dies."""

import logging
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import pytorch_lightning as pl
import ray
import torch
from pytorch_lightning.callbacks import Callback
from tests.envs.numbered import Numbered
from tests.resume.runs import QUIET, Run, StopAt, differences, saved_state

from sac_lightning import ActorConfig, CriticConfig, EnvConfig, Policy, ReplayDataModule, SACModule
from sac_lightning.collect import ray_worker
from sac_lightning.collect.ray_actors import RayActors, RayOptions, deaths
from sac_lightning.collect.ray_collector import AHEAD, RayCollector
from sac_lightning.collect.ray_worker import Block, EnvWorker
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.seeding import torch_generator
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.envs.guard import EnvError
from sac_lightning.heads import head_for
from sac_lightning.networks import Actor
from sac_lightning.networks.normalization import RunningStatistics
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

    # In another order, a slow actor's block may wait for any number of others.
    data = fit(look, 200, publish_every=3, deterministic=True)
    assert data.experience is not None
    makers = check_stored(data.experience.replay, 200)
    assert len({*makers}) == ACTORS * ENVS
    # The first 40 steps are random; a block is at most AHEAD blocks of each actor behind, and a publication.
    assert len(lags) == (200 - 40) / BLOCK
    assert lags[0] == 0 < max(lags) <= AHEAD * ACTORS * BLOCK // 2 + 3


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


def kill(worker: Any) -> None:
    """Returns when the actor is dead: Ray's kill does not wait for it."""
    ray.kill(worker)
    with suppress(ray.exceptions.RayActorError):
        while True:
            ray.get(worker.__ray_ready__.remote())


def test_deaths_at_a_start_are_counted_and_errors_of_the_first_reset_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = RayOptions(actors=1, address=None, publish_every=1, deterministic=True, updates_due=int)
    acting: dict[str, Any] = {"action": action_spec(Numbered().action_space), "noise_hold_max": 1}
    actors = RayActors(EnvConfig(id="Numbered", make=Numbered), options, 1, seed=1, gamma=0.9, **acting)
    try:
        with pytest.raises(EnvError, match=r"^Numbered: the state is of actors=0; this run has actors=1$"):
            actors.restore({"version": 1, "envs": []})
        actors._seed = -1  # what no random stream takes
        with pytest.raises(ValueError, match="non-negative"):
            actors.replace(0, "")
        actors._seed, start, first = 1, actors._start, iter([True])

        def dies_once(actor: int) -> Any:
            if next(first, False):
                kill(actors._workers[actor])
            return start(actor)

        monkeypatch.setattr(actors, "_start", dies_once)
        kill(actors._workers[0])
        (state,) = actors.capture()["actors"]
        assert (state["life"], state["follows"]) == (3, False)
        with pytest.raises(EnvError, match="actor 0 died 4 times in a row: "):
            actors.replace(0, "")
    finally:
        actors.abandon()


@pytest.mark.parametrize("kind", ["OutOfMemoryError", "NodeDiedError"])
def test_an_actor_may_die_of_its_machine(kind: str) -> None:
    def get(reference: Any) -> Any:
        raise getattr(ray.exceptions, kind)("the machine")

    actors = RayActors.__new__(RayActors)
    actors.ray, actors._died = SimpleNamespace(get=get, exceptions=ray.exceptions), deaths()
    assert actors.block(None) is None
    assert actors.why_died == "the machine"


def test_a_new_actor_follows_nothing_after_a_resume_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    # The check of annotations in tests wants a real buffer.
    monkeypatch.setattr(ray_worker, "BlockRows", type("Rows", (ray_worker.BlockRows, ReplayBuffer), {}))
    config, no_weights = EnvConfig(id="Pendulum-v1"), (0, 0, None)
    env = config.build()
    action, obs = action_spec(env.action_space), obs_spec(env.observation_space)
    head = head_for(action)
    actor = Actor(obs, head, ActorConfig(hidden_sizes=(4,)), torch_generator(0))
    worker: Any = EnvWorker()
    worker.start(0, config, 1, 0.9, action=action, noise_hold_max=1)
    worker.take_policy(Policy(actor, head, obs, action))
    worker.restart(1, 0, 0)
    assert not worker.collect(0, 2, True, no_weights).follows
    old = worker.capture()
    worker.restart(1, 0, 1)
    new = worker.capture()
    for state, follows in ((old, True), (new, False)):
        worker.restore(state)
        assert worker.collect(1, 2, True, no_weights).follows is follows


def test_the_first_weights_have_the_statistics_of_the_warm_up() -> None:
    asked: list[tuple[Any, ...]] = []

    def ask(actor: int, number: int, steps: int, random: bool, weights: tuple[int, int, Any]) -> int:
        updates, publication, reference = weights
        asked.append((random, updates, publication, reference and float(reference["1.count"])))
        return number

    def block(number: int) -> Block:
        return Block(0, number, True, 0, (np.zeros(2),), [1, 1], [], np.zeros(0))

    policy: Any = SimpleNamespace(actor=torch.nn.Identity(), normalize_obs=RunningStatistics((1,)))
    store = SimpleNamespace(put=lambda weights: weights)
    envs: Any = SimpleNamespace(count=1, num_envs=1, has_policy=True, ask=ask, block=block, ray=store)
    updates = {0: 0, 2: 0, 4: 0, 6: 4}.__getitem__
    options = RayOptions(actors=1, address=None, publish_every=3, deterministic=True, updates_due=updates)
    replay: Any = SimpleNamespace(add=lambda *rows: None)
    collector = RayCollector(envs, replay, learning_starts=4, ray=options)
    for _ in range(4):
        collector.collect(policy, 2)
        policy.normalize_obs.add(torch.zeros(2, 1))
    warm_up = (True, 0, 0, None)
    assert asked == [warm_up, warm_up, (False, 0, 1, 2.0), (False, 0, 1, 2.0), (False, 4, 2, 6.0)]
