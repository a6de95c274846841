"""Envs that are captured in the middle of a run go on, in fresh envs, bit for bit."""

import io
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from sac_lightning.envs import CheckedVectorEnv, EnvConfig
from sac_lightning.envs.snapshot.state import capture, guarantee, restore

CLASSIC = ["CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1"]
TOY_TEXT = ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"]
MUJOCO = ["HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid"]
MORE_MUJOCO = [
    *("HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum", "Pusher", "Reacher", "Swimmer"),
]
LENGTH = 25  # of an episode that does not end by itself
pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::UserWarning")]

Step = tuple[Any, ...]


def build(env_id: str, num_envs: int, vectorization: str, autoreset: str, **options: Any) -> CheckedVectorEnv:
    options = {"max_episode_steps": LENGTH, **options}
    config = EnvConfig(id=env_id, vectorization=vectorization, autoreset=autoreset, **options)
    return config.build_vector(num_envs)


def random_actions(envs: CheckedVectorEnv, steps: int) -> list[Any]:
    space = gym.vector.utils.batch_space(envs.single_action_space, envs.num_envs)
    space.seed(3)
    return [space.sample() for _ in range(steps)]


def roll(envs: CheckedVectorEnv, actions: list[Any]) -> list[Step]:
    return [envs.step(action) for action in actions]


def assert_same_bits(a: Any, b: Any, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray) and a.dtype != object:
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same_bits(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple | np.ndarray):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_same_bits(left, right, f"{where}[{i}]")
    else:
        assert a == b, where


def through_a_checkpoint(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_resumes(before: int, after: int, **how: Any) -> None:
    """Captured after `before` steps, the next `after` are the same in fresh envs, and in used ones."""
    envs, fresh = build(**how), build(**how)
    try:
        assert guarantee(envs) == "exact"
        actions = random_actions(envs, before + after)
        envs.reset(seed=5)
        roll(envs, actions[:before])
        state = capture(envs)
        assert state is not None
        run = roll(envs, actions[before:])

        restore(fresh, state)
        assert fresh.env_steps == before * fresh.num_envs
        assert_same_bits(roll(fresh, actions[before:]), run)
        restore(fresh, through_a_checkpoint(state))
        assert_same_bits(roll(fresh, actions[before:]), run)
    finally:
        envs.close()
        fresh.close()


@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("env_id", [*CLASSIC, *(f"{name}-v5" for name in MUJOCO)])
def test_a_run_goes_on(env_id: str, vectorization: str, num_envs: int, autoreset: str) -> None:
    how = {"num_envs": num_envs, "vectorization": vectorization, "autoreset": autoreset}
    assert_resumes(33, 200 if num_envs == 1 else 60, env_id=env_id, **how)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("before", [0, 1, LENGTH - 1, LENGTH, LENGTH + 1])
def test_a_run_goes_on_from_the_edges_of_an_episode(before: int, autoreset: str, vectorization: str) -> None:
    how = {"num_envs": 2, "vectorization": vectorization, "autoreset": autoreset}
    assert_resumes(before, 60, env_id="Pendulum-v1", **how)


@pytest.mark.parametrize("version", ["v4", "v5"])
@pytest.mark.parametrize("name", MUJOCO + MORE_MUJOCO)
def test_every_mujoco_env_goes_on(name: str, version: str) -> None:
    if (name, version) == ("Pusher", "v4"):
        pytest.skip("Gymnasium refuses Pusher-v4 with this MuJoCo")
    how = {"num_envs": 1, "vectorization": "sync", "autoreset": "same_step"}
    assert_resumes(40, 100, env_id=f"{name}-{version}", **how)


@pytest.mark.parametrize("env_id", TOY_TEXT)
def test_toy_text_goes_on(env_id: str) -> None:
    assert_resumes(40, 100, env_id=env_id, num_envs=2, vectorization="sync", autoreset="next_step")


WRAPPERS: list[dict[str, Any]] = [
    {"name": "FrameStackObservation", "stack_size": 3},
    {"name": "DelayObservation", "delay": 2},
    {"name": "TimeAwareObservation"},
    {"name": "MaxAndSkipObservation", "skip": 3},
    {"name": "StickyAction", "repeat_action_probability": 0.4, "repeat_action_duration": 3},
    {"name": "RepeatAction", "num_repeats": 2},
    {"name": "ClipAction"},
    {"name": "RescaleAction", "min_action": -2.0, "max_action": 0.5},
    {"name": "DtypeObservation", "dtype": np.float64},
    {"name": "ClipReward", "min_reward": -1.0, "max_reward": 0.0},
]


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda wrapper: wrapper["name"])
def test_wrappers_go_on(wrapper: dict[str, Any]) -> None:
    how = {"num_envs": 2, "vectorization": "sync", "autoreset": "next_step", "wrappers": [wrapper]}
    assert_resumes(LENGTH * 2 + 9, 80, env_id="Pendulum-v1", **how)


