"""Envs and wrappers that return the same array again and again, wherever observations are kept."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tests.tasks import Clock, env_config

from sac_lightning import ActorConfig, Policy, SACModule
from sac_lightning.collect.collector import Collector
from sac_lightning.collect.evaluation import Evaluator
from sac_lightning.core.seeding import torch_generator
from sac_lightning.envs import action_spec, obs_spec
from sac_lightning.export import episodes, read_rows
from sac_lightning.heads import head_for
from sac_lightning.networks import Actor
from sac_lightning.replay import Journal, ReplayBuffer

MODES = pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
ENDS = pytest.mark.parametrize("truncates", [True, False], ids=["truncates", "terminates"])


class OneArray(Clock):
    """A clock that writes every observation into its one array."""

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        super().__init__(length, truncates)
        self.array = np.zeros(2, np.float32)

    def _obs(self) -> Any:
        self.array[:] = self.episode, self.count
        return self.array


class SharedArray(OneArray):
    """As a simulator of which all envs are views: one array for every env of the process."""

    shared: ClassVar[npt.NDArray[Any]] = np.zeros(2, np.float32)

    def _obs(self) -> Any:
        self.shared[:] = self.episode, self.count
        return self.shared


class InsideDict(OneArray):
    """A clock whose observation is a dict, made once, of an array, made once."""

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        super().__init__(length, truncates)
        self.parts = {"a": self.array[:1], "b": self.array[1:]}
        inside = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict({"a": inside, "b": inside})

    def _obs(self) -> Any:
        super()._obs()
        return self.parts


class Rewrites(gym.ObservationWrapper[Any, Any, Any]):
    """A wrapper with one array of its own."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.array = np.zeros(2, np.float32)

    def observation(self, observation: Any) -> Any:
        self.array[:] = observation
        return self.array


KINDS = pytest.mark.parametrize("kind", [OneArray, SharedArray, InsideDict])
FRAMES = {"name": "FrameStackObservation", "stack_size": 2}


def collector_of(envs: Any, autoreset: str, overlap: bool = False) -> tuple[Collector, ReplayBuffer, Policy]:
    obs, action = obs_spec(envs.single_observation_space), action_spec(envs.single_action_space)
    head = head_for(action)
    policy = Policy(Actor(obs, head, ActorConfig(hidden_sizes=(4,)), torch_generator(0)), head, obs, action)
    replay = ReplayBuffer.of(1000, obs, action, seed=0)
    collector = Collector(
        *(envs, action, replay),
        env_seed=1,
        action_seed=2,
        learning_starts=4,
        next_step_autoreset=autoreset == "next_step",
        overlap=overlap,
    )
    return collector, replay, policy


def assert_rows_are_steps(replay: ReplayBuffer) -> None:
    """Every next_obs is one step later, in the same episode, and the reward is its step."""
    count = len(replay)
    obs, next_obs = (field[:count].numpy() for field in (replay.store.obs, replay.store.next_obs))
    assert count >= 20
    np.testing.assert_array_equal(next_obs, obs + np.float32([0.0, 1.0]))
    np.testing.assert_array_equal(replay.store.reward[:count].numpy(), next_obs[:, 1])


@KINDS
@MODES
@ENDS
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_transition_ends_where_its_own_episode_does(
    kind: type[OneArray], autoreset: str, truncates: bool, vectorization: str
) -> None:
    options = {"autoreset": autoreset, "vectorization": vectorization, "kwargs": {"truncates": truncates}}
    envs = env_config(kind, **options).build_vector(2)
    collector, replay, policy = collector_of(envs, autoreset)
    collector.collect(policy, 14)
    envs.close()
    assert_rows_are_steps(replay)


@KINDS
def test_so_it_does_where_the_envs_step_in_a_thread(kind: type[OneArray]) -> None:
    envs = env_config(kind, kwargs={"truncates": True}).build_vector(2)
    collector, replay, policy = collector_of(envs, "same_step", overlap=True)
    collector.collect(policy, 14)
    collector.close()
    assert_rows_are_steps(replay)


def test_so_it_does_with_a_vector_env_that_returns_one_array() -> None:
    envs = SyncVectorEnv([Clock, Clock], copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    collector, replay, policy = collector_of(envs, "same_step")
    collector.collect(policy, 14)
    assert_rows_are_steps(replay)


def test_first_observations_of_envs_that_share_an_array_are_their_own() -> None:
    made: list[SharedArray] = []

    def make() -> SharedArray:
        made.append(SharedArray())
        made[-1].episode = 10 * len(made)
        return made[-1]

    envs = env_config(make).build_vector(3)
    assert envs.reset(seed=0)[0].tolist() == [[11.0, 0.0], [21.0, 0.0], [31.0, 0.0]]


@pytest.mark.parametrize("below", [[], [{"name": f"{__name__}.Rewrites"}]], ids=["env", "wrapper"])
@pytest.mark.parametrize("kind", [OneArray, SharedArray])
def test_a_wrapper_that_keeps_observations_keeps_different_ones(kind: type[OneArray], below: Any) -> None:
    options = {"wrappers": [*below, FRAMES], "allowed_prefixes": [__name__.partition(".")[0]]}
    env = env_config(kind, **options).build()
    assert env.reset()[0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert env.step(0)[0].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert env.step(0)[0].tolist() == [[0.0, 1.0], [0.0, 2.0]]


def test_what_a_single_env_returned_stays_as_it_was() -> None:
    env = env_config(OneArray).build()
    first = env.reset()[0]
    second = env.step(0)[0]
    env.step(0)
    assert (first.tolist(), second.tolist()) == ([0.0, 0.0], [0.0, 1.0])


class Split(SharedArray):
    """The first action decides the return: 0 is right where the observation says that its env is number 0."""

    def __init__(self) -> None:
        super().__init__(length=2)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.number = (seed or 0) % 2
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        obs, _, terminated, truncated, info = super().step(action)
        return obs, float(action == self.number), terminated, truncated, info

    def _obs(self) -> Any:
        self.shared[:] = 1.0 - 2.0 * self.number, 0.0
        return self.shared


def test_evaluated_envs_that_share_an_array_are_acted_in_by_their_own_observations() -> None:
    env = Split()
    policy = SACModule(obs_spec(env.observation_space), action_spec(env.action_space)).policy
    with torch.no_grad():
        for weight in policy.actor.parameters():
            weight.zero_()
        # relu(x) and relu(−x) of the first number reach the two logits.
        first, *others = [*policy.actor.torso.linear, policy.actor.output]
        first.weight[0, 0, :2] = torch.tensor([1.0, -1.0])  # [N, in, out]
        for linear in others:
            linear.weight[0, 0, 0] = linear.weight[0, 1, 1] = 1.0
    returns = Evaluator(env_config(Split).build, range(4)).run(policy).returns
    assert returns == (2.0, 2.0, 2.0, 2.0)


@pytest.mark.parametrize("kind", [OneArray, SharedArray])
def test_exported_episodes_are_the_env_s(kind: type[OneArray], tmp_path: Any) -> None:
    envs = env_config(kind, kwargs={"truncates": True}).build_vector(1)
    collector, replay, policy = collector_of(envs, "same_step")
    collector.collect(policy, 12)
    manifest = Journal(tmp_path).save(replay)
    specs = obs_spec(envs.single_observation_space), action_spec(envs.single_action_space)
    state = {"journal": manifest, "replay": replay.state_dict()}
    cut = episodes(read_rows(state, tmp_path, specs))
    assert [list(each.rows) for each in cut] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [each.ends for each in cut] == ["truncated"] * 4
