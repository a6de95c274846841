"""Steps a vector env of tensors: from the policy to the env to the replay buffer without NumPy in between."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.algorithm.policy import Policy
from sac_lightning.collect.collector import DENSITY_EVERY, KEPT, CollectorState, Episode
from sac_lightning.collect.held_noise import HeldNoise
from sac_lightning.core.errors import require
from sac_lightning.core.finite import check_action
from sac_lightning.core.seeding import continue_generator, torch_generator
from sac_lightning.envs.torch_vector import MOST_ENVS, TorchVectorEnv
from sac_lightning.replay import ReplayBuffer
from sac_lightning.spaces import ActionSpec, BoxAction, DiscreteAction


class TorchCollector:
    """Acts in `envs` and writes transitions to `replay`, as Collector does, with tensors on `device`.

    A few bits go to the CPU in each step of all envs: which episodes have ended, and whether all numbers are
    finite.

    Args:
        envs: the vector env.
        action: its action space, a Box or a Discrete.
        replay: where transitions go.
        env_seed, action_seed, learning_starts, noise_hold_max: as for Collector.
        device: of the policy and of the replay buffer.
        overlap: must be False: a step of such envs needs no thread beside the updates.
    """

    def __init__(
        self,
        envs: TorchVectorEnv,
        action: ActionSpec,
        replay: ReplayBuffer,
        *,
        env_seed: int,
        action_seed: int,
        learning_starts: int,
        device: torch.device,
        overlap: bool = False,
        noise_hold_max: int = 1,
    ) -> None:
        check_torch(envs.num_envs, overlap)
        count = envs.num_envs
        self.envs, self.action, self.replay = envs, action, replay
        self.learning_starts = learning_starts
        self.env_steps = 0
        self._device = device
        self._generator = torch_generator(action_seed, device)
        self._rng = np.random.default_rng(action_seed)  # of how long noise is held
        self._held = HeldNoise(noise_hold_max, count)
        self._to_env = to_env(action, device)
        self._env_numbers = torch.arange(count, dtype=torch.int16, device=device)
        self._unknown_log_prob = torch.full((count,), torch.nan, device=device)
        self._obs = envs.reset(env_seed).to(device)
        self._returns = torch.zeros(count, dtype=torch.float64, device=device)
        self._lengths = torch.zeros(count, dtype=torch.int64, device=device)
        self._discounted = torch.zeros(count, dtype=torch.float64, device=device)
        self._over = torch.zeros(count, dtype=torch.bool, device=device)  # of the last step
        self.discounted_returns: Tensor = self._discounted[:0]  # of the last `collect`

    # Not inference mode: an env may change a tensor of ours in place later.
    @torch.no_grad()
    def collect(self, policy: Policy, steps: int) -> list[Episode]:
        """Takes `steps` steps in every env. Returns the episodes that ended in them."""
        finished: list[Episode] = []
        discounted = []
        for _ in range(steps):
            finished += self._step(policy)
            discounted.append(self._discounted)
            self._discounted = self._discounted.masked_fill(self._over, 0.0)
        self.discounted_returns = torch.cat(discounted)
        return finished

    def _step(self, policy: Policy) -> list[Episode]:
        action, log_prob = self._choose(policy)
        env_action = self._to_env(action)
        if env_action.is_floating_point() and not env_action.isfinite().all():
            check_action(env_action.cpu().numpy(), self._obs.cpu().numpy())
        step = self.envs.step(env_action)
        obs, reward, terminated, truncated, next_obs = (each.to(self._device) for each in step[:-1])
        self.replay.add(
            *(self._obs, action, reward, next_obs, terminated, truncated, self._env_numbers, log_prob)
        )
        # Σ γʲ r of each env's episode so far, for reward normalisation.
        self._discounted = self.replay.gamma * self._discounted + reward
        self._over = terminated | truncated
        self.env_steps += self.envs.num_envs
        self._obs = obs
        self._returns += reward
        self._lengths += 1
        if not step.over.any():
            return []
        self._held.end(step.over)
        ended = zip(self._returns[self._over].tolist(), self._lengths[self._over].tolist(), strict=True)
        self._returns.masked_fill_(self._over, 0.0)
        self._lengths.masked_fill_(self._over, 0)
        return [Episode(ret, length) for ret, length in ended]

    def _choose(self, policy: Policy) -> tuple[Tensor, Tensor]:
        """Returns actions and their log-density under the policy, which is NaN for most, to save time."""
        count = self.envs.num_envs
        known = self.env_steps // count % DENSITY_EVERY == 0
        if self.env_steps < self.learning_starts:
            density = torch.full_like(self._unknown_log_prob, self.action.random_log_prob)
            return self._random(), density if known else self._unknown_log_prob
        noise = policy.head.draw_acting_noise(count, self._generator, self._device)
        noise = self._held.next(noise, self._rng)
        features = policy.features(self._obs)
        action = policy.head.act(features, noise)
        return action, policy.head.log_prob(features, action) if known else self._unknown_log_prob

    def _random(self) -> Tensor:
        """Returns uniformly random actions in the actor's own form."""
        count = self.envs.num_envs
        options: dict[str, Any] = {"generator": self._generator, "device": self._device}
        if isinstance(self.action, DiscreteAction):
            return torch.randint(self.action.n, (count,), **options)
        return 2.0 * torch.rand(count, *self.action.row[0], **options) - 1.0

    def wait(self) -> None:
        """Returns: no step is ever pending."""

    def close(self, wait: bool = True) -> None:
        """Returns: there is no thread."""

    def reopen(self, envs: TorchVectorEnv) -> None:
        """Continues with `envs`, which replace those that were closed."""
        self.envs = envs

    def state_dict(self) -> CollectorState:
        """Returns counters, present observations, episode statistics and random streams as plain data."""
        tensors = {name: getattr(self, f"_{name}").cpu().clone() for name in KEPT[:-1]}
        return {
            "env_steps": self.env_steps,
            **tensors,
            "rng": json.dumps(self._rng.bit_generator.state),
            "generator": self._generator.get_state(),
            "held_noise": self._held.state_dict(),
        }

    def load_state_dict(self, state: CollectorState, device: torch.device, *, envs_restored: bool) -> None:
        """Restores what `state_dict` returned; without `envs_restored` all but the fresh episodes."""
        self.env_steps = state["env_steps"]
        self._rng.bit_generator.state = json.loads(state["rng"])
        continue_generator(self._generator, state["generator"])
        if envs_restored:
            for name in KEPT[:-1]:
                setattr(self, f"_{name}", state[name].to(device, copy=True))
            self._held.load_state_dict(state["held_noise"], device)

    def restart_episodes(self, seed: int) -> None:
        """Starts a fresh episode in every env."""
        self._obs = self.envs.reset(seed % 2**31).to(self._device)
        for each in (self._returns, self._lengths, self._discounted):
            each.zero_()
        self._held.end_all()


def check_torch(num_envs: int, overlap: bool) -> None:
    """Raises ConfigError for what has no meaning, or no room, with env.vectorization=torch."""
    require(not overlap, "collector.overlap", overlap, "must be false with env.vectorization=torch")
    require(num_envs <= MOST_ENVS, "num_envs", num_envs, f"must be at most {MOST_ENVS}")


def to_env(action: ActionSpec, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Returns what `ActionSpec.to_env` does, for tensors on `device`; of a Box or a Discrete."""
    if isinstance(action, DiscreteAction):
        start, kind = action.start, getattr(torch, action.dtype)
        return lambda index: (index + start).to(kind)
    assert isinstance(action, BoxAction), action
    shape, dtype = action.shape, getattr(torch, action.dtype)
    scale, centre = (torch.as_tensor(each, device=device) for each in (action.scale, action.centre))
    low, high = (torch.tensor(each, dtype=dtype, device=device) for each in (action.low, action.high))
    # In float64, rounded, then clipped, as for arrays: rounding may step over a bound.
    return lambda unit: (unit * scale + centre).to(dtype).clamp(low, high).view(-1, *shape)
