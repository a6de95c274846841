"""Networks: encoder, torso and value head, for the actor and the ensemble of critics."""

from sac_lightning.networks.actor_critic import Actor, ActorConfig, Critic, CriticConfig
from sac_lightning.networks.distributional import CategoricalValue, HlGaussValue, QuantileValue, Truncated
from sac_lightning.networks.encoder import SMALL_CNN, BySpace, Cnn, Encoder, Flat, Multi
from sac_lightning.networks.normalization import (
    ObsNormalization,
    RawObs,
    RawReward,
    ReturnVariance,
    RewardNormalization,
    RunningObs,
)
from sac_lightning.networks.random_shift import RandomShift
from sac_lightning.networks.residual import Flash, Simba, SimbaV2
from sac_lightning.networks.target_network import JointPolyak, NoTargetNetwork, Polyak, TargetNetwork
from sac_lightning.networks.torso import BatchNorm, BatchRenorm, LayerNorm, Mlp, Torso, Xqc
from sac_lightning.networks.value_head import (
    Mean,
    Min,
    Pessimism,
    RandomSubset,
    ScalarHuber,
    ScalarValue,
    ValueHead,
)

__all__ = [
    "SMALL_CNN",
    "Actor",
    "ActorConfig",
    "BatchNorm",
    "BatchRenorm",
    "BySpace",
    "CategoricalValue",
    "Cnn",
    "Critic",
    "CriticConfig",
    "Encoder",
    "Flash",
    "Flat",
    "HlGaussValue",
    "JointPolyak",
    "LayerNorm",
    "Mean",
    "Min",
    "Mlp",
    "Multi",
    "NoTargetNetwork",
    "ObsNormalization",
    "Pessimism",
    "Polyak",
    "QuantileValue",
    "RandomShift",
    "RandomSubset",
    "RawObs",
    "RawReward",
    "ReturnVariance",
    "RewardNormalization",
    "RunningObs",
    "ScalarHuber",
    "ScalarValue",
    "Simba",
    "SimbaV2",
    "TargetNetwork",
    "Torso",
    "Truncated",
    "ValueHead",
    "Xqc",
]
