"""Envs of one process, beside Gymnasium's own vector env."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sac_lightning.private.gymnasium import FastSyncVectorEnv

from .counter import Counter

MODES = pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])


def both(mode: AutoresetMode, num_envs: int, env_id: str, **arguments: Any) -> list[Any]:
    made = [lambda: gym.make(env_id, **arguments)] * num_envs
    return [cls(made, autoreset_mode=mode) for cls in (SyncVectorEnv, FastSyncVectorEnv)]


def same(some: Any, other: Any) -> bool:
    """Whether two answers of vector envs are equal, dtypes included."""
    if isinstance(some, dict):
        return some.keys() == other.keys() and all(same(some[key], other[key]) for key in some)
    if isinstance(some, tuple) or (isinstance(some, np.ndarray) and some.dtype == object):
        return all(same(a, b) for a, b in zip(some, other, strict=True))
    if isinstance(some, np.ndarray):
        return some.dtype == other.dtype and np.array_equal(some, other)
    return bool(some == other)


@MODES
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize(
    ("env_id", "arguments"),
    [
        ("CartPole-v1", {}),
        ("Pendulum-v1", {"max_episode_steps": 7}),
        ("HalfCheetah-v5", {"max_episode_steps": 5}),
    ],
)
def test_answers_as_gymnasium_does(
    mode: AutoresetMode, num_envs: int, env_id: str, arguments: dict[str, Any]
) -> None:
    theirs, ours = both(mode, num_envs, env_id, **arguments)
    assert same(theirs.reset(seed=1), ours.reset(seed=1))
    ours.action_space.seed(2)
    ended = 0
    for _ in range(100):
        actions = ours.action_space.sample()
        expected, answered = theirs.step(actions), ours.step(actions)
        assert same(expected, answered)
        ended += int((answered[2] | answered[3]).sum())
    assert ended >= 2 * num_envs
    assert same(theirs.reset(seed=3), ours.reset(seed=3))


def test_answers_stay_as_they_were() -> None:
    _, envs = both(AutoresetMode.SAME_STEP, 2, "Counter-v0", length=100)
    envs.reset(seed=0)
    first = envs.step(np.zeros(2, np.int64))
    first[0][0] = 77.0  # the caller's own: the envs read it nowhere
    second = envs.step(np.zeros(2, np.int64))
    assert second[0].tolist() == [[2.0], [2.0]]
    envs.reset(seed=0)
    assert first[0].tolist() == [[77.0], [1.0]] and second[0].tolist() == [[2.0], [2.0]]
    assert first[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((2, 3), np.float32), np.float32(1.0), np.zeros(1, np.float32)],
    ids=["2d", "one", "short"],
)
def test_an_observation_of_another_shape_is_refused(wrong: Any) -> None:
    space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    envs = FastSyncVectorEnv([lambda: Counter(observation_space=space, sample=space.sample())])
    envs.reset(seed=0)
    envs.envs[0].unwrapped.sample = wrong  # type: ignore[attr-defined]  # a Counter
    with pytest.raises(ValueError, match=r"shape .*, where \(3,\) is declared"):
        envs.step(np.zeros(1, np.int64))
