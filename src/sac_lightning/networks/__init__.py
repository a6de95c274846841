"""Networks: encoder, torso and value head, for the actor and the ensemble of critics."""

from sac_lightning.networks.actor_critic import Actor, ActorConfig, Critic, CriticConfig
from sac_lightning.networks.encoder import Cnn, Encoder, Flat
from sac_lightning.networks.normalization import (
    ObsNormalization,
    RawObs,
    RawReward,
    ReturnVariance,
    RewardNormalization,
    RunningObs,
)
from sac_lightning.networks.target_network import NoTargetNetwork, Polyak, TargetNetwork
from sac_lightning.networks.torso import BatchNorm, LayerNorm, Mlp, Torso
from sac_lightning.networks.value_head import CategoricalValue, Mean, Min, Pessimism, ScalarValue, ValueHead

__all__ = [
    "Actor",
    "ActorConfig",
    "BatchNorm",
    "CategoricalValue",
    "Cnn",
    "Critic",
    "CriticConfig",
    "Encoder",
    "Flat",
    "LayerNorm",
    "Mean",
    "Min",
    "Mlp",
    "NoTargetNetwork",
    "ObsNormalization",
    "Pessimism",
    "Polyak",
    "RawObs",
    "RawReward",
    "ReturnVariance",
    "RewardNormalization",
    "RunningObs",
    "ScalarValue",
    "TargetNetwork",
    "Torso",
    "ValueHead",
]
