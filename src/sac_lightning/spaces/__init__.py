"""What the networks need to know of an environment: plain sizes, no Gymnasium.

A spec can be written into a checkpoint as numbers and read back without making an env.
Actions live in the *unit action box* [-1, 1]^A everywhere inside (networks, replay, entropies);
only `to_env` knows the env's own bounds.
"""

from sac_lightning.spaces.base import ActionSpec, Array, ObsSpec
from sac_lightning.spaces.box import BoxAction
from sac_lightning.spaces.discrete import DiscreteAction
from sac_lightning.spaces.hybrid import HybridAction
from sac_lightning.spaces.multi_discrete import MultiDiscreteAction

__all__ = [
    "ActionSpec",
    "Array",
    "BoxAction",
    "DiscreteAction",
    "HybridAction",
    "MultiDiscreteAction",
    "ObsSpec",
]