def test_wrappers_go_on_in_workers() -> None:
    wrappers = [WRAPPERS[0], WRAPPERS[1], WRAPPERS[2]]
    how = {"num_envs": 2, "vectorization": "async", "autoreset": "next_step", "wrappers": wrappers}
    assert_resumes(LENGTH, 80, env_id="CartPole-v1", **how)


def test_episode_statistics_go_on() -> None:
    how: dict[str, Any] = {"wrappers": [{"name": "RecordEpisodeStatistics", "buffer_length": 2}]}
    envs, fresh = (build("Pendulum-v1", 1, "sync", "same_step", **how) for _ in range(2))
    envs.reset(seed=0)
    actions = random_actions(envs, 100)
    roll(envs, actions[:60])
    state = capture(envs)
    assert state is not None
    restore(fresh, through_a_checkpoint(state))
    for each in (envs, fresh):
        roll(each, actions[60:])

    def recorded(name: str) -> list[Any]:
        return [each.env.get_attr(name)[0] for each in (envs, fresh)]

    for name in ("return_queue", "length_queue"):
        one, other = recorded(name)
        assert len(one) == other.maxlen == 2
        assert_same_bits(list(one), list(other))
    assert recorded("episode_count") == [4, 4]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Humanoid-v5"])
def test_capturing_does_not_disturb(env_id: str, vectorization: str) -> None:
    envs, undisturbed = (build(env_id, 2, vectorization, "next_step") for _ in range(2))
    try:
        actions = random_actions(envs, 80)
        envs.reset(seed=1)
        undisturbed.reset(seed=1)
        run = []
        for action in actions:
            capture(envs)
            run.append(envs.step(action))
        assert_same_bits(run, roll(undisturbed, actions))
    finally:
        envs.close()
        undisturbed.close()


def test_a_captured_state_is_a_copy() -> None:
    envs, fresh = (build("HalfCheetah-v5", 1, "sync", "same_step") for _ in range(2))
    envs.reset(seed=0)
    actions = random_actions(envs, 60)
    state = capture(envs)
    assert state is not None
    run = roll(envs, actions)
    restore(fresh, state)
    assert_same_bits(roll(fresh, actions), run)
    restore(fresh, state)  # neither run has written into it
    assert_same_bits(roll(fresh, actions), run)


@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
@pytest.mark.parametrize("order", [("sync", "async"), ("async", "sync")])
def test_a_state_moves_between_sync_and_async(order: tuple[str, str], autoreset: str) -> None:
    envs, other = (build("CartPole-v1", 2, vectorization, autoreset) for vectorization in order)
    try:
        envs.reset(seed=2)
        actions = random_actions(envs, 100)
        roll(envs, actions[:40])
        state = capture(envs)
        assert state is not None
        restore(other, state)
        run, again = roll(envs, actions[40:]), roll(other, actions[40:])
        # The two differ in the dtype of a reward that came with a reset, and in nothing else.
        for a, b in zip(run, again, strict=True):
            assert_same_bits(a[:4], b[:4])
    finally:
        envs.close()
        other.close()


@pytest.fixture
def spaces_drawn() -> Iterator[CheckedVectorEnv]:
    envs = build("Pendulum-v1", 1, "sync", "same_step")
    envs.reset(seed=0)
    envs.env.envs[0].action_space.seed(4)
    envs.action_space.seed(6)
    yield envs
    envs.close()


def test_the_generators_of_spaces_go_on(spaces_drawn: CheckedVectorEnv) -> None:
    state = capture(spaces_drawn)
    assert state is not None
    fresh = build("Pendulum-v1", 1, "sync", "same_step")
    restore(fresh, state)
    for of in (lambda e: e.action_space, lambda e: e.env.envs[0].action_space):
        assert_same_bits(of(fresh).sample(), of(spaces_drawn).sample())
