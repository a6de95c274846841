"""A Tuple or Dict of actions: flat for everyone but the env."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sac_lightning import ConfigError, EnvConfig
from sac_lightning.envs import action_spec
from sac_lightning.spaces import BoxAction, HybridAction, MultiDiscreteAction

PAIR = spaces.Tuple((spaces.Discrete(3, start=5), spaces.Box(-2.0, 4.0, (2,))))
NESTED = spaces.Dict(
    {
        "move": spaces.Tuple((spaces.Box(0.0, 1.0, (1, 2), np.float64), spaces.Box(-1.0, 1.0, (1,)))),
        "what": spaces.Discrete(2),
    }
)


class Keeps(gym.Env[Any, Any]):
    """Keeps the actions that it is given, if they are of its space."""

    def __init__(self, action: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = spaces.Box(-1.0, 1.0, (1,)), action
        self.given: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.given.append(action)
        return np.zeros(1, np.float32), 0.0, False, False, {}


def config(space: gym.Space[Any], **options: Any) -> EnvConfig:
    return EnvConfig(id="keeps", make=lambda: Keeps(space), **options)


def test_a_row_is_the_choice_and_then_the_numbers() -> None:
    env = config(PAIR).build()
    spec = action_spec(env.action_space)
    assert spec == HybridAction(3, BoxAction((-2.0, -2.0), (4.0, 4.0), (2,)))
    # Choice 1 of 5, 6, 7; numbers ½ and −1 of the unit box: 1 + 3·½ and −2.
    row = spec.to_env(np.array([[0.0, 1.0, 0.0, 0.5, -1.0]], np.float32))
    assert row.tolist() == [[1.0, 2.5, -2.0]]
    env.reset(seed=0)
    env.step(row[0])
    choice, numbers = env.unwrapped.given[0]
    assert choice == 6
    assert numbers.tolist() == [2.5, -2.0]


def test_a_nested_dict_is_filled_in_its_own_order() -> None:
    env = config(NESTED).build()
    spec = action_spec(env.action_space)
    assert spec == HybridAction(2, BoxAction((0.0, 0.0, -1.0), (1.0, 1.0, 1.0), (3,)))
    env.reset(seed=0)
    env.step(np.array([1.0, 0.25, 0.75, -0.5], np.float32))
    given = env.unwrapped.given[0]
    assert given["what"] == 1
    assert given["move"][0].tolist() == [[0.25, 0.75]]
    assert given["move"][1].tolist() == [-0.5]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("space", [PAIR, NESTED, spaces.MultiDiscrete([3, 2], start=[0, 4])])
def test_random_actions_reach_many_envs(space: gym.Space[Any], vectorization: str) -> None:
    made = config(space, vectorization=vectorization)
    spec = action_spec(made.build().action_space)
    envs = made.build_vector(3)
    try:
        envs.reset(seed=0)
        for seed in range(5):  # Keeps refuses what is not of its space
            envs.step(spec.to_env(spec.random(np.random.default_rng(seed), 3)))
    finally:
        envs.close()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), "one Discrete and at least one bounded Box"),
        (spaces.Tuple((spaces.Box(-1, 1, (1,)),)), "one Discrete and at least one bounded Box"),
        (
            spaces.Tuple((spaces.Discrete(2), spaces.Box(-np.inf, 1, (1,)))),
            "every number needs finite bounds",
        ),
        (spaces.Dict({"k": spaces.Discrete(2), "t": spaces.Text(3)}), "one Discrete and at least one"),
    ],
)
def test_what_cannot_be_flattened_is_refused(space: gym.Space[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config(space).build()
    assert caught.value.key == "env.id"


def test_declared_actions_are_compared_with_the_env_s() -> None:
    config(PAIR, action={"hybrid": [3, 2]}).build()
    config(spaces.MultiDiscrete([3, 2]), action={"multi_discrete": [3, 2]}).build()
    with pytest.raises(ConfigError, match=r"declare \{hybrid: \[3, 2\]\} or null"):
        config(PAIR, action={"hybrid": [2, 2]}).build()
    with pytest.raises(ConfigError, match=r"declare \{multi_discrete: \[3, 2\]\} or null"):
        config(spaces.MultiDiscrete([3, 2]), action={"discrete": 6}).build()


@pytest.mark.parametrize(
    "action", [{"hybrid": 3}, {"hybrid": [1, 2]}, {"multi_discrete": [1, 1]}, {"multi_discrete": []}]
)
def test_what_is_no_declaration_is_refused(action: Any) -> None:
    with pytest.raises(ConfigError, match="multi_discrete"):
        config(PAIR, action=action).build()


def test_multi_discrete_counts_from_its_starts_in_its_shape() -> None:
    spec = action_spec(spaces.MultiDiscrete([[2, 3], [2, 2]], start=[[1, 0], [0, -1]]))
    assert spec == MultiDiscreteAction((2, 3, 2, 2), (1, 0, 0, -1), (2, 2))
    # Joint index 23 is the last: choices 1, 2, 1, 1.
    assert spec.to_env(np.array([23, 0])).tolist() == [[[2, 2], [1, 0]], [[1, 0], [0, -1]]]


def test_many_joint_choices_travel_as_one_hot_vectors() -> None:
    spec = MultiDiscreteAction((20, 20), (0, 3), (2,))
    assert spec.row == ((40,), "float32")
    drawn = spec.random(np.random.default_rng(0), 500)
    assert (drawn.reshape(500, 2, 20).sum(-1) == 1).all()
    chosen = spec.to_env(drawn)
    assert chosen.shape == (500, 2)
    assert (chosen.min(0) == [0, 3]).all() and (chosen.max(0) == [19, 22]).all()
