"""The actor and the ensemble of critics: encoder, torso and output layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.core.errors import require
from sac_lightning.core.fields import ListOf, Number, Whole
from sac_lightning.core.spec import Described
from sac_lightning.heads.base import ActionHead
from sac_lightning.networks.action_mask import ActionMask
from sac_lightning.networks.encoder import BySpace, Encoder
from sac_lightning.networks.ensemble import add_bias
from sac_lightning.networks.target_network import Polyak, TargetNetwork
from sac_lightning.networks.torso import Mlp, Torso
from sac_lightning.networks.value_head import Min, Pessimism, ScalarHuber, ScalarValue, ValueHead
from sac_lightning.optim import Adam, LearningRate
from sac_lightning.spaces import ObsSpec
from sac_lightning.types import WeightedActions


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Described):
    """Configures what actor and critics have in common; ActorConfig lists the arguments."""

    hidden_sizes: Annotated[Sequence[int], ListOf(Whole("(0, inf)"))] = (256, 256)
    encoder: Encoder = field(default_factory=BySpace)
    torso: Torso = field(default_factory=Mlp)
    lr: LearningRate = 3e-4
    optimizer: Adam = field(default_factory=Adam)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.torso.check_sizes(self.hidden_sizes)


@dataclass(frozen=True, kw_only=True)
class ActorConfig(NetworkConfig):
    """Configures the actor.

    Args:
        entropy_penalty: β, above 0, of a penalty on the entropy's change, for discrete actions:
            `losses.entropy_penalty`. None for no penalty.
        hidden_sizes: width of each hidden layer (or block) of the torso.
        encoder: how an observation becomes features.
        torso: the hidden layers.
        lr: learning rate, in (0, 1).
        optimizer: what takes the steps.
    """

    entropy_penalty: Annotated[float | None, Number("(0, 1e9]")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = "drops features, which is for critics alone: set critic.torso (docs/extending.md)"
        require(not self.torso.has_dropout, "torso", type(self.torso).__name__, allowed)

    def check_head(self, head: ActionHead) -> None:
        """Raises ConfigError for an option that has no meaning for the actions of `head`."""
        ok = self.entropy_penalty is None or head.num_actions is not None
        allowed = f"is for discrete actions that are enumerated, not for {type(head).__name__}: must be null"
        require(ok, "actor.entropy_penalty", self.entropy_penalty, allowed)


@dataclass(frozen=True, kw_only=True)
class CriticConfig(NetworkConfig):
    """Configures the critics.

    Args:
        num_critics: N, at least 1.
        value_head: what a critic's outputs mean as a value, and how they learn it.
        pessimism: how N critics become one.
        target_network: the critics that the bootstrap reads.
        q_clip: how far a critic may leave its target critic in one loss, above 0, for discrete actions and
            value_head=scalar: `losses.clipped_critic_loss`. 0.5 in 2209.10081; None for no limit.
        hidden_sizes, encoder, torso, lr, optimizer: as for the actor.
    """

    num_critics: Annotated[int, Whole("[1, inf)")] = 2
    value_head: ValueHead = field(default_factory=ScalarValue)
    pessimism: Pessimism = field(default_factory=Min)
    target_network: TargetNetwork = field(default_factory=Polyak)
    q_clip: Annotated[float | None, Number("(0, 1e9]")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        least, name = self.pessimism.least_critics, type(self.pessimism).__name__
        allowed = f"must be a whole number of at least {least} for pessimism {name}"
        require(self.num_critics >= least, "num_critics", self.num_critics, allowed)
        needed, quantiles = self.pessimism.least_quantiles, self.value_head.num_quantiles
        require(needed == 0 or quantiles > 0, "pessimism", name, "needs quantiles: value_head=quantile")
        allowed = f"needs at least {needed} quantiles; value_head.quantiles={quantiles}"
        require(needed <= quantiles, "pessimism", name, allowed)
        ok = self.torso.has_batch_statistics or not self.target_network.needs_batch_statistics
        allowed = "needs critics with batch statistics, e.g. torso=batch_norm"
        require(ok, "target_network", type(self.target_network).__name__, allowed)
        if self.q_clip is not None:
            ok = type(self.value_head) is ScalarValue
            require(ok, "q_clip", self.q_clip, "needs value_head=scalar, or must be null")
            ok = self.target_network.has_copy and not self.target_network.joint_pass
            require(ok, "q_clip", self.q_clip, "needs target_network=polyak, or must be null")

    def check_replay(self, needs_huber_loss: bool) -> None:
        """Raises ConfigError for replay whose priorities belong to another loss."""
        ok = isinstance(self.value_head, ScalarHuber) or not needs_huber_loss
        allowed = "must learn by the Huber loss with replay=lap: value_head=scalar_huber"
        require(ok, "value_head", type(self.value_head).__name__, allowed)

    def check_actor(self, actor: ActorConfig) -> None:
        """Raises ConfigError for a shared encoder that `actor` does not have."""
        ok = actor.encoder == self.encoder or not (actor.encoder.shared or self.encoder.shared)
        require(ok, "encoder.shared", True, "needs the same encoder for actor and critics")

    def check_head(self, head: ActionHead) -> None:
        """Raises ConfigError for an option that has no meaning for the actions of `head`."""
        ok = self.q_clip is None or head.num_continuous == 0
        allowed = f"is for discrete actions, these are {type(head).__name__}: must be null"
        require(ok, "critic.q_clip", self.q_clip, allowed)


class Actor(nn.Module):
    """Turns obs into the features of an action head: encoder, torso, output layer, and the action mask."""

    def __init__(
        self, obs: ObsSpec, head: ActionHead, config: ActorConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        seen = obs.of_actor
        self._numbers_seen = None if seen == obs else seen.size
        hidden = [part.name for part in obs.parts if part.critic_only]
        encoder: Any = config.encoder.without(hidden).build(seen, generator)
        self.encoder = encoder
        self.torso = config.torso.build(1, encoder.size_out, config.hidden_sizes, generator)
        self.output = config.torso.build_output(1, config.hidden_sizes[-1], head.feature_size, generator)
        self.action_mask = ActionMask(obs) if any(part.mask_of for part in obs.parts) else None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.output.weight.device

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B F"]:
        """Returns the features, always float32: densities are not computed in half precision."""
        if self._numbers_seen is not None:  # what critics see alone comes last
            obs = obs[..., : self._numbers_seen]
        hidden = self.torso(self.encoder(obs)[None]).squeeze(0)  # [B, H]
        weight, bias = self.output.weight.squeeze(0), self.output.bias
        assert bias is not None
        # Each feature's numbers lie side by side: compiled code works through 16 states at once. A product
        # with few rows takes up to nine times as long where they do not.
        features = add_bias(weight.T.contiguous() @ hidden.T, bias.view(-1, 1)).T
        features = features if features.dtype == torch.float32 else features.float()
        return features if self.action_mask is None else self.action_mask(features, obs)


class Critic(nn.Module):
    """N critics as one batched network: encoder, torso, output layer.

    For a head with `num_actions` n it reads the obs and returns the features of all n actions in one pass;
    otherwise it reads obs and action.
    """

    def __init__(
        self, obs: ObsSpec, head: ActionHead, config: CriticConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_critics, self.num_actions = config.num_critics, head.num_actions
        encoder: Any = config.encoder.build(obs, generator)
        self.encoder = encoder
        size_in = encoder.size_out + (head.action_size if head.num_actions is None else 0)
        self.torso = config.torso.build(config.num_critics, size_in, config.hidden_sizes, generator)
        size_out = config.value_head.feature_size * (head.num_actions or 1)
        self.output = config.torso.build_output(
            config.num_critics, config.hidden_sizes[-1], size_out, generator
        )

    def features(
        self, obs: Shaped[Tensor, "B *obs"], action: Shaped[Tensor, "B *A"]
    ) -> Float[Tensor, "N B F"]:
        """Returns the features of the actions in a batch."""
        rows = self.encoder(obs)
        if self.num_actions is None:
            return self._run(torch.cat((rows, action), dim=-1))
        return self._of_index(self._run(rows), action)

    def features_of_policy(
        self, obs: Shaped[Tensor, "B *obs"], actions: WeightedActions
    ) -> Float[Tensor, "N K B F"]:
        """Returns the features of a policy's actions; differentiable in actions that the critics read."""
        rows = self.encoder(obs)
        if self.num_actions is not None:
            return self._of_all(self._run(rows))
        return self._by_action(self._run(self._pairs(rows, actions)), actions)

    def joint_features(
        self,
        obs: Shaped[Tensor, "B *obs"],
        action: Shaped[Tensor, "B *A"],
        next_obs: Shaped[Tensor, "B *obs"],
        next_actions: WeightedActions,
    ) -> tuple[Float[Tensor, "N B F"], Float[Tensor, "N K B F"]]:
        """Returns `features` and `features_of_policy` from one pass over both, for BatchNorm."""
        rows, next_rows = self.encoder(torch.cat((obs, next_obs))).chunk(2)
        if self.num_actions is not None:
            now, after = self._run(torch.cat((rows, next_rows))).chunk(2, dim=1)
            return self._of_index(now, action), self._of_all(after)
        pairs = torch.cat((rows, action), dim=-1), self._pairs(next_rows, next_actions)
        now, after = torch.split(self._run(torch.cat(pairs)), [len(each) for each in pairs], dim=1)
        return now, self._by_action(after, next_actions)

    def _run(self, rows: Float[Tensor, "B I"]) -> Float[Tensor, "N B J"]:
        output: Tensor = self.output(self.torso(rows.expand(self.num_critics, -1, -1)))
        return output.float()

    def _pairs(self, rows: Float[Tensor, "B O"], actions: WeightedActions) -> Float[Tensor, "KB I"]:
        k = len(actions.log_prob)
        return torch.cat((rows.expand(k, -1, -1), actions.action), dim=-1).flatten(0, 1)

    def _by_action(
        self, features: Float[Tensor, "N KB F"], actions: WeightedActions
    ) -> Float[Tensor, "N K B F"]:
        k, b = actions.log_prob.shape
        return features.view(self.num_critics, k, b, -1)

    def _of_index(self, features: Float[Tensor, "N B nF"], action: Tensor) -> Float[Tensor, "N B F"]:
        every = self._of_all(features)  # [N, n, B, F]
        index = action[None, None, :, None].expand(self.num_critics, 1, -1, every.shape[-1])
        return every.gather(1, index).squeeze(1)

    def _of_all(self, features: Float[Tensor, "N B nF"]) -> Float[Tensor, "N n B F"]:
        assert self.num_actions is not None
        every = features.view(*features.shape[:2], self.num_actions, -1)
        return every.transpose(1, 2)
