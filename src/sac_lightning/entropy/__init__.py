"""Entropy rules: how α is set (temperature) and which entropy it aims at (target_entropy)."""

from sac_lightning.entropy.reachable import check_reachable
from sac_lightning.entropy.target_entropy import (
    Constant,
    EpsPeaked,
    HeadDefault,
    MaxEntropy,
    MaxRatio,
    NegDim,
    NegHalfDim,
    Sigma,
    TargetEntropyRule,
)
from sac_lightning.entropy.temperature import Anneal, Auto, Fixed, TemperatureRule

__all__ = [
    "Anneal",
    "Auto",
    "Constant",
    "EpsPeaked",
    "Fixed",
    "HeadDefault",
    "MaxEntropy",
    "MaxRatio",
    "NegDim",
    "NegHalfDim",
    "Sigma",
    "TargetEntropyRule",
    "TemperatureRule",
    "check_reachable",
]
