"""The course of a number from its start to its end over a given count of env steps."""

import math
from typing import Annotated

import torch
from jaxtyping import Int
from torch import Tensor

from sac_lightning.core.fields import OneOf
from sac_lightning.types import Scalar

Shape = Annotated[str, OneOf(("exponential", "linear", "cosine"))]
RATE = 5.0  # e-folds of the exponential remainder: less than 1 % would be left without the offset


def progress(env_steps: Int[Tensor, ""], steps: int) -> Scalar:
    """f = min(1, env_steps / steps)."""
    return (env_steps / steps).clamp(max=1.0)


def remainder(f: Scalar, shape: str) -> Scalar:
    """The share of the way that is left, from 1 at f = 0 to 0 at f = 1.

    linear 1 − f; cosine ½(1 + cos πf); exponential (e^(−5f) − e^(−5)) / (1 − e^(−5)).
    """
    if shape == "linear":
        return 1.0 - f
    if shape == "cosine":
        return 0.5 * (1.0 + torch.cos(math.pi * f))
    return (torch.exp(-RATE * f) - math.exp(-RATE)) / (1.0 - math.exp(-RATE))
