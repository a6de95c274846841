"""Steps the envs with the newest policy and stores what happened."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.held_noise import HeldNoise
from sac_lightning.compile.fused_action import FusedAction
from sac_lightning.core.errors import require
from sac_lightning.core.finite import check_action
from sac_lightning.core.seeding import continue_generator, torch_generator
from sac_lightning.envs.wrappers import raw_rewards
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import ActionSpec, Array

# Densities are for diagnostics, which average over mini-batches: some will do.
DENSITY_EVERY = 8
# Arrays of a Collector that its state contains; a TorchCollector has all but the last.
KEPT = ("obs", "returns", "lengths", "discounted", "resetting")


class Episode(NamedTuple):
    """Reports a finished episode: undiscounted return of the env's own rewards, length in env steps."""

    ret: float
    length: int


class StepResult(NamedTuple):
    """Stores what a step of all envs returned; `next_obs` is `obs`, unless `obs` starts another episode."""

    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    raw_reward: Array  # the env's own, for the reported returns


class PendingStep(NamedTuple):
    """Stores chosen actions, their log-densities, and the step that takes them; `result` waits for it."""

    action: Array
    log_prob: Array
    result: Callable[[], StepResult]


CollectorState = dict[str, Any]


class Collector:
    """Acts in `envs` and writes transitions to `replay`.

    Only `terminated` ends a return; `truncated` is stored for n-step returns and exports. Gymnasium's two
    autoreset modes keep an episode's last observation in different places: SAME_STEP in
    `info["final_obs"]`; NEXT_STEP in the observation itself, followed by one step that ignores its action and
    is not stored.

    Args:
        envs: the vector env.
        action: its action space.
        replay: where transitions go.
        env_seed: seed of the first reset.
        action_seed: seed of the random actions and of the policy's noise.
        learning_starts: env steps ≥ 0 with uniformly random actions before the policy acts.
        next_step_autoreset: whether `envs` resets in NEXT_STEP mode, else SAME_STEP.
        overlap: whether each step starts in a thread as soon as the one before has ended, and runs beside
            the updates of that iteration; its actions are those of the policy before these updates.
        noise_hold_max: the most env steps for which the noise of an action is held: see HeldNoise; 1 for
            new noise at every step.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        action: ActionSpec,
        replay: ReplayBuffer,
        *,
        env_seed: int,
        action_seed: int,
        learning_starts: int,
        next_step_autoreset: bool = False,
        overlap: bool = False,
        noise_hold_max: int = 1,
    ) -> None:
        allowed = "must be a number of env steps of at least 0"
        require(learning_starts >= 0, "learning_starts", learning_starts, allowed)
        self.envs, self.action, self.replay = envs, action, replay
        self.learning_starts = learning_starts
        self.next_step_autoreset = next_step_autoreset
        self.env_steps = 0
        self._rng = np.random.default_rng(action_seed)  # of random actions and of how long noise is held
        self._generator: torch.Generator | None = None
        self._action_seed = action_seed
        self._obs = np.array(envs.reset(seed=env_seed)[0])
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        self._resetting = np.zeros(envs.num_envs, dtype=bool)
        self._unknown_log_prob = np.full(envs.num_envs, np.nan, np.float32)
        self._pending: PendingStep | None = None
        self._fused: FusedAction | None = None
        self._held = HeldNoise(noise_hold_max, envs.num_envs)
        self._env_numbers = np.arange(envs.num_envs, dtype=np.int16)
        self._discounted = np.zeros(envs.num_envs)
        self.discounted_returns = np.zeros(0)  # of the last `collect`
        self._overlap = overlap
        self._thread = self._new_thread()

    def collect(self, policy: Policy, steps: int) -> list[Episode]:
        """Takes `steps` steps in every env. Returns the episodes that ended in them.

        One env step is one call of one env; the extra one of NEXT_STEP counts too.
        """
        finished: list[Episode] = []
        self._recent_returns: list[Array] = []
        for _ in range(steps):
            finished += self._finish(self._pending or self._start(policy))
            self._pending = None if self._thread is None else self._start(policy)
        self.discounted_returns = np.concatenate(self._recent_returns)
        return finished

    def fuse_action(self, policy: Policy, taken: bool = True) -> FusedAction:
        """Returns the next step of every env, for an update to choose its actions.

        Args:
            policy: the one that is updated.
            taken: whether the next step takes these actions; False where other updates come before it.
        """
        # A graph reads every obs with the strides of its first.
        obs = torch.from_numpy(np.ascontiguousarray(self._obs, dtype=policy.obs.dtype))
        if not taken:  # a run that acts outside of updates draws nothing here either
            other = torch_generator(self._action_seed, policy.device)
            return FusedAction(obs, policy.head.draw_acting_noise(len(obs), other, policy.device))
        self._fused = FusedAction(obs, self._noise(policy))
        return self._fused

    def wait(self) -> None:
        """Waits for a pending step; the next `collect` stores it."""
        if self._pending is not None:
            self._pending.result()

    def close(self, wait: bool = True) -> None:
        """Ends the thread, with `wait` after a pending step, whose errors are not raised."""
        if self._thread is not None:
            self._thread.shutdown(wait=wait)

    def reopen(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Continues with `envs`, which replace those that were closed."""
        self.envs, self._thread = envs, self._new_thread()

    def _new_thread(self) -> ThreadPoolExecutor | None:
        return ThreadPoolExecutor(1, thread_name_prefix="envs") if self._overlap else None

    def state_dict(self) -> CollectorState:
        """Returns counters, present observations, episode statistics and random streams as plain data.

        It waits for a pending step, so capture the envs' own state after this.
        """
        return {
            "env_steps": self.env_steps,
            **{name: torch.from_numpy(np.array(getattr(self, f"_{name}"))) for name in KEPT},
            "rng": json.dumps(self._rng.bit_generator.state),
            "generator": None if self._generator is None else self._generator.get_state(),
            "fused_action": None if self._fused is None else self._fused.state_dict(),
            "held_noise": self._held.state_dict(),
            "pending_step": None if self._pending is None else _to_tensors(self._pending),
        }

    def load_state_dict(self, state: CollectorState, device: torch.device, *, envs_restored: bool) -> None:
        """Restores what `state_dict` returned, on `device`.

        Without `envs_restored` the envs were reset, and observations and episode statistics stay those of
        the fresh episodes.
        """
        self.env_steps = state["env_steps"]
        self._rng.bit_generator.state = json.loads(state["rng"])
        if state["generator"] is not None:
            self._generator = torch.Generator(device=device)
            continue_generator(self._generator, state["generator"])
        if envs_restored:
            for name in KEPT:
                setattr(self, f"_{name}", state[name].numpy().copy())
            pending = state["pending_step"]
            self._pending = None if pending is None else _from_tensors(pending)
            fused = state["fused_action"]
            self._fused = None if fused is None else FusedAction.of_state(fused)
            self._held.load_state_dict(state["held_noise"], device)

    def restart_episodes(self, seed: int) -> None:
        """Starts a fresh episode in every env."""
        self._obs = np.array(self.envs.reset(seed=seed % 2**31)[0])
        self._fused = self._pending = None
        self._returns[:], self._lengths[:], self._resetting[:] = 0.0, 0, False
        self._discounted[:] = 0.0
        self._held.end_all()

    def _choose(self, policy: Policy) -> tuple[Array, Array]:
        """Returns actions and their log-density under the policy, which is NaN for most, to save time."""
        count = self.envs.num_envs
        known = self.env_steps // count % DENSITY_EVERY == 0
        if self.env_steps < self.learning_starts:
            if (allowed := policy.allowed(self._obs)) is not None:
                return self.action.random(self._rng, count, allowed), self._unknown_log_prob
            # As few known, or they would weigh more than later ones.
            density = np.full(count, self.action.random_log_prob, np.float32)
            return self.action.random(self._rng, count), density if known else self._unknown_log_prob
        fused, self._fused = self._fused, None
        if fused is not None and fused.chosen is not None:
            action, log_prob = fused.chosen
            return action.numpy(), log_prob.numpy() if known else self._unknown_log_prob
        noise = self._noise(policy)
        if known:
            return policy.sample_with_log_prob(self._obs, noise)
        return policy.sample(self._obs, noise=noise), self._unknown_log_prob

    def _noise(self, policy: Policy) -> torch.Tensor:
        """Returns the noise [E, M] of the next actions."""
        if self._generator is None:
            self._generator = torch_generator(self._action_seed, policy.device)
        fresh = policy.head.draw_acting_noise(self.envs.num_envs, self._generator, policy.device)
        return self._held.next(fresh, self._rng)

    def _start(self, policy: Policy) -> PendingStep:
        action, log_prob = self._choose(policy)
        env_action = self.action.to_env(action)
        check_action(env_action, self._obs)
        step = partial(self._step, env_action)
        return PendingStep(
            action, log_prob, step if self._thread is None else self._thread.submit(step).result
        )

    def _step(self, env_action: Array) -> StepResult:
        obs, reward, terminated, truncated, info = self.envs.step(env_action)
        # A vector env may return one array again and again, as Gymnasium's do with copy=False.
        obs = next_obs = np.array(obs)
        over = terminated | truncated
        if not self.next_step_autoreset and over.any():
            next_obs = obs.copy()
            for i in np.flatnonzero(over):
                next_obs[i] = info["final_obs"][i]
        return StepResult(obs, reward, terminated, truncated, next_obs, raw_rewards(reward, info))

    def _finish(self, pending: PendingStep) -> list[Episode]:
        """Stores the step. Returns the episodes that ended in it."""
        obs, reward, terminated, truncated, next_obs, raw_reward = pending.result()
        over = terminated | truncated
        rows: tuple[Array, ...] = (self._obs, pending.action, reward, next_obs, terminated, truncated)
        rows += self._env_numbers, pending.log_prob
        if self.next_step_autoreset and self._resetting.any():
            stored = ~self._resetting
            rows = tuple(field[stored] for field in rows)
        self.replay.add(*rows)
        # Σ γʲ r of each env's episode so far, for reward normalisation.
        self._discounted = self.replay.gamma * self._discounted + reward
        self._recent_returns.append(self._discounted[~self._resetting])
        self.env_steps += self.envs.num_envs
        self._obs = obs
        self._held.end(over | self._resetting)
        self._returns += raw_reward
        self._lengths += ~self._resetting
        if self.next_step_autoreset:
            self._resetting = over
        if not over.any():  # most steps
            return []
        ended = [Episode(float(self._returns[i]), int(self._lengths[i])) for i in np.flatnonzero(over)]
        self._discounted[over] = self._returns[over] = 0.0
        self._lengths[over] = 0
        return ended


def _to_tensors(pending: PendingStep) -> dict[str, torch.Tensor]:
    """Returns the step as tensors, once it has ended."""
    arrays = {"action": pending.action, "log_prob": pending.log_prob, **pending.result()._asdict()}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _from_tensors(state: dict[str, torch.Tensor]) -> PendingStep:
    """Returns the step that `_to_tensors` was given."""
    arrays = {name: tensor.numpy().copy() for name, tensor in state.items()}
    action, log_prob = arrays.pop("action"), arrays.pop("log_prob")
    result = StepResult(**arrays)
    return PendingStep(action, log_prob, lambda: result)
