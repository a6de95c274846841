"""Steps the envs with the newest policy and stores what happened."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from sac_lightning.algorithm.policy import Policy
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.core.errors import require
from sac_lightning.core.finite import check_action
from sac_lightning.core.seeding import continue_generator, torch_generator
from sac_lightning.envs.wrappers import raw_rewards
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import ActionSpec, Array

# Densities are for diagnostics, which average over mini-batches: some will do.
DENSITY_EVERY = 8


@runtime_checkable
class VectorEnv(Protocol):
    """What the collector needs of a vector env; Gymnasium's sync and async ones have it."""

    @property
    def num_envs(self) -> int: ...

    def reset(self, *, seed: int | None = None) -> tuple[Array, dict[str, Any]]: ...

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]: ...

    def close(self) -> None: ...


class Episode(NamedTuple):
    """A finished training episode: undiscounted return of the env's own rewards, and length in env steps."""

    ret: float
    length: int


class Landed(NamedTuple):
    """What a step of all envs led to; `next_obs` is `obs`, save where `obs` begins another episode."""

    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    raw_reward: Array  # the env's own, for the returns that are shown


class Underway(NamedTuple):
    """Actions that were chosen, their log-densities, and the step that they are taken in."""

    action: Array
    log_prob: Array
    landed: Callable[[], Landed]


CollectorState = dict[str, Any]


