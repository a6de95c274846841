"""The head that an action space asks for."""

from sac_lightning.core.errors import ConfigError
from sac_lightning.heads.base import ActionHead
from sac_lightning.heads.discrete import Categorical, MultiCategorical, SampledMultiCategorical
from sac_lightning.heads.gaussian import Normal, TanhNormal
from sac_lightning.heads.hybrid import Hybrid
from sac_lightning.spaces import ActionSpec

PREFERRED: tuple[type[ActionHead], ...] = (
    TanhNormal,
    Normal,
    Categorical,
    MultiCategorical,
    SampledMultiCategorical,
    Hybrid,
)


def head_for(action: ActionSpec) -> ActionHead:
    """The head that fits `action`."""
    for head in PREFERRED:
        if head.supports(action):
            return head.for_action(action)
    raise ConfigError("head", "auto", f"no head fits {action}: name your own with head._target_")
