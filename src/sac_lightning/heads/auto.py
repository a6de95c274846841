"""The head that an action space asks for."""

from sac_lightning.errors import ConfigError
from sac_lightning.heads.base import ActionHead
from sac_lightning.heads.categorical import Categorical
from sac_lightning.heads.normal import Normal
from sac_lightning.heads.tanh_normal import TanhNormal
from sac_lightning.spaces import ActionSpec

PREFERRED: tuple[type[ActionHead], ...] = (TanhNormal, Normal, Categorical)


def head_for(action: ActionSpec) -> ActionHead:
    """The first head made for `action`: bounded boxes tanh_normal, unbounded normal, choices categorical."""
    for head in PREFERRED:
        if head.fits(action):
            return head.for_action(action)
    raise ConfigError("head", "auto", f"no head fits {action}: name your own with head._target_")