class Collector:
    """Acts in `envs` and writes transitions to `replay`.

    With `overlap`, a step begins as soon as the one before has landed, in a thread, and goes on while the
    updates of that turn run: its actions are those of the policy before these updates, one turn old.

    Only `terminated` ends a return; `truncated` is stored for n-step returns and exports. Under Gymnasium's
    two autoreset modes the last real observation is found where each keeps it: SAME_STEP in
    `info["final_obs"]`; NEXT_STEP in the observation itself, followed by one step that ignores its action and
    is not stored.
    """

    def __init__(
        self,
        envs: VectorEnv,
        action: ActionSpec,
        replay: ReplayBuffer,
        *,
        env_seed: int,
        action_seed: int,
        learning_starts: int,
        next_step_autoreset: bool = False,
        overlap: bool = False,
    ) -> None:
        require(
            learning_starts >= 0,
            "learning_starts",
            learning_starts,
            "must be a number of env steps of at least 0",
        )
        self.envs, self.action, self.replay = envs, action, replay
        self.learning_starts = learning_starts
        self.next_step_autoreset = next_step_autoreset
        self.env_steps = 0
        self._warm_up = np.random.default_rng(action_seed)
        self._generator: torch.Generator | None = None
        self._action_seed = action_seed
        self._obs = _copy(envs.reset(seed=env_seed)[0])
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        self._resetting = np.zeros(envs.num_envs, dtype=bool)
        self._unknown = np.full(envs.num_envs, np.nan, np.float32)
        self._underway: Underway | None = None
        self._fused: FusedAction | None = None
        self._env_numbers = np.arange(envs.num_envs, dtype=np.int16)
        self._discounted = np.zeros(envs.num_envs)
        self.discounted_returns: list[Array] = []  # of the last `collect`
        self._overlap = overlap
        self._thread = self._new_thread()

    def collect(self, policy: Policy, steps: int) -> list[Episode]:
        """`steps` steps of every env; the episodes that ended in them.

        One env step is one call of one env, the inserted one of NEXT_STEP included.
        """
        finished: list[Episode] = []
        self.discounted_returns = []
        for _ in range(steps):
            underway = self._underway or self._begin(policy)
            finished.extend(self._finish(underway))
            self._underway = None if self._thread is None else self._begin(policy)
        return finished

    def fuse_action(self, policy: Policy) -> FusedAction:
        """Returns the next step of every env, for an update to choose its actions."""
        # A graph reads every obs with the strides of its first.
        obs = torch.from_numpy(np.ascontiguousarray(self._obs, dtype=policy.obs.dtype))
        noise = policy.head.draw_acting_noise(len(obs), self._stream(policy))
        self._fused = FusedAction(obs, noise)
        return self._fused

    def settle(self) -> None:
        """Wait until the step that is under way has landed; it is stored by the next `collect`."""
        if self._underway is not None:
            self._underway.landed()

    def close(self, wait: bool = True) -> None:
        """End the thread, with `wait` after the step that is under way. Its errors are not raised."""
        if self._thread is not None:
            self._thread.shutdown(wait=wait)

    def reopen(self, envs: VectorEnv) -> None:
        """Go on with `envs`, made anew after `close`."""
        self.envs, self._thread = envs, self._new_thread()

    def _new_thread(self) -> ThreadPoolExecutor | None:
        return ThreadPoolExecutor(1, thread_name_prefix="envs") if self._overlap else None

    def state_dict(self) -> CollectorState:
        """Counters, present observations, episode statistics and random streams, as plain data.

        A step that is under way is waited for: the envs' own state is to be captured after this.
        """
        generator = self._generator
        return {
            "env_steps": self.env_steps,
            "obs": torch.from_numpy(np.ascontiguousarray(self._obs)),
            "returns": torch.from_numpy(self._returns.copy()),
            "lengths": torch.from_numpy(self._lengths.copy()),
            "resetting": torch.from_numpy(self._resetting.copy()),
            "warm_up": json.dumps(self._warm_up.bit_generator.state),
            "generator": None if generator is None else generator.get_state(),
            "fused_action": None if self._fused is None else self._fused.state_dict(),
            "discounted": torch.from_numpy(self._discounted.copy()),
            "underway": None if self._underway is None else _plain(self._underway),
        }

    def load_state_dict(self, state: CollectorState, device: torch.device, *, episodes_go_on: bool) -> None:
        """Restore what `state_dict` gave.

        Without `episodes_go_on` (the envs could not be restored and were reset) observations and episode
        statistics stay those of the fresh episodes.
        """
        self.env_steps = state["env_steps"]
        self._warm_up.bit_generator.state = json.loads(state["warm_up"])
        if state["generator"] is not None:
            self._generator = torch.Generator(device=device)
            continue_generator(self._generator, state["generator"])
        if episodes_go_on:
            kept = ("obs", "returns", "lengths", "resetting", "discounted")
            arrays = [state[key].numpy().copy() for key in kept]
            self._obs, self._returns, self._lengths, self._resetting, self._discounted = arrays
            underway = state.get("underway")
            self._underway = None if underway is None else _underway(underway)
            fused = state["fused_action"]
            self._fused = None if fused is None else FusedAction.of_state(fused)

    def restart_episodes(self, seed: int) -> None:
        """Begin a fresh episode in every env."""
        self._obs = _copy(self.envs.reset(seed=seed % 2**31)[0])
        self._fused = self._underway = None
        self._returns[:], self._lengths[:], self._resetting[:] = 0.0, 0, False
        self._discounted[:] = 0.0

    def _choose(self, policy: Policy) -> tuple[Array, Array]:
        """Actions, and their log-density under the policy that chose them; NaN for most, to save time."""
        count = self.envs.num_envs
        known = self.env_steps // count % DENSITY_EVERY == 0
        if self.env_steps < self.learning_starts:  # as few known, or they would weigh more than later ones
            density = np.full(count, self.action.random_log_prob, np.float32)
            return self.action.random(self._warm_up, count), density if known else self._unknown
        fused, self._fused = self._fused, None
        if fused is not None and fused.chosen is not None:
            action, log_prob = fused.chosen
            return action.numpy(), log_prob.numpy() if known else self._unknown
        if known:
            return policy.sample_with_log_prob(self._obs, self._stream(policy))
        return policy.sample(self._obs, self._stream(policy)), self._unknown

    def _stream(self, policy: Policy) -> torch.Generator:
        if self._generator is None:
            self._generator = torch_generator(self._action_seed, policy.device)
        return self._generator

    def _begin(self, policy: Policy) -> Underway:
        action, log_prob = self._choose(policy)
        env_action = self.action.to_env(action)
        check_action(env_action, self._obs)
        step = partial(self._land, env_action)
        landed = step if self._thread is None else self._thread.submit(step).result
        return Underway(action, log_prob, landed)

    def _land(self, env_action: Array) -> Landed:
        obs, reward, terminated, truncated, info = self.envs.step(env_action)
        obs = _copy(obs)
        over = terminated | truncated
        next_obs = obs
        if not self.next_step_autoreset and over.any():
            next_obs = obs.copy()
            for i in np.flatnonzero(over):
                next_obs[i] = info["final_obs"][i]
        return Landed(obs, reward, terminated, truncated, next_obs, raw_rewards(reward, info))

    def _finish(self, underway: Underway) -> Iterable[Episode]:
        obs, reward, terminated, truncated, next_obs, raw_reward = underway.landed()
        self._store(underway.action, reward, next_obs, terminated, truncated, underway.log_prob)
        self._add_discounted(reward, terminated | truncated)
        self.env_steps += self.envs.num_envs
        self._obs = obs
        return self._episodes(raw_reward, terminated | truncated)

    def _store(
        self,
        action: Array,
        reward: Array,
        next_obs: Array,
        terminated: Array,
        truncated: Array,
        log_prob: Array,
    ) -> None:
        ends: tuple[Array, ...] = (terminated, truncated, self._env_numbers)
        rows: tuple[Array, ...] = (self._obs, action, reward, next_obs, *ends, log_prob)
        if self.next_step_autoreset and self._resetting.any():
            real = ~self._resetting
            rows = tuple(field[real] for field in rows)
        self.replay.add(*rows)

    def _add_discounted(self, reward: Array, over: Array) -> None:
        """Σ γʲ r of each env's episode so far, for reward normalisation."""
        self._discounted = self.replay.gamma * self._discounted + reward
        self.discounted_returns.append(self._discounted[~self._resetting])
        if over.any():
            self._discounted[over] = 0.0

    def _episodes(self, reward: Array, over: Array) -> list[Episode]:
        self._returns += reward
        self._lengths += ~self._resetting
        if self.next_step_autoreset:
            self._resetting = over
        if not over.any():  # most steps
            return []
        ended = [Episode(float(self._returns[i]), int(self._lengths[i])) for i in np.flatnonzero(over)]
        self._returns[over] = 0.0
        self._lengths[over] = 0
        return ended


def _copy(obs: Array) -> Array:
    """A vector env may hand out one array again and again, as Gymnasium's do with copy=False."""
    return np.array(obs)


def _plain(underway: Underway) -> dict[str, torch.Tensor]:
    """As tensors, once it has landed."""
    arrays = {"action": underway.action, "log_prob": underway.log_prob, **underway.landed()._asdict()}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _underway(plain: dict[str, torch.Tensor]) -> Underway:
    """What `_plain` was given."""
    arrays = {name: tensor.numpy().copy() for name, tensor in plain.items()}
    action, log_prob = arrays.pop("action"), arrays.pop("log_prob")
    arrays.setdefault("raw_reward", arrays["reward"])  # a checkpoint of before has no other
    landed = Landed(**arrays)
    return Underway(action, log_prob, lambda: landed)
