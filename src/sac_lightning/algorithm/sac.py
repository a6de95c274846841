"""Soft Actor-Critic: one class with the paper's methods in the paper's order.

Sources: SAC 1801.01290, SAC-v2 1812.05905, discrete SAC 1910.07207. The equations are in losses.py.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.algorithm import losses
from sac_lightning.core.errors import require
from sac_lightning.core.ranks import Ranks
from sac_lightning.entropy import EntropySetting, TemperatureRule, entropy_setting
from sac_lightning.heads.base import ActionHead
from sac_lightning.networks import Actor, ActorConfig, Critic, CriticConfig
from sac_lightning.networks.counter_random import CounterRandom
from sac_lightning.networks.ensemble import EnsembleBatchNorm, batch_statistics, dropout
from sac_lightning.networks.normalization import (
    ObsNormalization,
    RawObs,
    RawReward,
    RewardNormalization,
)
from sac_lightning.networks.random_shift import RandomShift
from sac_lightning.optim import OptimizerStep
from sac_lightning.spaces import ActionSpec, ObsSpec
from sac_lightning.types import Alpha, Batch, PackedMetrics, Scalar


class UpdateResult(NamedTuple):
    """What one update returns."""

    metrics: PackedMetrics
    td_error: Float[Tensor, " B"]  # mean over critics of |Q − y|, for prioritized replay


class SAC(nn.Module):
    """Owns actor, critics, target critics, temperature and normalisers, and updates them.

    `update` is plain PyTorch: it runs as it stands, or compiled from outside. It changes only tensors of
    this module and of its optimizers, in place.

    Args:
        obs: shape and dtype of an observation.
        action: the action space.
        head: what the actor's outputs mean as a policy.
        temperature: the entropy rule.
        actor: the actor's network and optimizer.
        critic: the critics' networks and optimizer, pessimism and target network.
        obs_normalization: how observations are normalised; None for raw ones.
        reward_normalization: how rewards are normalised; None for raw ones.
        actor_delay: updates between two steps of actor and temperature, at least 1; see `is_actor_due`.
        random_shift: pixels by which an update moves images at random; 0 for none: see RandomShift.
        generator: source of the initial weights.
    """

    env_steps: Tensor  # [], int64: set by whoever collects
    grad_steps: Tensor  # [], int64
    target_entropy: Tensor  # [], nats of the unit action box
    target_memory: Tensor  # [M], what a target rule remembers

    def __init__(
        self,
        obs: ObsSpec,
        action: ActionSpec,
        head: ActionHead,
        temperature: TemperatureRule,
        actor: ActorConfig,
        critic: CriticConfig,
        obs_normalization: ObsNormalization | None = None,
        reward_normalization: RewardNormalization | None = None,
        *,
        actor_delay: int = 1,
        random_shift: int = 0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.head, self.temperature, self.actor_delay = head, temperature, actor_delay
        for network in (actor, critic):
            network.check_head(head)
        critic.check_actor(actor)
        self.value_head, self.pessimism, self.q_clip = critic.value_head, critic.pessimism, critic.q_clip
        self.entropy_penalty, self.target_network = actor.entropy_penalty, critic.target_network
        self._configured = (
            *(actor.encoder, actor.torso, critic.encoder, critic.torso),
            *(critic.value_head, critic.pessimism, critic.target_network),
            *(obs_normalization, reward_normalization),
        )
        self.normalize_obs = (obs_normalization or RawObs()).build(obs)
        self.normalize_reward = (reward_normalization or RawReward()).build()
        seen = obs if self.normalize_obs is None else obs.normalized
        self.actor = Actor(seen, head, actor, generator)
        self.critic = Critic(seen, head, critic, generator)
        self._shared_encoder = critic.encoder.shared
        allowed = "needs an actor that sees what the critics see: leave env.critic_only out"
        require(obs.of_actor == obs or not self._shared_encoder, "encoder.shared", True, allowed)
        if self._shared_encoder:
            self.actor.encoder.requires_grad_(False)
            self._share_encoder()
        self.target_critic: Critic | None = None
        if self.target_network.has_copy:
            self.target_critic = Critic(seen, head, critic, generator)
            self.target_critic.load_state_dict(self.critic.state_dict())
            self.target_critic.requires_grad_(False)
        self.random_shift = RandomShift(obs, random_shift, generator) if random_shift else None
        sampled = self.pessimism.num_sampled
        self._subset_random = None if sampled is None else CounterRandom(generator)
        self.entropy_setting: EntropySetting = entropy_setting(temperature, head, action)
        setting = self.entropy_setting
        self.log_alpha = nn.Parameter(setting.log_alpha, requires_grad=temperature.learned)
        self.register_buffer("target_entropy", torch.tensor(setting.target))
        memory = torch.tensor(setting.memory)
        self.register_buffer("target_memory", memory, persistent=bool(setting.memory))
        self.register_buffer("env_steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("grad_steps", torch.zeros((), dtype=torch.int64))

    def prepare(
        self, steps: list[OptimizerStep], *, bfloat16: bool = False, ranks: Ranks | None = None
    ) -> None:
        """Gets ready for updates, once weights and optimizer states are where they stay.

        Args:
            steps: of the critics, of the actor, and of log_alpha where α is learned, in this order.
            bfloat16: whether matrix products run in bfloat16.
            ranks: the processes that update alike, each with its share of the mini-batch; None for one.
        """
        self._steps, self._ranks = steps, ranks
        for step in steps:
            step.ranks = ranks
        self._critic_step, self._actor_step, *rest = steps
        self._alpha_step = rest[0] if rest else None
        self._actor_statistics = batch_statistics(self.actor)
        copies = [] if self.target_critic is None else [self.target_critic]
        joint = copies if self.target_network.joint_pass else []
        self._critic_statistics = batch_statistics(self.critic, *joint)
        self._dropout = dropout(self.critic, *copies)
        self._originals = self.target_network.tensors(self.critic)
        self._copies = [tensor for each in copies for tensor in self.target_network.tensors(each)]
        self._critic_layers, self._actor_layers = map(_projected, (self.critic, self.actor))
        norms = [layer for layer in self.modules() if isinstance(layer, EnsembleBatchNorm)]
        self._running_statistics = [tensor for layer in norms for tensor in (layer.mean, layer.var)]
        # No cache: each weight is cast once anyway, and PyTorch 2.6 hands out casts made without gradients.
        self._autocast = torch.autocast(
            self.actor.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False
        )

    @torch.no_grad()
    def reset(self, fresh: "SAC") -> None:
        """Takes the networks and α of `fresh`, in place, and starts the optimizers again     (2205.07802)

        Running statistics of observations and rewards, H̄ and the counters stay.
        """
        self.actor.load_state_dict(fresh.actor.state_dict())
        self.critic.load_state_dict(fresh.critic.state_dict())
        if self.target_critic is not None:
            self.target_critic.load_state_dict(fresh.critic.state_dict())
        self.log_alpha.copy_(fresh.log_alpha)
        for step in self._steps:
            step.forget()

    @property
    def is_ours(self) -> bool:
        """Whether all parts are of this package, so that every operation of an update is known."""
        ours = __name__.partition(".")[0] + "."
        parts = (self.head, self.temperature, self.entropy_setting.target_rule, *self._configured)
        return all(part is None or type(part).__module__.startswith(ours) for part in parts)

    def write_out_optimizers(self, written_out: bool) -> None:
        """Makes the optimizers' steps plain operations, for a compiled graph, or fused ones."""
        for step in self._steps:
            step.written_out = written_out

    @property
    def state(self) -> list[Tensor]:
        """All tensors that `update` changes in place, at addresses that do not change."""
        optimizers = (tensor for step in self._steps for tensor in step.state)
        return [*self.parameters(), *self.buffers(), *optimizers]

    # --- the policy ----------------------------------------------------------------------------------

    def features(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B F"]:
        """Returns the head's features for raw observations: what acting needs."""
        features: Tensor = self.actor(obs if self.normalize_obs is None else self.normalize_obs(obs))
        return features

    # --- the losses, in the paper's order ------------------------------------------------------------

    def critic_loss(
        self, batch: Batch, noise: Float[Tensor, "B noise"], alpha: Alpha
    ) -> tuple[Scalar, Scalar, Float[Tensor, " B"]]:
        """J_Q     (1812.05905 eq. 5). Returns the loss, the mean Q and the TD error [B] of the batch.

        Args:
            batch: normalised transitions.
            noise: for the next actions, which are drawn afresh from the present policy.
            alpha: temperature of the bootstrap's entropy bonus.
        """
        with torch.no_grad():
            next_actions = self.head.weighted_actions(self.actor(batch.next_obs), noise)
        if self.target_network.joint_pass:
            pairs = batch.obs, batch.action, batch.next_obs, next_actions
            features, next_features = self.critic.joint_features(*pairs)
            if self.target_critic is not None:
                with torch.no_grad():
                    next_features = self.target_critic.joint_features(*pairs)[1]
        else:
            features = self.critic.features(batch.obs, batch.action)
            with torch.no_grad():
                next_critic = self.critic if self.target_critic is None else self.target_critic
                next_features = next_critic.features_of_policy(batch.next_obs, next_actions)
        with torch.no_grad():  # the target is a constant: eq. 6 differentiates Q alone
            if self._subset_random is not None:
                order = self._subset_random.uniform(len(next_features)).argsort()
                next_features = next_features[order[: self.pessimism.num_sampled]]
            target = self.value_head.target(
                batch.reward, batch.discount, next_features, next_actions, alpha, self.pessimism
            )
            q = self.value_head.mean(features)
            td_error = (q - self.value_head.target_mean(target)).abs().mean(dim=0)
        if self.q_clip is None:
            loss = self.value_head.loss(features, target, batch.weight)
        else:
            assert self.target_critic is not None
            with torch.no_grad():
                old = self.target_critic.features(batch.obs, batch.action)
            loss = losses.clipped_critic_loss(features, old, target, batch.weight, self.q_clip)
        return loss, q.mean().detach(), td_error

    def actor_loss(self, batch: Batch, noise: Float[Tensor, "B noise"], alpha: Alpha) -> tuple[Scalar, Alpha]:
        """J_π     (1812.05905 eq. 7). Returns the loss and the policy's mean entropy: `losses.entropy`.

        Args:
            batch: normalised transitions.
            noise: for the action at `batch.obs`.
            alpha: temperature.
        """
        actions = self.head.weighted_actions(self.actor(batch.obs), noise)
        features = self.critic.features_of_policy(batch.obs, actions)
        q = self.pessimism.value(self.value_head.mean(features))
        loss = losses.actor_loss(losses.soft_value(q, actions, alpha))
        if self.entropy_penalty is not None:
            loss = loss + losses.entropy_penalty(batch.log_prob, actions.entropy, self.entropy_penalty)
        return loss, losses.entropy(actions, alpha).detach()

    def temperature_loss(self, entropy: Alpha, target: Scalar) -> Scalar:
        """J_α     (1812.05905 eq. 18). With one α for each dimension, each aims at its share of `target`."""
        return self.temperature.loss(self.log_alpha, entropy, target / self.log_alpha.numel())

    # --- one update ----------------------------------------------------------------------------------

    def is_actor_due(self, update: int) -> bool:
        """Whether update number `update`, from 1 on, steps actor and temperature: each actor_delay-th."""
        return update % self.actor_delay == 0

    def update(
        self, batch: Batch, noise: Float[Tensor, "2 B noise"], with_actor: bool = True
    ) -> UpdateResult:
        """Steps critics, actor, temperature and target critics once     (1812.05905 algorithm 1)

        Args:
            batch: raw transitions.
            noise: for the next actions and for the actor's actions, drawn by `head.draw_noise`.
            with_actor: whether actor and temperature are stepped: `is_actor_due`.
        """
        batch = self.normalized(self.augmented(batch))
        alpha = self.temperature.alpha(self.log_alpha, self.env_steps)

        with self._autocast, self._critic_statistics, self._dropout:
            critic_loss, q_mean, td_error = self.critic_loss(
                batch, noise[0], self.temperature.critic_alpha(alpha)
            )
        self._critic_step.step(critic_loss)
        if self._shared_encoder:
            self._share_encoder()
        metrics = {"train/critic_loss": critic_loss.detach(), "train/q_mean": q_mean, "train/alpha": alpha}

        if with_actor:
            with self._autocast, self._actor_statistics, self._dropout:
                actor_loss, entropy = self.actor_loss(batch, noise[1], alpha)
            self._actor_step.step(actor_loss)
            metrics |= {"train/actor_loss": actor_loss.detach(), "train/entropy": entropy.sum()}
            if self._alpha_step is not None:
                metrics |= self._update_temperature(entropy, batch)

        with torch.no_grad():
            self.temperature.project_(self.log_alpha)
            for layer in [*self._critic_layers, *(self._actor_layers if with_actor else [])]:
                layer.project_()
            if self._ranks is not None and self._running_statistics:  # each rank has those of its share
                means = self._ranks.mean(self._running_statistics)
                for own, mean in zip(self._running_statistics, means, strict=True):
                    own.copy_(mean)
        self.target_network.update_(self._copies, self._originals)
        self.grad_steps.add_(1)
        return UpdateResult(PackedMetrics.of(metrics), td_error)

    @torch.no_grad()
    def _share_encoder(self) -> None:
        """Copies the critics' encoder into the actor's, which learns nothing itself."""
        for copy, original in zip(_tensors(self.actor.encoder), _tensors(self.critic.encoder), strict=True):
            copy.copy_(original)

    def _update_temperature(self, entropy: Alpha, batch: Batch) -> dict[str, Scalar]:
        assert self._alpha_step is not None
        target = self._move_target_entropy(entropy.sum(), batch)
        loss = self.temperature_loss(entropy, target)
        self._alpha_step.step(loss)
        return {"train/target_entropy": target, "train/alpha_loss": loss.detach()}

    def augmented(self, batch: Batch) -> Batch:
        """Returns the batch with its images moved at random, if that is asked for."""
        if self.random_shift is None:
            return batch
        return batch._replace(obs=self.random_shift(batch.obs), next_obs=self.random_shift(batch.next_obs))

    def normalized(self, batch: Batch) -> Batch:
        """Returns the batch as the networks read it."""
        if self.normalize_obs is not None:
            obs, next_obs = self.normalize_obs(batch.obs), self.normalize_obs(batch.next_obs)
            batch = batch._replace(obs=obs, next_obs=next_obs)
        if self.normalize_reward is not None:
            batch = batch._replace(reward=self.normalize_reward(batch.reward))
        return batch

    def target_of_allowed(self, target: Scalar, batch: Batch) -> Scalar:
        """Returns H̄ for the actions that masks allow in the states of `batch`, normalised transitions.

        `target` is H̄ for all actions. Its part for choices shrinks as the largest entropy does:
        `ActionMask.share`.
        """
        if self.actor.action_mask is None:
            return target
        rule, of_choices = self.entropy_setting.target_rule, target
        if rule is not None and self.head.num_continuous:
            of_choices = torch.full_like(target, rule.choice_part(self.head))
        return target - (1.0 - self.actor.action_mask.share(batch.obs)) * of_choices

    def _move_target_entropy(self, entropy: Scalar, batch: Batch) -> Scalar:
        """Returns H̄ of this update. A dynamic rule changes the target and its memory in place."""
        rule = self.entropy_setting.target_rule
        if rule is not None and rule.is_dynamic:
            if self.actor.action_mask is not None:  # the rule compares with the H̄ of all actions
                lost = self.target_entropy - self.target_of_allowed(self.target_entropy, batch)
                entropy = entropy + lost
            if self._ranks is not None:  # the rule is not linear in it
                (entropy,) = self._ranks.mean([entropy])
            target, memory = rule.update(
                self.head, self.target_entropy, self.target_memory, entropy, self.env_steps
            )
            self.target_entropy.copy_(target)
            self.target_memory.copy_(memory)
        return self.target_of_allowed(self.target_entropy.clone(), batch)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _projected(network: nn.Module) -> list[Any]:
    """Returns the layers that are projected after each step of their optimizer."""
    return [layer for layer in network.modules() if hasattr(layer, "project_")]
