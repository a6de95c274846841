"""`EnvConfig`: which env is made, and how."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import gymnasium as gym
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import TimeLimit

from sac_lightning.core.errors import ConfigError, did_you_mean, require, whole
from sac_lightning.core.fields import TEXT, Rule, Whole, check_fields
from sac_lightning.envs.guard import CheckedEnv, CheckedVectorEnv, Env, log_mujoco_warnings, make_named
from sac_lightning.envs.registry import (
    allowed_import,
    check_id,
    check_installed,
    check_kwargs,
    check_render_mode,
    draw_without_display,
    missing_dependency,
    split_id,
)
from sac_lightning.envs.spaces import check_declared, declared_action
from sac_lightning.envs.torch_vector import SingleTorchEnv, TorchVectorEnv
from sac_lightning.envs.vector import AUTORESET, VECTORIZATION, vector_env
from sac_lightning.envs.wrappers import (
    CopyObservation,
    ShowRawReward,
    add_reward_meter,
    check_wrapper,
    flatten_actions,
    flatten_observations,
    refuse_statistics,
    wrap,
)

# Wrappers of Gymnasium that repeat actions, and the argument that says how often; 4 by default.
ACTION_REPEATS = {"MaxAndSkipObservation": "skip", "AtariPreprocessing": "frame_skip"}

LIST = Rule(lambda value: isinstance(value, list), "a list")
MAPPING = Rule(lambda value: isinstance(value, dict), "a mapping")
KEYS = Rule(
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "a list of keys of the observations",
)
NO_IMAGES = "envs of torch tensors give no images: must be null"


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """Says which env to make, with which arguments and wrappers, and how envs step together.

    Args:
        id: a Gymnasium id such as "Pendulum-v1", or "my_package:MyEnv-v0", whose module is imported first
            (with `make`, only the name that messages show).
        kwargs: arguments of the env's constructor (of `make`, where given).
        wrappers: applied in order, each `{name: ClassName, **arguments}`; a bare name means a class of
            gymnasium.wrappers, a dotted path must lie under an allowed prefix. Returns that are shown are
            those of the env's own rewards, below these wrappers and below every RewardWrapper.
        vectorization: "sync" steps the envs in this process, "async" in a worker process each; with "torch"
            the id (or `make`) gives one vector env of `num_envs` envs, of torch tensors: see TorchVectorEnv.
        autoreset: "same_step" answers an episode's end with the next episode's first observation (the
            last one is in `info["final_obs"]`); "next_step" spends a step on the reset.
        max_episode_steps: the time limit in steps; None keeps the registered one.
        render_mode: Gymnasium's, such as "rgb_array", for wrappers and envs that need pictures; None for
            none.
        make: your own factory, for use as a library.
        game: a name that a config puts into `id`, as env=atari does; nothing else reads it.
        imports: modules imported first, so that they register their ids.
        action: the declared action space, `{box: A}`, `{discrete: n}`, `{multi_discrete: [n, …]}` or
            `{hybrid: [n, A]}`, checked when the env is made. MultiBinary(D) is `{multi_discrete: [2, …]}`.
        action_mask: "info" where `info["action_mask"]` says which actions are allowed, or the key of the
            observations that does; None where all actions always are.
        critic_only: keys of the observations that only the critics see. The policy acts without them.
        allowed_prefixes: packages that `id`, `imports` and `wrappers` may name besides gymnasium and
            sac_lightning.
    """

    id: str
    kwargs: Annotated[Mapping[str, Any], MAPPING] = field(default_factory=dict)
    wrappers: Annotated[Sequence[Mapping[str, Any]], LIST] = ()
    vectorization: str = "sync"
    autoreset: str = "same_step"
    max_episode_steps: Annotated[int | None, Whole("[1, inf)")] = None
    render_mode: str | None = None
    make: Callable[..., Any] | None = None
    game: str | None = None
    imports: Annotated[Sequence[str], LIST] = ()
    action: Mapping[str, Any] | None = None
    action_mask: str | None = None
    critic_only: Annotated[Sequence[str], KEYS] = ()
    allowed_prefixes: Annotated[Sequence[str], LIST] = ()

    def __post_init__(self) -> None:
        # Config containers become plain ones: envs test their arguments with isinstance, and workers
        # receive this object pickled.
        for name in ("kwargs", "wrappers", "imports", "action", "critic_only", "allowed_prefixes"):
            object.__setattr__(self, name, _plain(getattr(self, name)))

    def check(self) -> None:
        """Raises ConfigError for whatever cannot work, without making an env.

        Imports `imports` and the module that defines the env.
        """
        check_fields(self, "env")
        self._check_options()
        self._import()
        if self.make is None:
            creator = check_installed(check_id(self._registered_id, self._of_tensors), self._of_tensors)
            check_kwargs(self.id, creator, self.kwargs)
            check_render_mode(self.id, creator, self.render_mode)
        for wrapper in self.wrappers:
            check_wrapper(wrapper, self.allowed_prefixes)
        declared = declared_action(self.action)
        if self.action_mask is not None:
            TEXT.check("env.action_mask", self.action_mask, ", or null")
            ok = declared is None or len(declared.choices) > 0
            allowed = f"is for choices; the declared actions are {declared}"
            require(ok, "env.action_mask", self.action_mask, allowed)

    @property
    def time_limit(self) -> int | None:
        """Env steps after which an episode is cut off; None where this config knows no limit.

        Wrappers of Gymnasium that repeat actions divide it. Call `check` before: the id must be registered.
        """
        limit = self.max_episode_steps
        if limit is None and self.make is None:
            limit = gym.registry[self._registered_id].max_episode_steps
        for wrapper in self.wrappers:
            name = str(wrapper["name"]).rpartition(".")[2]
            if name == "TimeLimit":
                limit = int(wrapper["max_episode_steps"])
            elif name in ACTION_REPEATS and limit is not None:
                limit = max(1, limit // max(1, int(wrapper.get(ACTION_REPEATS[name], 4))))
        return limit

    def build(self, render_mode: str | None = None) -> Env:
        """Returns one env with its wrappers, flat Box observations, and errors that name it (EnvError).

        `render_mode` replaces the configuration's. Raises EnvError when making it fails, and ConfigError
        when the env cannot be made from this configuration, or when its action space is not the declared one.
        """
        self.check()
        mode = self.render_mode if render_mode is None else render_mode
        if self._of_tensors:
            require(mode is None, "env.render_mode", mode, NO_IMAGES)
            return CheckedEnv(make_named(self._build_single, self.id), self.id)
        return CheckedEnv(make_named(lambda: self._build(mode), self.id), self.id)

    def build_vector(self, num_envs: int) -> CheckedVectorEnv | TorchVectorEnv:
        """Returns `num_envs` envs as one, which raises EnvError naming the env and the step.

        Raises ConfigError as `build` does, and for `num_envs` below 1.
        """
        require(whole(num_envs) >= 1, "num_envs", num_envs, "a whole number of at least 1")
        self.check()
        if self._of_tensors:
            return make_named(partial(self._build_tensors, num_envs), self.id)
        return vector_env(self._build_in_worker, self.id, num_envs, self.vectorization, self.autoreset)

    def _check_options(self) -> None:
        for key, allowed in (("vectorization", VECTORIZATION), ("autoreset", tuple(AUTORESET))):
            value = getattr(self, key)
            hint = f"must be {' or '.join(allowed)}.{did_you_mean(str(value), allowed)}"
            require(value in allowed, f"env.{key}", value, hint)
        own = "is for use as a library: a function that makes an env"
        require(self.make is None or callable(self.make), "env.make", self.make, own)
        if self._of_tensors:
            usual = dict[str, Any](wrappers=[], autoreset="same_step", action_mask=None, render_mode=None)
            for key, needed in usual.items():
                hint = f"with env.vectorization=torch it must be {'null' if needed is None else needed}"
                require(getattr(self, key) == needed, f"env.{key}", getattr(self, key), hint)
            own = "set num_envs, which is passed to the env"
            require("num_envs" not in self.kwargs, "env.kwargs.num_envs", self.kwargs.get("num_envs"), own)

    @property
    def _of_tensors(self) -> bool:
        return self.vectorization == "torch"

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
        log_mujoco_warnings()
        if render_mode is not None:
            draw_without_display()
        rendered = {} if render_mode is None else {"render_mode": render_mode}
        env = self._make_own(rendered) if self.make is not None else self._make_registered(rendered)
        refuse_statistics(env, "env.id", self.id)
        bare = env
        env, meter = add_reward_meter(env)
        rewards_change = bool(self.wrappers) or env is bare
        env = CopyObservation(env)
        for wrapper in self.wrappers:
            env = CopyObservation(wrap(env, wrapper, self.allowed_prefixes))
        env = flatten_observations(flatten_actions(env), self.action_mask, self.critic_only)
        env = ShowRawReward(env, meter) if rewards_change else env
        check_declared(self.action, env.action_space)
        # Spaces seed themselves from the system's entropy; nothing of ours samples them, but a run that
        # does should be the same run each time.
        env.action_space.seed(0)
        env.observation_space.seed(0)
        return env

    def _build_single(self) -> Env:
        """Returns a vector env of one env as an ordinary env, with the time limit as far as it is known."""
        env: Env = SingleTorchEnv(partial(self._build_tensors, 1))
        return env if self.time_limit is None else TimeLimit(env, self.time_limit)

    def _build_tensors(self, num_envs: int) -> TorchVectorEnv:
        limit = {} if self.max_episode_steps is None else {"max_episode_steps": self.max_episode_steps}
        given: dict[str, Any] = {"num_envs": num_envs, **limit, **self.kwargs}
        if self.make is not None:
            env: Any = self.make(**given)
        else:
            with warnings.catch_warnings():  # of metadata about resets, which these envs need not have
                warnings.filterwarnings("ignore", ".*autoreset")
                env = gym.make_vec(self._registered_id, vectorization_mode="vector_entry_point", **given)
        made = TorchVectorEnv(env, self.id, num_envs, self.critic_only)
        check_declared(self.action, made.single_action_space)
        return made

    def _make_registered(self, rendered: Mapping[str, Any]) -> Env:
        env_id = self._registered_id
        try:
            return gym.make(env_id, max_episode_steps=self.max_episode_steps, **rendered, **self.kwargs)
        except (ImportError, DependencyNotInstalled) as error:
            raise missing_dependency(self.id, str(gym.registry[env_id].entry_point), error) from error
        except (TypeError, ValueError, AssertionError) as error:
            # Without arguments of ours it is the env's own bug, and its traceback should be seen.
            if not self.kwargs:
                raise
            reason = error.__cause__ or error
            raise ConfigError("env.kwargs", self.kwargs, f"{self.id} refuses them: {reason}") from error

    def _make_own(self, rendered: Mapping[str, Any]) -> Env:
        assert self.make is not None
        env = self.make(**rendered, **self.kwargs)
        return env if self.max_episode_steps is None else TimeLimit(env, self.max_episode_steps)


def env_config(env: Any) -> EnvConfig:
    """Returns the EnvConfig of an id, an env class, a function that makes an env, or an env itself.

    An env itself is never stepped: each env of a run, those of evaluations too, is a deep copy of it. Raises
    ConfigError for one that cannot be copied, and for anything else.
    """
    if isinstance(env, EnvConfig):
        return env
    if isinstance(env, str):
        return EnvConfig(id=env)
    if isinstance(env, gym.Env):
        name = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
        try:
            deepcopy(env).close()
        except Exception as error:
            reason = f"cannot be copied ({error}), and a run needs more than one"
            raise ConfigError("env", name, f"{reason}: give its class or a function") from error
        return EnvConfig(id=name, make=partial(deepcopy, env))
    if callable(env):
        return EnvConfig(id=getattr(env, "__name__", type(env).__name__).strip("<>"), make=env)
    allowed = "must be an EnvConfig, an id, an env class, a function that makes an env, or an env"
    raise ConfigError("env", env, allowed)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value
