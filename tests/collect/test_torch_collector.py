"""Vector envs of torch tensors: what is stored of their steps, how fast, and how they continue."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.cli.importable.torch_pendulum import Resumable, TorchPendulum

from sac_lightning import ActorConfig, EnvConfig, Policy, ReplayDataModule
from sac_lightning.collect.collector import Collector
from sac_lightning.collect.experience import Experience
from sac_lightning.collect.torch_collector import TorchCollector
from sac_lightning.core.errors import ConfigError
from sac_lightning.core.seeding import torch_generator
from sac_lightning.envs import EnvError, action_spec, obs_spec
from sac_lightning.envs.torch_vector import SingleTorchEnv, TorchVectorEnv
from sac_lightning.heads import head_for
from sac_lightning.networks import Actor
from sac_lightning.replay import ReplayBuffer

CPU = torch.device("cpu")


def config(make: Any = TorchPendulum, **kwargs: Any) -> EnvConfig:
    return EnvConfig(id="TorchPendulum", make=make, vectorization="torch", kwargs=kwargs)


def policy_for(env: EnvConfig) -> Policy:
    probe = env.build()
    obs, action = obs_spec(probe.observation_space), action_spec(probe.action_space)
    head = head_for(action)
    return Policy(Actor(obs, head, ActorConfig(hidden_sizes=(16,)), torch_generator(0)), head, obs, action)


def collector_for(env: EnvConfig, policy: Policy, num_envs: int, n_step: int = 1, **options: Any) -> Any:
    envs = env.build_vector(num_envs)
    replay = ReplayBuffer(10_000, n_step=n_step)
    replay.allocate(10_000, policy.obs, policy.action, num_envs=num_envs)
    seeds: dict[str, Any] = {"env_seed": 1, "action_seed": 2, "learning_starts": 0}
    if isinstance(envs, TorchVectorEnv):
        return TorchCollector(envs, policy.action, replay, device=CPU, **seeds, **options)
    return Collector(envs, policy.action, replay, **seeds, **options)


def rate(env: EnvConfig, num_envs: int, steps: int) -> float:
    """Env steps per second of collection alone, in the fastest of three tries."""
    policy = policy_for(env)
    collector = collector_for(env, policy, num_envs)
    seconds = []
    for _ in range(4):  # the first try warms up
        began = time.perf_counter()
        collector.collect(policy, steps)
        seconds.append(time.perf_counter() - began)
    return num_envs * steps / min(seconds[1:])


def test_many_copies_are_ten_times_as_fast_as_gymnasium_s_sync_vector_env() -> None:
    def single() -> Any:
        return SingleTorchEnv(lambda: TorchVectorEnv(TorchPendulum(1), "TorchPendulum", 1))

    one_by_one = EnvConfig(id="TorchPendulum", make=single, vectorization="sync")
    assert rate(config(), 4096, 2) > 10 * rate(one_by_one, 128, 1)


@pytest.mark.parametrize("final_key", ["final_obs", "final_observation"])
@pytest.mark.parametrize("critic", [False, True], ids=["box", "dict"])
def test_what_is_stored_is_what_the_env_did(final_key: str, critic: bool) -> None:
    # Episodes end by speed and after 9 steps, in different envs at different times.
    options = {"max_episode_steps": 9, "fall": 3.0, "final_key": final_key, "critic": critic}
    env = config(**options)
    policy = policy_for(env)
    collector = collector_for(env, policy, 5, noise_hold_max=4)
    finished = [episode for _ in range(20) for episode in collector.collect(policy, 2)]
    rows = [field[:200].view(40, 5, *field.shape[1:]) for field in collector.replay.store]
    obs, action, reward, next_obs, terminated, truncated, numbers, log_prob = rows

    by_hand = TorchPendulum(5, **options)
    seen = by_hand.reset(seed=1)[0]
    returns = torch.zeros(5, dtype=torch.float64)
    episodes = []
    for step in range(40):
        before = (seen["policy"] if critic else seen).clone()
        seen, expected, ended, cut, info = by_hand.step(2.0 * action[step])
        after = (seen["policy"] if critic else seen).clone()
        if info:
            last = info[final_key]["policy"] if critic else info[final_key]
            after = torch.where((ended | cut)[:, None], last, after)
        for found, wanted in ((obs, before), (next_obs, after)):
            # A row has the keys in their order: the speed comes first, under `critic`.
            row = torch.cat((wanted[:, 2:], wanted), dim=1) if critic else wanted
            assert torch.equal(found[step], row)
        assert torch.equal(reward[step], expected)
        assert torch.equal(terminated[step], ended)
        assert torch.equal(truncated[step], cut)
        assert torch.equal(numbers[step], torch.arange(5, dtype=torch.int16))
        assert bool(log_prob[step].isfinite().all()) == (step % 8 == 0)
        returns += expected
        for i in torch.nonzero(ended | cut)[:, 0].tolist():
            episodes.append(float(returns[i]))
            returns[i] = 0.0
    assert [episode.ret for episode in finished] == episodes
    assert terminated.any()
    assert truncated.any()
    assert len({tuple(row) for row in (terminated | truncated).tolist()}) > 2


def test_random_actions_and_n_step_returns_are_those_of_the_usual_collector() -> None:
    env = config(max_episode_steps=4)
    policy = policy_for(env)
    collector = collector_for(env, policy, 3, n_step=3)
    collector.learning_starts = 30
    collector.collect(policy, 10)
    replay = collector.replay
    assert replay.store.action[:30].abs().max() <= 1.0
    assert replay.store.action[:30].std() > 0.4
    assert float(replay.store.log_prob[0]) == pytest.approx(-np.log(2.0))
    assert replay.next_row[:12].tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11, -1, -1, -1]


def experience(env: EnvConfig, directory: Path) -> Experience:
    probe = env.build()
    return Experience(
        env,
        4,
        (obs_spec(probe.observation_space), action_spec(probe.action_space)),
        replay=ReplayBuffer(),
        capacity=100,
        most_drawn=1,
        seed=3,
        device=CPU,
        journal_dir=directory,
        learning_starts=12,
        overlap=False,
        noise_hold_max=3,
    )


def test_episodes_continue_bit_for_bit_where_the_env_can_tell_its_state(tmp_path: Path) -> None:
    env = config(Resumable, max_episode_steps=5)
    policy = policy_for(env)
    whole = experience(env, tmp_path / "whole")
    assert whole.guarantee == "exact"
    whole.collector.collect(policy, 7)
    parts = experience(env, tmp_path / "parts")
    parts.collector.collect(policy, 7)
    state = parts.state_dict()
    parts.close()
    parts = experience(env, tmp_path / "parts")
    parts.load_state_dict(state)
    for each in (whole, parts):
        each.collector.collect(policy, 6)
    for one, other in zip(whole.replay.store, parts.replay.store, strict=True):
        assert torch.equal(one[:52].nan_to_num(), other[:52].nan_to_num())
    assert parts.collector.env_steps == 52
    whole.close()  # a later fit in the same process continues too
    whole.reopen()
    for each in (whole, parts):
        each.collector.collect(policy, 3)
    assert torch.equal(whole.replay.store.obs, parts.replay.store.obs)


def test_other_episodes_start_again(tmp_path: Path) -> None:
    env = config(max_episode_steps=50)
    first = experience(env, tmp_path)
    first.collector.collect(policy_for(env), 3)
    state = first.state_dict()
    first.close()
    again = experience(env, tmp_path)
    assert again.guarantee == "episode-restart"
    again.load_state_dict(state)
    assert again.collector.env_steps == 12
    assert not torch.equal(again.collector.state_dict()["obs"], state["collector"]["obs"])


def faulty(change: str) -> Any:
    class Faulty(TorchPendulum):
        def step(self, action: torch.Tensor) -> Any:
            obs, reward, terminated, truncated, info = super().step(action)
            if change == "raises":
                raise ZeroDivisionError("a wheel")
            if change == "array":
                return obs, reward.numpy(), terminated, truncated, info
            if change == "shape":
                return obs, reward[:, None], terminated, truncated, info
            if change == "nan":
                reward[1] = torch.nan
            return obs, reward, terminated, truncated, {} if change == "none" else info

    return Faulty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("raises", "raised ZeroDivisionError: a wheel, at env step 3"),
        ("array", r"reward is a ndarray, and must be a tensor \[3\], at env step 3"),
        ("shape", r"reward has the shape \[3, 1\], and must have \[3\]"),
        ("nan", "the reward of env 1 is nan, at env step 3"),
        ("none", "info has no final_obs"),
    ],
)
def test_an_env_that_fails_is_named_in_one_line(change: str, message: str) -> None:
    env = config(faulty(change), max_episode_steps=1)
    policy = policy_for(env)
    with pytest.raises(EnvError, match=message):
        collector_for(env, policy, 3).collect(policy, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"autoreset": "next_step"}, "env.autoreset=next_step: with env.vectorization=torch"),
        ({"action_mask": "info"}, "env.action_mask=info"),
        ({"wrappers": [{"name": "TimeLimit", "max_episode_steps": 3}]}, "env.wrappers="),
        ({"kwargs": {"num_envs": 3}}, "env.kwargs.num_envs=3: set num_envs"),
        ({"id": "Pendulum-v1", "make": None}, "env.id=Pendulum-v1: .* vector_entry_point"),
        ({"render_mode": "rgb_array"}, "env.render_mode=rgb_array"),
    ],
)
def test_what_has_no_meaning_there_is_refused(options: dict[str, Any], message: str) -> None:
    usual = {"id": "TorchPendulum", "make": TorchPendulum, "vectorization": "torch"}
    with pytest.raises(ConfigError, match=message):
        EnvConfig(**{**usual, **options}).check()


def test_overlap_is_refused() -> None:
    env = config()
    with pytest.raises(ConfigError, match=r"collector\.overlap=True: must be false"):
        collector_for(env, policy_for(env), 2, overlap=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": True}, r"collector\.overlap=True: must be false"),
        ({"num_envs": 40_000}, "num_envs=40000: must be at most 32767"),
    ],
)
def test_a_mistake_is_told_before_an_env_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReplayDataModule(config(), total_env_steps=10**6, steps_per_epoch=10**5, **options)


def test_a_registered_id_is_one_env_for_evaluations() -> None:
    env = EnvConfig(id="TorchPendulum-v0", vectorization="torch")
    single = env.build()
    obs, _ = single.reset(seed=5)
    assert env.time_limit == 30
    steps = 0
    while True:
        obs, reward, terminated, truncated, _ = single.step(np.zeros(1, np.float32))
        steps += 1
        if terminated or truncated:
            break
    assert (steps, type(reward), obs.shape) == (30, float, (3,))
