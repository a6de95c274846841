"""One optimizer's step: the gradient of a loss for one network's weights, clipping, and Adam in place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam as fused_adam

from sac_lightning.core.ranks import Ranks
from sac_lightning.optim.config import Adam
from sac_lightning.types import Scalar


class OptimizerStep:
    """Takes steps down a loss, with the state of an optimizer that Lightning saves and restores.

    The gradient is taken for this network's weights alone, so no other network has to be frozen.

    Args:
        config: betas, eps, weight decay and clipping.
        optimizer: PyTorch's Adam or AdamW, whose parameters, state and learning rate are used.
    """

    def __init__(self, config: Adam, optimizer: torch.optim.Adam) -> None:
        self._config = config
        self._group = optimizer.param_groups[0]
        self.weights: list[nn.Parameter] = list(self._group["params"])
        state = [adam_state(optimizer, weight) for weight in self.weights]
        self._steps = [each["step"] for each in state]
        self._means = [each["exp_avg"] for each in state]
        self._squares = [each["exp_avg_sq"] for each in state]
        self._lr_now = float(self._group["lr"])
        self._lr = torch.tensor(self._lr_now, device=self._means[0].device)
        self.written_out = False  # Adam as plain operations, for a compiled graph
        self.ranks: Ranks | None = None  # over which gradients are averaged, before they are clipped

    @property
    def state(self) -> list[Tensor]:
        """All tensors that `step` reads and writes in place; they stay where they are."""
        return [*self.weights, *self._means, *self._squares, *self._steps, self._lr]

    def follow_lr(self) -> None:
        """Takes over the learning rate that a schedule or a callback has left in the optimizer."""
        if self._group["lr"] != self._lr_now:
            self._lr_now = float(self._group["lr"])
            self._lr.fill_(self._lr_now)

    @torch.no_grad()
    def forget(self) -> None:
        """Starts the optimizer's state again, in place."""
        for each in (*self._means, *self._squares, *self._steps):
            each.zero_()

    def step(self, loss: Scalar) -> None:
        """Steps the weights down the gradient of `loss`."""
        found: Sequence[Tensor] = torch.autograd.grad(loss, self.weights)
        if self.ranks is not None:
            found = self.ranks.mean(found)
        # Fused Adam reads memory in order, and a convolution's gradient may lie in another than its weight.
        gradients = self._clipped([gradient.contiguous() for gradient in found])
        config, weights = self._config, self.weights
        if self.written_out:
            adam_step(weights, gradients, self._means, self._squares, self._steps, self._lr, config)
            return
        with torch.no_grad():
            if config.decay:
                for weight in weights:
                    weight.mul_(1.0 - self._lr_now * config.decay)
            fused_adam(
                list(weights),
                list(gradients),
                self._means,
                self._squares,
                [],
                self._steps,
                fused=True,
                amsgrad=False,
                beta1=config.betas[0],
                beta2=config.betas[1],
                lr=self._lr,
                weight_decay=0.0,
                eps=config.eps,
                maximize=False,
            )

    def _clipped(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Returns the gradients, scaled together to a norm of at most `max_grad_norm`."""
        if self._config.max_grad_norm is None:
            return gradients
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        scale = (self._config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        return [gradient * scale for gradient in gradients]


@torch.no_grad()
def adam_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    lr: Tensor,
    config: Adam,
) -> None:
    """θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε) in place, with m, v and t     (1412.6980, algorithm 1)

    Does what `torch.optim.Adam` and `AdamW` do, whose state `means`, `squares` and `steps` are; all of
    `steps` are equal. PyTorch's own functions, compiled, compute β to the power of t again for every sixteen
    weights, a twentieth of an update. The maximum of equal numbers is a reduction, computed once.
    """
    beta_1, beta_2 = config.betas
    for step in steps:
        step.add_(1.0)
    t = torch.stack(list(steps))
    step_size = (lr / (1.0 - beta_1**t)).amax()
    scale = (1.0 - beta_2**t).rsqrt().amax()
    for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
        if config.decay:
            weight.mul_(1.0 - lr * config.decay)
        mean.lerp_(gradient, 1.0 - beta_1)
        square.mul_(beta_2).addcmul_(gradient, gradient, value=1.0 - beta_2)
        weight.sub_(step_size * mean / (square.sqrt() * scale + config.eps))


def adam_state(optimizer: torch.optim.Adam, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Returns the state of `parameter`, made as Adam makes it before its first step."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state
