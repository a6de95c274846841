"""Action heads: what the actor's last features mean as a policy over one action space."""

from sac_lightning.heads.auto import head_for
from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.heads.categorical import Categorical
from sac_lightning.heads.normal import Normal
from sac_lightning.heads.tanh_normal import TanhNormal

__all__ = ["ActionHead", "Categorical", "Interval", "Normal", "TanhNormal", "head_for"]
