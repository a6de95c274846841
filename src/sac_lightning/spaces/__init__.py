"""What the networks need to know of an environment: plain sizes, no Gymnasium.

A spec can be written into a checkpoint as numbers and read back without making an env.
"""

from sac_lightning.spaces.actions import ActionSpec, Array, BoxAction
from sac_lightning.spaces.choices import (
    ENUMERABLE,
    DiscreteAction,
    HybridAction,
    MultiDiscreteAction,
    one_hot,
    random_allowed,
)
from sac_lightning.spaces.observations import ObsPart, ObsSpec

__all__ = [
    "ENUMERABLE",
    "ActionSpec",
    "Array",
    "BoxAction",
    "DiscreteAction",
    "HybridAction",
    "MultiDiscreteAction",
    "ObsPart",
    "ObsSpec",
    "one_hot",
    "random_allowed",
]
