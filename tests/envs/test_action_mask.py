"""Where an env says which actions are allowed, each row of an observation contains the bits of its mask."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sac_lightning import EnvConfig
from sac_lightning.core.errors import ConfigError
from sac_lightning.envs import EnvError, obs_spec
from sac_lightning.spaces import ObsPart


class Told(gym.Env[Any, Any]):
    """Counts to 2; `mask` of the count is in the infos."""

    def __init__(self, action_space: gym.Space[Any], mask: Any, truncates: bool = False) -> None:
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space, self.mask, self.truncates = action_space, mask, truncates

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {"action_mask": self.mask(0)}

    def step(self, action: Any) -> Any:
        self.count += 1
        ends, found = self.count == 2, self.mask(self.count)
        info = {} if found is None else {"action_mask": found}
        return (
            np.full(1, self.count, np.float32),
            0.0,
            ends and not self.truncates,
            ends and self.truncates,
            info,
        )


def config(*args: Any, mask: str = "info", **options: Any) -> EnvConfig:
    return EnvConfig(id="told", make=lambda: Told(*args, **options), action_mask=mask)


def test_the_mask_of_infos_becomes_a_part_of_the_observation() -> None:
    env = config(spaces.Discrete(3), lambda count: [1, count, 0] if count < 2 else None).build()
    spec = obs_spec(env.observation_space)
    assert spec.parts == (ObsPart("action_mask", (3,), "bool", mask_of=(3,)), ObsPart("obs", (1,), "float32"))
    found = [env.reset()[0], env.step(0)[0], env.step(0)[0]]
    # After the end an env may say nothing more.
    assert [row.tolist() for row in found] == [[1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 2]]


def test_several_choices_have_a_mask_each_and_a_next_obs_has_its_own() -> None:
    pair = spaces.MultiDiscrete([2, 3])
    masks = [([1, 0], [1, 1, 0]), ([0, 1], [0, 0, 1]), ([1, 1], [0, 1, 0])]
    envs = config(pair, masks.__getitem__, truncates=True).build_vector(2)
    assert envs.reset()[0][0].tolist() == [1, 0, 1, 1, 0, 0]
    assert envs.step(np.zeros((2, 2), int))[0][1].tolist() == [0, 1, 0, 0, 1, 1]
    assert envs.step(np.zeros((2, 2), int))[-1]["final_obs"][0].tolist() == [1, 1, 0, 1, 0, 2]
    envs.close()


def test_a_key_of_the_observations_may_be_the_mask() -> None:
    space = spaces.Dict({"legal": spaces.Box(0, 1, (2,), np.int8), "x": spaces.Discrete(2)})

    class WithKey(Told):
        def __init__(self) -> None:
            super().__init__(spaces.Discrete(2), lambda count: None)
            self.observation_space = space

        def reset(self, **options: Any) -> Any:
            return {"legal": np.array([0, 1], np.int8), "x": 1}, {}

    env = EnvConfig(id="key", make=WithKey, action_mask="legal").build()
    assert env.reset()[0].tolist() == [0, 1, 1]
    assert [part.mask_of for part in obs_spec(env.observation_space).parts] == [(2,), ()]
    for mask, message in {
        "leagl": "env.action_mask=leagl: must be info, or a key of the observations: legal, x",
        "x": "env.action_mask=x: needs 2 bits, one for each action; this key has 1 numbers",
    }.items():
        with pytest.raises(ConfigError, match=message):
            EnvConfig(id="key", make=WithKey, action_mask=mask).build()


def test_a_mask_that_is_none_is_refused() -> None:
    box = spaces.Box(-1, 1, (1,))
    with pytest.raises(ConfigError, match=r"env\.action_mask=info: is for choices; the env has Box"):
        config(box, lambda count: [1]).build()
    with pytest.raises(EnvError, match="action_mask has 2 numbers, for 3 actions"):
        config(spaces.Discrete(3), lambda count: [1, 1]).build().reset()
    env = config(spaces.Discrete(3), lambda count: [1, 1, 1] if count < 1 else None).build()
    env.reset()
    with pytest.raises(EnvError, match=r"info has no action_mask, and env\.action_mask=info needs one"):
        env.step(0)
