"""Layers with a leading axis of N networks: the critics of an ensemble run as one batched network.

An actor uses the same layers with N = 1.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sac_lightning.networks.counter_random import CounterRandom

# In place where the gradient needs the result alone: it saves a fresh block of memory per layer.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "elu": partial(F.elu, inplace=True),
    "silu": F.silu,
    "tanh": torch.tanh_,
}


class EnsembleLinear(nn.Module):
    """Computes x W + b for N networks at once: [N, B, I] -> [N, B, J].

    Args:
        num: N, how many networks.
        size_in: I.
        size_out: J.
        generator: source of the initial weights U(±1/√I), PyTorch's default for linear layers.
        bias: whether b exists.
    """

    def __init__(
        self, num: int, size_in: int, size_out: int, generator: torch.Generator, *, bias: bool = True
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size_in)
        self.num, self.size_out = num, size_out
        self.weight = nn.Parameter(_uniform((num, size_in, size_out), bound, generator))  # [N, I, J]
        self.bias = nn.Parameter(_uniform((num, 1, size_out), bound, generator)) if bias else None

    def forward(self, x: Float[Tensor, "N B I"]) -> Float[Tensor, "N B J"]:
        """Returns the layer's output, in the dtype of the product."""
        weight, bias = self.weight, self.bias
        if self.size_out == 1:  # a product with one column is slow as a matrix product
            product = (x * weight.mT).sum(dim=-1, keepdim=True)
        elif self.num == 1:  # compiled, a batch of one takes longer
            product = torch.matmul(x, weight.squeeze(0))
        else:
            product = torch.bmm(x, weight)
        return product if bias is None else add_bias(product, bias)


class EnsembleLayerNorm(nn.Module):
    """Normalises each state's features to mean 0 and variance 1, for N networks     (1607.06450)

    Args:
        num: N, how many networks.
        size: features per state.
    """

    def __init__(self, num: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num, 1, size))
        self.bias = nn.Parameter(torch.zeros(num, 1, size))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the normalised features, with gain and bias of each network."""
        return F.layer_norm(x.float(), x.shape[-1:]) * self.weight + self.bias


class EnsembleBatchNorm(nn.Module):
    """Normalises each feature over the batch, for N networks     (1502.03167)

    With `use_batch_statistics` (set by `batch_statistics`) it takes mean and variance of the batch and
    moves the running ones; otherwise it uses the running ones and changes nothing.

    Args:
        num: N, how many networks.
        size: features per state.
        momentum: share of the old running statistics that is kept, in [0, 1).
        eps: added to the variance.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, num: int, size: int, momentum: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.use_batch_statistics = False
        self.weight = nn.Parameter(torch.ones(num, 1, size))
        self.bias = nn.Parameter(torch.zeros(num, 1, size))
        self.register_buffer("mean", torch.zeros(num, 1, size))
        self.register_buffer("var", torch.ones(num, 1, size))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the normalised features, with gain and bias of each network."""
        x = x.float()
        mean, var = self.mean, self.var
        if self.use_batch_statistics:
            var, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, 1.0 - self.momentum)
                self.var.lerp_(var, 1.0 - self.momentum)
        return (x - mean) * ((var + self.eps).rsqrt() * self.weight) + self.bias


class EnsembleBatchRenorm(EnsembleBatchNorm):
    """Normalises by the running statistics, with gradients through those of the batch     (1702.03275)

    x̂ = (x − μ_B)/σ_B · r + d, with r = σ_B/σ clipped to [1/3, 3] and d = (μ_B − μ)/σ clipped to [−5, 5], both
    constants of the gradient. In its first `warm_up` batches it is BatchNorm: r = 1, d = 0.

    Args:
        num, size, momentum, eps: as for EnsembleBatchNorm.
        warm_up: batches before r and d are used; running statistics mean little earlier.
    """

    batches: Tensor

    def __init__(
        self, num: int, size: int, momentum: float = 0.99, eps: float = 1e-3, warm_up: int = 100_000
    ) -> None:
        super().__init__(num, size, momentum, eps)
        self.warm_up = warm_up
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the normalised features, with gain and bias of each network."""
        if not self.use_batch_statistics:
            return super().forward(x)
        x = x.float()
        var, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        std = (var + self.eps).sqrt()
        with torch.no_grad():
            running_std = (self.var + self.eps).sqrt()
            warm = self.batches >= self.warm_up
            r = torch.where(warm, (std / running_std).clamp(1 / 3, 3.0), 1.0)
            d = torch.where(warm, ((mean - self.mean) / running_std).clamp(-5.0, 5.0), 0.0)
        with torch.no_grad():
            self.mean.lerp_(mean, 1.0 - self.momentum)
            self.var.lerp_(var, 1.0 - self.momentum)
            self.batches.add_(1.0)
        return (x - mean) * (r / std * self.weight) + (d * self.weight + self.bias)


class Dropout(nn.Module):
    """Zeroes features at random, within `dropout` alone; the others are scaled by 1/(1 − p)     (1207.0580)

    Args:
        p: probability of each feature of each state, in [0, 1).
        generator: source of the layer's own random numbers.
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self.p, self.drops = p, False
        self.random = CounterRandom(generator)

    def forward(self, x: Float[Tensor, "N B H"]) -> Float[Tensor, "N B H"]:
        """Returns the features that are left."""
        if not self.drops:
            return x
        # As factors: on a CPU, PyTorch's compiler stores a mask of booleans one by one.
        kept = torch.where(self.random.uniform(*x.shape) >= self.p, 1.0 / (1.0 - self.p), 0.0)
        return x * kept


class _Switch:
    kind: type[nn.Module]
    attribute: str

    def __init__(self, *networks: nn.Module) -> None:
        layers = [layer for network in networks for layer in network.modules()]
        self._layers = [layer for layer in layers if isinstance(layer, self.kind)]

    def __enter__(self) -> None:
        for layer in self._layers:
            setattr(layer, self.attribute, True)

    def __exit__(self, *error: object) -> None:
        for layer in self._layers:
            setattr(layer, self.attribute, False)


class batch_statistics(_Switch):  # noqa: N801  # used like the context managers of contextlib
    """Context in which the BatchNorm layers of `networks` use and record the statistics of the batch."""

    kind, attribute = EnsembleBatchNorm, "use_batch_statistics"


class dropout(_Switch):  # noqa: N801  # used like the context managers of contextlib
    """Context in which the Dropout layers of `networks` drop features."""

    kind, attribute = Dropout, "drops"


def add_bias(product: Float[Tensor, "*shape"], bias: Float[Tensor, "*broadcast"]) -> Float[Tensor, "*shape"]:
    """Returns product + bias, in place where that loses no precision."""
    # Not addmm, which copies the bias first. A bfloat16 product is not added to in place: the sum would be
    # rounded to bfloat16 as well.
    return product.add_(bias) if product.dtype == bias.dtype else product + bias


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * (2 * bound) - bound
