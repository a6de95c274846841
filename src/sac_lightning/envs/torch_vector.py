"""Vector envs whose observations, rewards and actions are torch tensors, as simulators on a GPU have them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.finite import LARGEST
from sac_lightning.envs.guard import EnvError, EnvStep, check_finite
from sac_lightning.envs.spaces import ObsRow, action_spec, obs_spec
from sac_lightning.spaces import BoxAction, DiscreteAction

# Where the last observations of episodes are: Gymnasium's and Isaac Lab's name, ManiSkill's name.
FINAL_OBS = ("final_obs", "final_observation")
NO_FINAL_OBS = (
    "an episode has ended, and info has no final_obs, the observations [E, ...] before the reset; "
    "of an env of Isaac Lab: set compute_final_obs=True in its config"
)
MOST_ENVS = 2**15 - 1  # their numbers are stored as int16


class TorchStep(NamedTuple):
    """Stores what a step of all envs returned; `next_obs` is `obs`, unless `obs` starts another episode."""

    obs: Shaped[Tensor, "E *obs"]
    reward: Float[Tensor, " E"]
    terminated: Bool[Tensor, " E"]
    truncated: Bool[Tensor, " E"]
    next_obs: Shaped[Tensor, "E *obs"]
    over: Bool[np.ndarray, " E"]  # terminated or truncated


class TorchVectorEnv:
    """Steps a vector env of tensors, gives each observation as one tensor, and names a step that fails.

    The vector env has `num_envs`, `single_observation_space`, `single_action_space`,
    `reset(seed=) -> (obs, info)` and `step(action) -> (obs, reward, terminated, truncated, info)`, all
    tensors [E, ...] on one device. It resets an env within the step that ends its episode, and gives the
    observations before the reset, [E, ...], in `info["final_obs"]` or `info["final_observation"]`. A Dict of
    observations becomes rows, as ObsRow has them. With `capture_state() -> dict` (of tensors, numbers, text,
    lists and dicts) and `restore_state(state)`, which gets its tensors on the CPU, its episodes continue when
    a run is resumed.

    Args:
        env: the vector env.
        name: what messages call it.
        num_envs: E that it must have.
        critic_only: keys of the observations that the actor does not see.
    """

    def __init__(self, env: Any, name: str, num_envs: int, critic_only: Sequence[str] = ()) -> None:
        self.env, self.name, self.num_envs = env, name, num_envs
        self.env_steps = 0
        self._closed = False
        allowed = f"its vector env has {getattr(env, 'num_envs', None)} envs: take num_envs as an argument"
        require(getattr(env, "num_envs", None) == num_envs, "num_envs", num_envs, allowed)
        space = env.single_observation_space
        if isinstance(space, spaces.Dict) or critic_only:
            space = ObsRow(space, critic_only=critic_only)
            ok = all("/" not in part.name and not part.choices for part in space.parts)
            require(ok, "env.id", name, f"a Dict of tensors must be a flat Dict of Boxes; this is {space}")
        self.single_observation_space, self.single_action_space = space, env.single_action_space
        self._obs = obs_spec(space)
        self._dtype = getattr(torch, self._obs.dtype)
        action = action_spec(self.single_action_space)
        allowed = "with env.vectorization=torch actions must be a Box of floats or a Discrete"
        require(isinstance(action, BoxAction | DiscreteAction), "env.id", name, f"has {action}; {allowed}")
        self._device = torch.device("cpu")  # the env's, known from its first observations

    def reset(self, seed: int | None = None) -> Shaped[Tensor, "E *obs"]:
        """Returns the first observations of new episodes. Raises EnvError."""
        try:
            obs, _ = self.env.reset(seed=seed)
        except Exception as error:
            self._fail(error)
        rows = self._rows("reset", obs)
        self._device = rows.device
        self._check_finite(rows, rows, torch.zeros(1, device=rows.device))
        return rows

    def step(self, action: Shaped[Tensor, "E *action"]) -> TorchStep:
        """Steps all envs. Raises EnvError for what the env raises, and for numbers that cannot be used."""
        self.env_steps += self.num_envs
        try:
            seen, reward, terminated, truncated, info = self.env.step(action.to(self._device))
        except Exception as error:
            self._fail(error)
        obs = next_obs = self._rows("step", seen)
        reward, terminated, truncated = (
            self._tensor(what, each, ())
            for what, each in (("reward", reward), ("terminated", terminated), ("truncated", truncated))
        )
        ends = terminated.bool() | truncated.bool()
        over = ends.cpu().numpy()
        if over.any():
            final = next((info[key] for key in FINAL_OBS if key in info), None)
            if final is None:
                self._refuse(NO_FINAL_OBS)
            last = self._rows("final_obs", final)
            next_obs = torch.where(ends.view(-1, *[1] * (obs.ndim - 1)), last, obs)
        self._check_finite(obs, next_obs, reward)
        return TorchStep(obs, reward.float(), terminated.bool(), truncated.bool(), next_obs, over)

    def close(self) -> None:
        """Closes the vector env. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self.env.close()

    abandon = close

    def obstacle(self) -> str | None:
        """Returns the name of the vector env's class where its state cannot be captured; else None."""
        env = getattr(self.env, "unwrapped", self.env)
        hooks = (getattr(env, hook, None) for hook in ("capture_state", "restore_state"))
        return None if all(map(callable, hooks)) else f"{type(env).__module__}.{type(env).__qualname__}"

    def capture(self) -> dict[str, Any]:
        """Returns the vector env's state, for a checkpoint. Raises EnvError for what has no place there."""
        state = getattr(self.env, "unwrapped", self.env).capture_state()
        return {"env": self._kept(state, "state"), "env_steps": self.env_steps, "num_envs": self.num_envs}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues where `capture` was called. Raises EnvError for another number of envs."""
        if (saved := state["num_envs"]) != self.num_envs:
            raise EnvError(
                f"{self.name}: the state is of num_envs={saved}; this run has num_envs={self.num_envs}"
            )
        getattr(self.env, "unwrapped", self.env).restore_state(self._kept(state["env"], "state"))
        self.env_steps = state["env_steps"]

    def _kept(self, value: Any, where: str) -> Any:
        """Returns a copy that shares no tensor with `value`, on the CPU."""
        if isinstance(value, Tensor):
            return value.detach().cpu().clone()
        if isinstance(value, dict) and all(type(key) is str for key in value):
            return {key: self._kept(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._kept(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise EnvError(f"{self.name}: {where} is a {type(value).__name__}, which a checkpoint cannot contain")

    def _rows(self, what: str, obs: Any) -> Tensor:
        """Returns a copy of observations, as they are stored: an env may use one tensor again and again."""
        if isinstance(self.single_observation_space, ObsRow) and isinstance(obs, Mapping):
            parts = [
                self._tensor(f"{what}: {part.name}", obs.get(part.name), part.shape)
                for part in self.single_observation_space.parts
            ]
            return torch.cat([each.reshape(self.num_envs, -1) for each in parts], 1).to(self._dtype)
        return self._tensor(what, obs, self._obs.shape).to(self._dtype, copy=True)

    def _tensor(self, what: str, value: Any, shape: tuple[int, ...]) -> Tensor:
        expected = (self.num_envs, *shape)
        if not isinstance(value, Tensor):
            self._refuse(f"{what} is a {type(value).__name__}, and must be a tensor {list(expected)}")
        if value.shape != expected:
            self._refuse(f"{what} has the shape {list(value.shape)}, and must have {list(expected)}")
        return value.detach()

    def _check_finite(self, obs: Tensor, next_obs: Tensor, reward: Tensor) -> None:
        floats = [each for each in (obs, next_obs, reward) if each.is_floating_point()]
        # NaN is no number up to anything, and the largest of numbers with NaN is NaN.
        if all(float(each.abs().amax()) <= LARGEST for each in floats):
            return
        rows = [each.cpu().numpy() for each in (obs, next_obs, reward)]
        problem = check_finite(rows[0], rows[2]) or check_finite(rows[1])
        if problem is not None:
            self._refuse(problem)

    def _refuse(self, problem: str) -> NoReturn:
        raise EnvError(f"{self.name}: {problem}, at env step {self.env_steps}")

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, EnvError | ConfigError):
            raise error
        where = f"at env step {self.env_steps}"
        raise EnvError(f"{self.name} raised {type(error).__name__}: {error}, {where}") from error


class SingleTorchEnv(gym.Env[Any, Any]):
    """Shows a vector env of tensors that has one env as an ordinary env, for evaluations.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], TorchVectorEnv]) -> None:
        self._envs = make()
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._envs.reset(seed)[0].cpu().numpy(), {}

    @torch.no_grad()
    def step(self, action: Any) -> EnvStep:
        step = self._envs.step(torch.from_numpy(np.array(action)[None]))
        ends = bool(step.terminated[0]), bool(step.truncated[0])
        return step.next_obs[0].cpu().numpy(), float(step.reward[0]), *ends, {}

    def close(self) -> None:
        self._envs.close()
