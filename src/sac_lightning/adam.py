"""Adam's step in the form that a compiled graph runs best."""

from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2 = 0.9, 0.999


@torch.no_grad()
def adam_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    lr: Tensor,
    eps: float,
) -> None:
    """θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε) in place, with m, v and t     (1412.6980, algorithm 1)

    What `torch.optim.Adam` does, whose state `means`, `squares` and `steps` are; all of `steps` are equal.
    Its own functional form, put into a graph, raises β to the power of t again for every sixteen weights, a
    twentieth of an update. The maximum of equal numbers is a reduction, which is computed once.
    """
    for step in steps:
        step.add_(1.0)
    t = torch.stack(list(steps))
    step_size = (lr / (1.0 - BETA_1**t)).amax()
    scale = (1.0 - BETA_2**t).rsqrt().amax()
    for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
        mean.lerp_(gradient, 1.0 - BETA_1)
        square.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
        weight.sub_(step_size * mean / (square.sqrt() * scale + eps))
