"""Action heads: what the actor's last features mean as a policy over one action space."""

from sac_lightning.heads.auto import head_for
from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.heads.discrete import Categorical, MultiCategorical, SampledMultiCategorical
from sac_lightning.heads.gaussian import Normal, TanhNormal
from sac_lightning.heads.hybrid import Hybrid

__all__ = [
    "ActionHead",
    "Categorical",
    "Hybrid",
    "Interval",
    "MultiCategorical",
    "Normal",
    "SampledMultiCategorical",
    "TanhNormal",
    "head_for",
]
