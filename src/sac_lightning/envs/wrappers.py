"""Wrappers around an env: those that a config names, and those that this package puts around every env."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, vector

from sac_lightning.core.errors import ConfigError, did_you_mean, require
from sac_lightning.envs.guard import Array, Env, EnvStep
from sac_lightning.envs.registry import allowed_import
from sac_lightning.envs.spaces import FlatHybrid, ObsRow, action_spec

KEY = "env.wrappers"
SYNTAX = "each wrapper is written {name: ClassName, argument: value, ...}"
ACTION_MASK = "action_mask"  # in infos
RAW_REWARD = "sac_lightning/raw_reward"  # in infos

NORMALIZING = (NormalizeObservation, NormalizeReward, vector.NormalizeObservation, vector.NormalizeReward)
# Attributes of an object that keeps a running mean and spread, whoever wrote it.
SPREAD = {"var", "variance", "std", "m2", "s"}
COUNT = {"count", "n", "num_samples"}
REFUSED = (
    "keeps running statistics, and evaluation would have statistics of its own, other than training's: "
    "leave it out and set normalization/obs=running or normalization/reward=return_variance, whose "
    "statistics belong to the module, or scale by fixed numbers (RescaleObservation)"
)

# --- wrappers that a config names --------------------------------------------------------------------


def check_wrapper(wrapper: Any, allowed_prefixes: Sequence[str] = ()) -> None:
    """Raises ConfigError unless `wrapper` names a class and arguments that it takes."""
    cls, kwargs = _class_and_kwargs(wrapper, allowed_prefixes)
    try:
        inspect.signature(cls).bind(None, **kwargs)
    except TypeError as error:
        raise ConfigError(KEY, wrapper["name"], f"cannot be made with {kwargs}: {error}") from error


def wrap(env: Env, wrapper: Mapping[str, Any], allowed_prefixes: Sequence[str] = ()) -> Env:
    """Returns `env` inside the wrapper. Raises ConfigError when it refuses its arguments or the env."""
    cls, kwargs = _class_and_kwargs(wrapper, allowed_prefixes)
    try:
        wrapped = cls(env, **kwargs)
    except (TypeError, ValueError, AssertionError, AttributeError, DependencyNotInstalled) as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(KEY, wrapper["name"], f"cannot wrap this env with {kwargs}: {reason}") from error
    refuse_statistics(wrapped, KEY, wrapper["name"])
    return wrapped


def refuse_statistics(env: Env, key: str, name: str) -> None:
    """Raises ConfigError on `key` where a wrapper in `env` keeps running statistics."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, NORMALIZING) or any(map(_has_statistics, _attributes(layer))):
            wrapper = type(layer).__name__
            reason = REFUSED if wrapper == name.rpartition(".")[2] else f"its wrapper {wrapper} {REFUSED}"
            raise ConfigError(key, name, reason)
        layer = layer.env


def _class_and_kwargs(
    wrapper: Any, allowed_prefixes: Sequence[str]
) -> tuple[type[gym.Wrapper[Any, Any, Any, Any]], dict[str, Any]]:
    """Returns the class of gymnasium.wrappers, or at the dotted path, that `wrapper` names; its arguments."""
    if not isinstance(wrapper, Mapping):
        raise ConfigError(KEY, wrapper, SYNTAX)
    kwargs = dict(wrapper)
    name = kwargs.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError(KEY, name, SYNTAX)
    module_name, _, class_name = name.rpartition(".")
    module = allowed_import(module_name or "gymnasium.wrappers", KEY, allowed_prefixes)
    try:
        found = getattr(module, class_name, None)
    except (ImportError, DependencyNotInstalled) as error:
        raise ConfigError(KEY, name, f"something it needs is not installed ({error})") from error
    bases = found.__mro__ if isinstance(found, type) else ()
    if {*NORMALIZING} & {*bases} or "VecNormalize" in [base.__name__ for base in bases]:
        raise ConfigError(KEY, name, REFUSED)
    if not (isinstance(found, type) and issubclass(found, gym.Wrapper)):
        hint = did_you_mean(class_name, getattr(module, "__all__", None) or dir(module))
        own = "" if module_name else f" For a wrapper of your own, write its package too: my_package.{name}"
        raise ConfigError(KEY, name, f"{module.__name__} has no such wrapper.{hint}{own}")
    return found, kwargs


