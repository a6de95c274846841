"""One network's descent: the gradient of its objective, and Adam's step on its weights, in place."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Adam
from torch.optim.adam import adam

from sac_lightning.adam import BETA_1, BETA_2, adam_step
from sac_lightning.optim import Optimized
from sac_lightning.types import Alpha, Scalar


class Gradient(NamedTuple):
    """A loss, its gradient for each parameter of one network, and the objective's second number."""

    loss: Scalar
    gradients: Sequence[Tensor]
    told: Alpha


class GradientOf:
    """Differentiates an objective with respect to one of its networks; the others are constants of it.

    Nothing has to be frozen and thawed. Eager, `torch.autograd.grad` walks only towards the parameters asked
    for. For a graph, which cannot contain that, `torch.func` differentiates the same objective as a function
    of its weights. `network` is the name of a submodule, "" for the objective itself. `autocast` runs
    the matrix products in bfloat16; the networks answer in float32, so densities and targets stay exact.
    `alias` gives a parameter's memory without its history; one graph wants one alias of each.
    """

    def __init__(
        self,
        objective: nn.Module,
        network: str,
        *,
        for_graph: bool = False,
        autocast: bool = False,
        alias: Callable[[Tensor], Tensor] = Tensor.detach,
    ) -> None:
        self._objective, self._autocast = objective, autocast
        prefix = f"{network}." if network else ""
        named = dict(objective.named_parameters())
        self.parameters = {name: each for name, each in named.items() if name.startswith(prefix)}
        detached = {name: alias(each) for name, each in named.items()}
        self._weights = {name: detached[name] for name in self.parameters}
        self._constants = {name: each for name, each in detached.items() if name not in self.parameters}
        self._run = self._functional if for_graph else self._eager

    @property
    def weights(self) -> list[Tensor]:
        """What is differentiated for, as tensors that may be written to."""
        return list(self._weights.values())

    def __call__(self, *inputs: Any) -> Gradient:
        return self._run(*inputs)

    def _eager(self, *inputs: Any) -> Gradient:
        with self._precision():
            loss, told = self._objective(*inputs)
        found = torch.autograd.grad(loss, list(self.parameters.values()))
        return Gradient(loss.detach(), found, told.detach())

    def _functional(self, *inputs: Any) -> Gradient:
        found, (loss, told) = grad_and_value(self._of_weights, has_aux=True)(self._weights, inputs)
        return Gradient(loss, list(found.values()), told)

    def _of_weights(self, weights: dict[str, Tensor], inputs: Any) -> tuple[Scalar, Alpha]:
        with self._precision():
            loss, told = functional_call(self._objective, {**self._constants, **weights}, inputs)
        return loss, told.detach()

    def _precision(self) -> AbstractContextManager[object]:
        # PyTorch's cache takes no graph with an autocast in it, not even a disabled one.
        if not self._autocast:
            return nullcontext()
        return torch.autocast(next(iter(self._weights.values())).device.type, torch.bfloat16)


class Learner:
    """Descends an objective with the state of an Adam that Lightning saves, schedules and restores.

    The optimizer object keeps state and learning rate; its arithmetic is PyTorch's functional `adam`, fused
    where it runs eagerly and written out where a graph is to contain it.
    """

    def __init__(
        self,
        objective: nn.Module,
        network: str,
        config: Optimized,
        optimizer: Adam,
        *,
        for_graph: bool = False,
        autocast: bool = False,
        alias: Callable[[Tensor], Tensor] = Tensor.detach,
    ) -> None:
        self.gradient = GradientOf(objective, network, for_graph=for_graph, autocast=autocast, alias=alias)
        self._config, self._for_graph = config, for_graph
        self._group = optimizer.param_groups[0]
        state = [adam_state(optimizer, each) for each in self.gradient.parameters.values()]
        self._steps = [each["step"] for each in state]
        self._means = [each["exp_avg"] for each in state]
        self._squares = [each["exp_avg_sq"] for each in state]
        self._lr_now = float(self._group["lr"])
        self._lr = torch.tensor(self._lr_now, device=self._means[0].device)

    @property
    def state(self) -> list[Tensor]:
        """All tensors that `descend` reads and writes in place, at addresses that never change."""
        return [*self.gradient.weights, *self._means, *self._squares, *self._steps, self._lr]

    def follow_schedule(self) -> None:
        """Take over the learning rate that a schedule has left in the optimizer."""
        if self._group["lr"] != self._lr_now:
            self._lr_now = float(self._group["lr"])
            self._lr.fill_(self._lr_now)

    def descend(self, *inputs: Any) -> Gradient:
        """One step down the objective of `inputs`; what it was before the step."""
        gradient = self.gradient(*inputs)
        weights, gradients = self.gradient.weights, self._clipped(list(gradient.gradients))
        if self._for_graph:
            adam_step(
                weights, gradients, self._means, self._squares, self._steps, self._lr, self._config.adam_eps
            )
        else:
            with torch.no_grad():
                adam(
                    weights,
                    gradients,
                    self._means,
                    self._squares,
                    [],
                    self._steps,
                    fused=True,
                    amsgrad=False,
                    beta1=BETA_1,
                    beta2=BETA_2,
                    lr=self._lr,
                    weight_decay=0.0,
                    eps=self._config.adam_eps,
                    maximize=False,
                )
        return gradient

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        """`gradients`, scaled together to a norm of at most `max_grad_norm`."""
        if self._config.max_grad_norm is None:
            return gradients
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        scale = (self._config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        return [gradient * scale for gradient in gradients]


def adam_state(optimizer: Adam, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The state that `optimizer` keeps for `parameter`, made as Adam makes it before its first step."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state
