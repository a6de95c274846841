"""Action heads: what the actor's last features mean as a policy over one action space."""

from sac_lightning.core.errors import ConfigError
from sac_lightning.heads.base import ActionHead, Interval
from sac_lightning.heads.discrete import Categorical, MultiCategorical, SampledMultiCategorical
from sac_lightning.heads.gaussian import Normal, TanhNormal
from sac_lightning.heads.hybrid import Hybrid
from sac_lightning.spaces import ActionSpec

__all__ = [
    "PREFERRED",
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

PREFERRED: tuple[type[ActionHead], ...] = (
    TanhNormal,
    Normal,
    Categorical,
    MultiCategorical,
    SampledMultiCategorical,
    Hybrid,
)


def head_for(action: ActionSpec) -> ActionHead:
    """Returns the first of `PREFERRED` that fits `action`. Raises ConfigError where none does."""
    for head in PREFERRED:
        if head.supports(action):
            return head.for_action(action)
    raise ConfigError("head", "auto", f"no head fits {action}: name your own with head._target_")
