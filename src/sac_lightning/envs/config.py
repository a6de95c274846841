"""`EnvConfig`: everything that says which env is made and how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import TimeLimit

from sac_lightning.core.errors import ConfigError, as_whole, did_you_mean, require, whole
from sac_lightning.envs.catalogue import (
    check_id,
    check_installed,
    check_kwargs,
    check_render_mode,
    hear_mujoco,
    missing_dependency,
    split_id,
)
from sac_lightning.envs.guard import CheckedEnv, CheckedVectorEnv
from sac_lightning.envs.hybrid import flatten_actions
from sac_lightning.envs.imports import allowed_import
from sac_lightning.envs.making import made
from sac_lightning.envs.memory import CopyObservation
from sac_lightning.envs.raw_reward import ShowRawReward, metered
from sac_lightning.envs.spaces import check_declared, declared_action
from sac_lightning.envs.statistics import refuse_statistics
from sac_lightning.envs.vector import AUTORESET, VECTORIZATION, vector_env
from sac_lightning.envs.wrapping import check_wrapper, flatten_observations, wrap

Env = gym.Env[Any, Any]


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Which env, with which arguments and wrappers, and how many of them step together.

    id: a Gymnasium id such as "Pendulum-v1", or "my_package:MyEnv-v0", whose module is imported first (with
        `make`, only the name that messages show).
    kwargs: arguments of the env's constructor (of `make`, where given).
    wrappers: applied in order, each `{name: ClassName, **arguments}`; a bare name means a class of
        gymnasium.wrappers, a dotted path must lie under an allowed prefix. Returns that are shown are
        those of the env's own rewards, below these wrappers and below every RewardWrapper.
    vectorization: "sync" steps the envs in this process, "async" in a worker process each.
    autoreset: "same_step" answers an episode's end with the next episode's first observation (the
        last one is in `info["final_obs"]`); "next_step" spends a step on the reset.
    max_episode_steps: the time limit in steps; None keeps the registered one.
    render_mode: Gymnasium's, such as "rgb_array", for wrappers and envs that need pictures; null for none.
    make: your own factory, for use as a library.
    imports: modules imported first, so that they register their ids.
    action: the declared action space, `{box: A}`, `{discrete: n}`, `{multi_discrete: [n, …]}` or
        `{hybrid: [n, A]}`, checked when the env is made.
    allowed_prefixes: packages that `id`, `imports` and `wrappers` may name besides gymnasium and
        sac_lightning.
    """

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrappers: Sequence[Mapping[str, Any]] = ()
    vectorization: str = "sync"
    autoreset: str = "same_step"
    max_episode_steps: int | None = None
    render_mode: str | None = None
    make: Callable[..., Env] | None = None
    imports: Sequence[str] = ()
    action: Mapping[str, Any] | None = None
    allowed_prefixes: Sequence[str] = ()

    def __post_init__(self) -> None:
        # Config containers become plain ones: envs test their arguments with isinstance, and workers
        # receive this object pickled.
        for name in ("kwargs", "wrappers", "imports", "action", "allowed_prefixes"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "max_episode_steps", as_whole(self.max_episode_steps))

    def check(self) -> None:
        """Raise ConfigError for whatever cannot work, without making an env.

        Imports `imports` and the module that defines the env; makes nothing.
        """
        self._check_options()
        self._import()
        if self.make is None:
            creator = check_installed(check_id(self._registered_id))
            check_kwargs(self.id, creator, self.kwargs)
            check_render_mode(self.id, creator, self.render_mode)
        for wrapper in self.wrappers:
            check_wrapper(wrapper, self.allowed_prefixes)
        declared_action(self.action)

    def build(self, render_mode: str | None = None) -> Env:
        """One env with its wrappers, flat Box observations, and errors that name it (EnvError).

        `render_mode` is put in the place of the configuration's. Raises EnvError when making it fails, and
        ConfigError when the env cannot be made from this configuration, or when its action
        space is not the declared one.
        """
        self.check()
        env = made(lambda: self._build(self.render_mode if render_mode is None else render_mode), self.id)
        return CheckedEnv(env, self.id)

    def build_vector(self, num_envs: int) -> CheckedVectorEnv:
        """`num_envs` envs as one, which raises EnvError naming the env and the step.

        Raises ConfigError as `build` does, and for `num_envs` below 1.
        """
        require(whole(num_envs) >= 1, "num_envs", num_envs, "a whole number of at least 1")
        self.check()
        return vector_env(self._build_in_worker, self.id, num_envs, self.vectorization, self.autoreset)

    def _check_options(self) -> None:
        for key, allowed in (("vectorization", VECTORIZATION), ("autoreset", tuple(AUTORESET))):
            value = getattr(self, key)
            hint = f"must be {' or '.join(allowed)}.{did_you_mean(str(value), allowed)}"
            require(value in allowed, f"env.{key}", value, hint)
        own = "is for use as a library: a function that makes an env"
        require(self.make is None or callable(self.make), "env.make", self.make, own)
        steps = self.max_episode_steps
        require(
            steps is None or whole(steps) >= 1,
            "env.max_episode_steps",
            steps,
            "null or a whole number of at least 1",
        )
        for key, kind in (
            ("kwargs", dict),
            ("wrappers", list),
            ("imports", list),
            ("allowed_prefixes", list),
        ):
            value = getattr(self, key)
            shape = "a mapping" if kind is dict else "a list"
            require(isinstance(value, kind), f"env.{key}", value, f"must be {shape}")

    @property
    def _registered_id(self) -> str:
        return split_id(self.id)[1]

    def _import(self) -> None:
        for module in self.imports:
            allowed_import(module, "env.imports", self.allowed_prefixes)
        if self.make is None:
            require(isinstance(self.id, str) and bool(self.id), "env.id", self.id, "name an env's id")
            first, _ = split_id(self.id)
            if first is not None:
                allowed_import(first, "env.id", self.allowed_prefixes)

    def _build_in_worker(self) -> Env:
        self._import()  # a worker that was not forked has registered nothing yet
        return self._build(self.render_mode)

    def _build(self, render_mode: str | None) -> Env:
        hear_mujoco()
        env = self._own(render_mode) if self.make is not None else self._registered(render_mode)
        refuse_statistics(env, "env.id", self.id)
        bare = env
        env, meter = metered(env)
        changed = bool(self.wrappers) or env is bare
        env = CopyObservation(env)
        for wrapper in self.wrappers:
            env = CopyObservation(wrap(env, wrapper, self.allowed_prefixes))
        env = flatten_observations(flatten_actions(env))
        env = ShowRawReward(env, meter) if changed else env
        check_declared(self.action, env.action_space)
        # Spaces seed themselves from the system's entropy; nothing of ours samples them, but a run that
        # does should be the same run each time.
        env.action_space.seed(0)
        env.observation_space.seed(0)
        return env

    def _registered(self, render_mode: str | None) -> Env:
        rendered: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        try:
            return gym.make(
                self._registered_id, max_episode_steps=self.max_episode_steps, **rendered, **self.kwargs
            )
        except (ImportError, DependencyNotInstalled) as error:
            raise missing_dependency(
                self.id, str(gym.registry[self._registered_id].entry_point), error
            ) from error
        except (TypeError, ValueError, AssertionError) as error:
            # Without arguments of ours it is the env's own bug, and its traceback should be seen.
            if not self.kwargs:
                raise
            reason = error.__cause__ or error
            raise ConfigError("env.kwargs", self.kwargs, f"{self.id} refuses them: {reason}") from error

    def _own(self, render_mode: str | None) -> Env:
        assert self.make is not None
        rendered: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        env = self.make(**rendered, **self.kwargs)
        return env if self.max_episode_steps is None else TimeLimit(env, self.max_episode_steps)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value
