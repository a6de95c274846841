"""Action heads: what the actor's last features mean as a policy over one action space."""

from sac_lightning.heads.auto import head_for
from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.heads.categorical import Categorical
from sac_lightning.heads.hybrid import Hybrid
from sac_lightning.heads.multi_categorical import MultiCategorical
from sac_lightning.heads.normal import Normal
from sac_lightning.heads.sampled_multi_categorical import SampledMultiCategorical
from sac_lightning.heads.tanh_normal import TanhNormal

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