def _attributes(layer: gym.Wrapper[Any, Any, Any, Any]) -> Iterable[Any]:
    """Yields the wrapper itself, its attributes and the values of its dicts, which often keep statistics."""
    yield layer
    for name, value in vars(layer).items():
        if name != "env":
            yield from value.values() if isinstance(value, dict) else (value,)


def _has_statistics(value: Any) -> bool:
    names = {name.strip("_").lower() for name in getattr(value, "__dict__", {})}
    return "mean" in names and bool(names & SPREAD) and bool(names & COUNT)


# --- flat observations and actions -------------------------------------------------------------------


class CopyObservation(gym.ObservationWrapper[Any, Any, Any]):
    """Returns copies: many envs write every observation into one array of theirs.

    It lies around the env and around each wrapper, since a wrapper may keep what it was given
    (FrameStackObservation does) and may have an array of its own as well.
    """

    def observation(self, observation: Any) -> Any:
        return np.array(observation) if isinstance(observation, np.ndarray) else deepcopy(observation)


class FlatObservations(gym.ObservationWrapper[Any, Any, Any]):
    """Returns the rows of an ObsRow: the observations that a policy reads where the env has no Box."""

    def __init__(
        self,
        env: Env,
        mask: str | None = None,
        choices: tuple[int, ...] = (),
        critic_only: Sequence[str] = (),
    ) -> None:
        super().__init__(env)
        self._row = self.observation_space = ObsRow(env.observation_space, mask, choices, critic_only)

    def observation(self, observation: Any) -> Array:
        return self._row.row(observation)


class MaskInObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Makes info["action_mask"] a key of Dict observations, so that a transition has both states' masks.

    A terminated episode's last info may have none. A mask of several choices may be a tuple of theirs.
    """

    def __init__(self, env: Env, choices: tuple[int, ...]) -> None:
        super().__init__(env)
        space, self._size = env.observation_space, sum(choices)
        self._is_dict = isinstance(space, spaces.Dict)
        own = space.spaces if isinstance(space, spaces.Dict) else {"obs": space}
        self.observation_space = spaces.Dict({**own, ACTION_MASK: spaces.MultiBinary(self._size)})

    def step(self, action: Any) -> EnvStep:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(obs, info, needed=not terminated), reward, terminated, truncated, info

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**kwargs)
        return self._with_mask(obs, info, needed=True), info

    def _with_mask(self, obs: Any, info: Mapping[str, Any], needed: bool) -> dict[str, Any]:
        if needed and ACTION_MASK not in info:
            raise ValueError(f"info has no {ACTION_MASK}, and env.action_mask=info needs one")
        mask = info.get(ACTION_MASK, np.ones(self._size))
        mask = np.concatenate([np.ravel(each) for each in (mask if isinstance(mask, tuple) else (mask,))])
        if len(mask) != self._size:
            raise ValueError(f"{ACTION_MASK} has {len(mask)} numbers, for {self._size} actions")
        return {**(obs if self._is_dict else {"obs": obs}), ACTION_MASK: mask}


def flatten_observations(env: Env, mask: str | None = None, critic_only: Sequence[str] = ()) -> Env:
    """Returns `env` with Box observations, which contain the action mask that `env.action_mask` names.

    Its actions must be flat. The keys `critic_only` come last. Raises ConfigError for a space that is not
    supported.
    """
    if mask is None:
        is_row = isinstance(env.observation_space, spaces.Box) and not critic_only
        return env if is_row else FlatObservations(env, critic_only=critic_only)
    choices = action_spec(env.action_space).choices
    require(len(choices) > 0, "env.action_mask", mask, f"is for choices; the env has {env.action_space}")
    if mask == "info":
        env, mask = MaskInObservation(env, choices), ACTION_MASK
    return FlatObservations(env, mask, choices, critic_only)


class FlatActions(gym.ActionWrapper[Any, Any, Any]):
    """Takes rows of a FlatHybrid space and gives the env the Tuple or Dict that they mean."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        space: Any = env.action_space
        self.action_space = FlatHybrid(space)

    def action(self, action: Array) -> Any:
        """Returns the action of the env's own space that the row `[1 + A]` means."""
        return _fill(self.env.action_space, round(float(action[0])), iter(np.asarray(action)[1:]))


