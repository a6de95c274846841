"""The learned policy as a thing to act with: observations in, the env's own actions out."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sac_lightning.core.finite import check_action, first_unusable
from sac_lightning.heads.base import ActionHead
from sac_lightning.networks import Actor
from sac_lightning.spaces import ActionSpec, Array, ObsSpec


@dataclass(frozen=True)
class Policy:
    """An actor with its head and the env's spaces; shares its weights with the module that trains them."""

    actor: Actor
    head: ActionHead
    obs: ObsSpec
    action: ActionSpec
    normalize_obs: nn.Module | None = None

    @property
    def reads(self) -> ObsSpec:
        """What the policy needs of an observation: all but the parts for critics alone."""
        return self.obs.of_actor

    def features(self, obs: Tensor) -> Tensor:
        """Returns the head's features [B, F] for raw observations [B, *obs], or for what it reads of them."""
        if self.normalize_obs is not None:
            # The statistics are of all numbers.
            missing = self.obs.shape[-1] - obs.shape[-1] if self.obs.parts else 0
            obs = self.normalize_obs(torch.nn.functional.pad(obs, (0, missing)) if missing else obs)
        features: Tensor = self.actor(obs)
        return features

    def act(self, obs: Any, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """The env's action for one obs `[*obs]`, or its actions for a batch `[B, *obs]`.

        Of a Tuple or Dict of actions it is a flat row, which `envs.FlatActions(env)` takes. An obs that is no
        Box is the row that `envs.FlatObservations(env)` returns; it may lack what only critics see.
        `deterministic` takes the mode. A sampled action is drawn from `generator`, or from PyTorch's global
        one. Raises ValueError for an obs of another shape or with numbers that cannot be used (NaN, or above
        1.8e19), and NotFiniteError where the action is not finite.
        """
        array = np.asarray(obs)
        known = self.reads.shape, self.obs.shape
        single = array.shape in known
        if not single and array.shape[1:] not in known:
            raise ValueError(f"obs has shape {array.shape}; expected {known[0]} or (B, *{known[0]})")
        batch = array[None] if single else array
        problem = first_unusable(batch)
        if problem is not None:
            raise ValueError(f"obs{problem.replace(' of env 0', '') if single else problem}")
        actions = self.action.to_env(self.mode(batch) if deterministic else self.sample(batch, generator))
        check_action(actions, batch)
        return np.asarray(actions[0]) if single else actions

    @torch.inference_mode()
    def sample(
        self, obs: Array, generator: torch.Generator | None = None, noise: Tensor | None = None
    ) -> Array:
        """[B, *obs] -> actions [B, ...] in the actor's own form, drawn from π.

        With `noise` of `head.draw_acting_noise`, else with noise drawn from `generator`.
        """
        if noise is None:
            chosen = generator if generator is not None else torch.default_generator
            noise = self.head.draw_acting_noise(len(obs), chosen, self.device)
        drawn: Array = self.head.act(self.features(self._tensor(obs)), noise).cpu().numpy()
        return drawn

    @torch.inference_mode()
    def sample_with_log_prob(self, obs: Array, noise: Tensor) -> tuple[Array, Array]:
        """`sample` with `noise`, and log π [B] of what it drew."""
        features = self.features(self._tensor(obs))
        drawn = self.head.act(features, noise)
        return drawn.cpu().numpy(), self.head.log_prob(features, drawn).cpu().numpy()

    @torch.inference_mode()
    def mode(self, obs: Array) -> Array:
        """[B, *obs] -> actions [B, ...] in the actor's own form, the policy's mode."""
        best: Array = self.head.mode(self.features(self._tensor(obs))).cpu().numpy()
        return best

    @torch.inference_mode()
    def allowed(self, obs: Array) -> Array | None:
        """[B, *obs] -> bits [B, Σ choices] of the allowed actions; None where the env has no action masks."""
        mask = self.actor.action_mask
        return None if mask is None else mask.allowed(self._tensor(obs)).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """Where the actor's weights are."""
        return self.actor.device

    def _tensor(self, obs: Array) -> Tensor:
        return torch.from_numpy(obs.astype(self.obs.dtype, copy=False)).to(self.device)


@dataclass(frozen=True)
class SampledPolicy(Policy):
    """A policy that draws from π, from a generator of its own, where it is asked for the mode."""

    generator: torch.Generator = field(kw_only=True)

    def mode(self, obs: Array) -> Array:
        """[B, *obs] -> actions [B, ...] in the actor's own form, drawn from π."""
        return self.sample(obs, self.generator)
