"""Envs of one's own, envs whose state nobody knows, and states that do not fit."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sac_lightning.envs import CheckedVectorEnv, EnvConfig, EnvError
from sac_lightning.envs.snapshot.serialize import from_checkpoint, plain, to_checkpoint
from sac_lightning.envs.snapshot.state import capture, guarantee, obstacle, restore

from ..counter import Counter

BOTH = pytest.mark.parametrize("vectorization", ["sync", "async"])
pytestmark = [pytest.mark.timeout(60), pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")]


class Walk(gym.Env[Any, Any]):
    """A random walk that can be captured."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, says: Any = None) -> None:
        self.place, self.says = 0.0, says

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += self.np_random.normal() * (1 + action)
        return np.array([self.place], np.float32), self.place, abs(self.place) > 4, False, {}

    def capture_state(self) -> dict[str, Any]:
        if isinstance(self.says, Exception):
            raise self.says
        return {"place": self.place} if self.says is None else self.says

    def restore_state(self, state: dict[str, Any]) -> None:
        self.place = state["place"]


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("wheel", lambda: None)


def build(make: Any, num_envs: int = 2, vectorization: str = "sync", **options: Any) -> CheckedVectorEnv:
    config = EnvConfig(id="Walk", make=make, vectorization=vectorization, **options)
    return config.build_vector(num_envs)


@BOTH
def test_an_env_with_hooks_goes_on(vectorization: str) -> None:
    envs, fresh = (build(Walk, 3, vectorization, autoreset="next_step") for _ in range(2))
    envs.reset(seed=0)
    action = np.array([0, 1, 0])
    for _ in range(20):
        envs.step(action)
    state = capture(envs)
    assert state is not None
    restore(fresh, state)
    for _ in range(50):
        run, again = envs.step(action), fresh.step(action)
        assert all(np.array_equal(a, b) for a, b in zip(run[:4], again[:4], strict=True))
    envs.close()
    fresh.close()


@BOTH
def test_an_unknown_env_restarts_its_episode(vectorization: str) -> None:
    envs = build(Counter, 2, vectorization)
    envs.reset(seed=0)
    assert guarantee(envs) == "episode-restart"
    assert obstacle(envs) == f"{Counter.__module__}.Counter"
    assert capture(envs) is None
    envs.step(np.zeros(2, dtype=np.int64))  # still alive
    envs.close()


def test_a_subclass_of_a_known_env_is_unknown() -> None:
    from gymnasium.envs.classic_control import CartPoleEnv

    class Windy(CartPoleEnv):
        wind = 0.0

    assert guarantee(build(Windy)) == "episode-restart"


def test_a_wrapper_around_a_function_is_unknown() -> None:
    envs = build(lambda: gym.wrappers.TransformReward(Walk(), lambda reward: reward))
    assert obstacle(envs) == "gymnasium.wrappers.transform_reward.TransformReward"


def test_box2d_restarts_its_episode() -> None:
    pytest.importorskip("Box2D")
    envs = EnvConfig(id="LunarLander-v3").build_vector(1)
    assert guarantee(envs) == "episode-restart"


@BOTH
@pytest.mark.parametrize(
    ("says", "message"),
    [
        (Unpicklable(), "the state of .*Walk cannot be captured"),
        ({"world": object()}, r"Walk\.world is a object, which a checkpoint cannot contain"),
        ({"names": np.array(["a"])}, r"Walk\.names is a ndarray"),
        ({1: 2}, "Walk is a dict"),
    ],
)
def test_a_hook_that_fails_is_named_and_the_envs_live_on(vectorization: str, says: Any, message: str) -> None:
    envs = build(lambda: Walk(says), 2, vectorization)
    envs.reset(seed=0)
    with pytest.raises(EnvError, match=message):
        capture(envs)
    envs.step(np.zeros(2, dtype=np.int64))
    envs.close()


@BOTH
def test_a_state_that_does_not_fit_is_told(vectorization: str) -> None:
    envs = build(Walk, 2, vectorization)
    envs.reset(seed=0)
    state = capture(envs)
    assert state is not None
    with pytest.raises(EnvError, match="the state is of actors=2; this run has actors=0"):
        restore(envs, {"actors": [{}, {}]})  # of collector=ray
    for other, message in (
        (build(Walk, 3, vectorization), "num_envs=2; this run has num_envs=3"),
        (build(Walk, 2, vectorization, autoreset="next_step"), "autoreset=SameStep; this run has"),
        (
            build(Walk, 2, vectorization, max_episode_steps=5),
            r"the state is of .*Walk; this env is .*TimeLimit",
        ),
        (build(Counter, 2, vectorization), "Counter cannot be restored"),
    ):
        with pytest.raises(EnvError, match=message):
            restore(other, state)
        other.reset(seed=0)  # still alive
        other.close()
    with pytest.raises(EnvError, match="format 2"):
        restore(envs, {**state, "version": 2})
    envs.close()


def test_another_mujoco_model_is_told() -> None:
    pytest.importorskip("mujoco")
    envs = EnvConfig(id="HalfCheetah-v5").build_vector(1)
    state = capture(envs)
    assert state is not None
    physics = state["envs"][0]["layers"][-1]["state"]
    physics["integration"] = physics["integration"][:-1]
    with pytest.raises(EnvError, match="another version of MuJoCo"):
        restore(envs, state)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float64(np.nan),
        np.bool_(True),
        np.int64(-3),
        np.uint8(200),
        np.array(1.5),
        np.arange(6, dtype=np.int32).reshape(2, 3)[:, ::-1],
        np.zeros((0, 3), np.float16),
        2**127 + 1,
        -0.0,
        None,
        "ü",
        (1, [2.0, {"a": (np.float32(3),)}]),
    ],
    ids=repr,
)
def test_plain_data_comes_back_to_the_bit(value: Any) -> None:
    from .test_state import assert_same_bits, through_a_checkpoint

    back = from_checkpoint(through_a_checkpoint(to_checkpoint(plain(value, "x"))))
    assert repr(back) == repr(value)  # also for nan and -0.0
    if not isinstance(value, np.generic):
        assert_same_bits(back, value)


@BOTH
@pytest.mark.parametrize(("mode", "other"), [("same_step", "next_step"), ("next_step", "same_step")])
def test_the_autoreset_mode_is_not_read_from_shared_metadata(
    vectorization: str, mode: str, other: str
) -> None:
    # Before Gymnasium 1.4 the metadata are the env class's own: vector envs made later overwrite them.
    envs = build(Walk, 2, vectorization, autoreset=mode)
    envs.reset(seed=0)
    state = capture(envs)
    assert state is not None
    again = build(Walk, 2, vectorization, autoreset=mode)
    different = build(Walk, 2, vectorization, autoreset=other)
    again.env.metadata["autoreset_mode"] = different.env.metadata["autoreset_mode"]
    different.env.metadata["autoreset_mode"] = envs.env.metadata["autoreset_mode"]
    restore(again, state)
    with pytest.raises(EnvError, match="autoreset"):
        restore(different, state)
    for each in (envs, again, different):
        each.close()