def flatten_actions(env: Env) -> Env:
    """Returns `env` with a flat action space. Raises ConfigError for an unsupported Tuple or Dict."""
    return FlatActions(env) if isinstance(env.action_space, spaces.Tuple | spaces.Dict) else env


def _fill(space: Any, choice: int, numbers: Iterator[Any]) -> Any:
    """Returns an element of `space` that takes its numbers from `numbers`, in the order of FlatHybrid."""
    if isinstance(space, spaces.Tuple):
        return tuple(_fill(part, choice, numbers) for part in space.spaces)
    if isinstance(space, spaces.Dict):
        return {key: _fill(part, choice, numbers) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(space.start + choice)
    own = [next(numbers) for _ in range(int(np.prod(space.shape)))]
    # A row from elsewhere may be of another dtype, and a bound lie between two of its numbers.
    return np.clip(np.asarray(own, space.dtype).reshape(space.shape), space.low, space.high)


# --- the env's own rewards, for the reported returns -------------------------------------------------


class RewardMeter(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the env's rewards: a wrapper above may step it several times for one step of its own."""

    total: float = 0.0

    def step(self, action: Any) -> EnvStep:
        result = self.env.step(action)
        self.total += float(result[1])
        return result


class ShowRawReward(gym.Wrapper[Any, Any, Any, Any]):
    """Puts into the info of each step what `meter`, a wrapper further in, has added up in it."""

    def __init__(self, env: Env, meter: RewardMeter) -> None:
        super().__init__(env)
        self._meter = meter

    def step(self, action: Any) -> EnvStep:
        obs, reward, terminated, truncated, info = self.env.step(action)
        raw, self._meter.total = self._meter.total, 0.0
        return obs, reward, terminated, truncated, {**info, RAW_REWARD: raw}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; steps that a wrapper takes for that are not counted."""
        result = self.env.reset(**kwargs)
        self._meter.total = 0.0
        return result


def add_reward_meter(env: Env) -> tuple[Env, RewardMeter]:
    """Returns `env` with a meter around it, or below its innermost RewardWrapper where it has one."""
    layer, innermost = env, None
    while isinstance(layer, gym.Wrapper):
        innermost = layer if isinstance(layer, gym.RewardWrapper) else innermost
        layer = layer.env
    if innermost is None:
        meter = RewardMeter(env)
        return meter, meter
    innermost.env = meter = RewardMeter(innermost.env)
    return env, meter


def raw_reward(reward: Any, info: Mapping[str, Any]) -> float:
    """Returns the env's own reward of a step that returned `reward` and `info`."""
    return float(info.get(RAW_REWARD, reward))


def raw_rewards(reward: Array, info: Mapping[str, Any]) -> Array:
    """Returns the envs' own rewards [E] of a step of a vector env that returned `reward` [E] and `info`."""
    raw = reward
    for each in (info, info.get("final_info", {})):  # SAME_STEP keeps an episode's last info apart
        if RAW_REWARD in each:
            raw = np.where(each[f"_{RAW_REWARD}"], each[RAW_REWARD], raw)
    return raw
