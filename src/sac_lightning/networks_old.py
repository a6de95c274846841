"""The networks: one actor, a batched ensemble of critics, and the slow copy of the latter."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sac_lightning.errors import as_whole, require, whole
from sac_lightning.heads.base import ActionHead
from sac_lightning.optim import Optimized
from sac_lightning.spaces import ObsSpec
from sac_lightning.types import PolicyAtoms

# In place where the gradient needs the result alone: writing to memory that is not in the caches yet takes
# several times as long as writing to what the product has just left there.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "elu": partial(F.elu, inplace=True),
    "silu": F.silu,
    "tanh": torch.tanh_,
}


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Optimized):
    """Hidden layers and optimizer of one network."""

    hidden_sizes: Sequence[int] = (256, 256)
    activation: str = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes: Any = self.hidden_sizes
        listed = isinstance(sizes, Sequence) and not isinstance(sizes, str) and len(sizes) > 0
        sizes = tuple(map(as_whole, sizes)) if listed else sizes
        require(
            listed and all(whole(size) >= 1 for size in sizes),
            "hidden_sizes",
            self.hidden_sizes,
            "must be a list of one or more whole numbers above 0",
        )
        object.__setattr__(self, "hidden_sizes", sizes)
        ok = isinstance(self.activation, str) and self.activation in ACTIVATIONS
        require(ok, "activation", self.activation, f"must be one of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True, kw_only=True)
class ActorConfig(NetworkConfig):
    """The actor's network and optimizer."""


@dataclass(frozen=True, kw_only=True)
class CriticConfig(NetworkConfig):
    """The critics' networks and optimizer."""

    num_critics: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "num_critics", as_whole(self.num_critics))
        require(
            whole(self.num_critics) >= 2,
            "num_critics",
            self.num_critics,
            "must be a whole number of at least 2, for the minimum over critics",
        )


def flat_obs(obs: Shaped[Tensor, "*batch_and_obs"], spec: ObsSpec) -> Float[Tensor, "*batch O"]:
    """Observations as the networks read them: float, flat, bytes scaled to [0, 1]."""
    # A call that would change nothing is left out: for one obs it costs as much as one that does something.
    flat = obs if len(spec.shape) == 1 else obs.reshape(*obs.shape[: obs.ndim - len(spec.shape)], spec.size)
    if flat.dtype == torch.uint8:
        return flat / 255.0
    return flat if flat.dtype == torch.float32 else flat.to(torch.float32)


class Actor(nn.Module):
    """obs -> features of an action head."""

    def __init__(
        self, obs: ObsSpec, head: ActionHead, config: ActorConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.obs_spec = obs
        self.activation = ACTIVATIONS[config.activation]
        sizes = (obs.size, *config.hidden_sizes, head.feature_size)
        self.layers: Any = nn.ModuleList(
            _linear(size_in, size_out, generator) for size_in, size_out in itertools.pairwise(sizes)
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.layers[0].weight.device
        return device

    def forward(self, obs: Shaped[Tensor, "B *obs"]) -> Float[Tensor, "B F"]:
        """Features, always float32: densities are not computed in half precision."""
        x = flat_obs(obs, self.obs_spec)
        *hidden, last = self.layers
        for layer in hidden:  # not `layer(x)`: acting on one obs, the calls would cost more than the products
            x = self.activation(_plus(x @ layer.weight.T, layer.bias))
        # Each feature's numbers lie side by side: a graph works through 16 states at once, not one by one.
        features = _plus(last.weight @ x.T, last.bias[:, None]).T
        return features if features.dtype == torch.float32 else features.float()


class CriticEnsemble(nn.Module):
    """N critics as one batched network: a single batched matrix product per layer for all of them.

    For a head with `num_actions` n it reads the obs and gives the values of all n actions in one pass;
    otherwise it reads obs and action.
    """

    def __init__(
        self, obs: ObsSpec, head: ActionHead, config: CriticConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.obs_spec = obs
        self.num_critics = config.num_critics
        self.num_actions = head.num_actions
        self.activation = ACTIVATIONS[config.activation]
        size_in = obs.size + (head.action_size if head.num_actions is None else 0)
        sizes = (size_in, *config.hidden_sizes, head.num_actions or 1)
        self.layers: Any = nn.ModuleList(
            BatchedLinear(config.num_critics, a, b, generator) for a, b in itertools.pairwise(sizes)
        )

    def taken(self, obs: Shaped[Tensor, "B *obs"], action: Shaped[Tensor, "B *A"]) -> Float[Tensor, "N B"]:
        """Q_i(s, a) of the actions in a batch."""
        flat = flat_obs(obs, self.obs_spec)
        if self.num_actions is None:
            return self._run(torch.cat((flat, action), dim=-1))[..., 0]  # [N, B]
        index = action.expand(self.num_critics, -1)[..., None]  # [N, B, 1]
        return self._run(flat).gather(-1, index)[..., 0]

    def of_atoms(self, obs: Shaped[Tensor, "B *obs"], atoms: PolicyAtoms) -> Float[Tensor, "N K B"]:
        """Q_i(s, a_k) of a policy's atoms; differentiable in the actions where the critic reads them."""
        flat = flat_obs(obs, self.obs_spec)
        if self.num_actions is not None:
            return self._run(flat).transpose(1, 2)  # [N, n, B]
        k, b = atoms.log_prob.shape
        pairs = torch.cat((flat.expand(k, -1, -1), atoms.action), dim=-1)  # [K, B, O + A]
        return self._run(pairs.reshape(k * b, -1)).reshape(self.num_critics, k, b)

    def _run(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "N B J"]:
        wide = x.expand(self.num_critics, -1, -1)  # [N, B, I]
        *hidden, last = self.layers
        for layer in hidden:
            wide = self.activation(_batched(wide, layer))
        return _batched(wide, last).float()


class BatchedLinear(nn.Module):
    """N affine maps at once: weight [N, I, J], bias [N, 1, J]."""

    def __init__(self, copies: int, size_in: int, size_out: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(size_in)
        self.weight = nn.Parameter(_uniform((copies, size_in, size_out), bound, generator))
        self.bias = nn.Parameter(_uniform((copies, 1, size_out), bound, generator))


def _batched(x: Float[Tensor, "N B I"], layer: BatchedLinear) -> Float[Tensor, "N B J"]:
    if layer.weight.shape[-1] == 1:  # a product with one column is slow as a matrix product
        return (x * layer.weight.mT).sum(dim=-1, keepdim=True) + layer.bias
    return _plus(torch.bmm(x, layer.weight), layer.bias)


def _plus(product: Float[Tensor, "*shape"], bias: Float[Tensor, "*broadcast"]) -> Float[Tensor, "*shape"]:
    # Not addmm: that copies the bias first, where a graph adds it while it applies the activation.
    # A product in bfloat16 is not added to in place: the sum would be rounded to bfloat16 as well.
    return product.add_(bias) if product.dtype == bias.dtype else product + bias


@torch.no_grad()
def polyak_update(targets: Iterable[Tensor], sources: Iterable[Tensor], tau: float) -> None:
    """θ̄ ← (1 − τ) θ̄ + τ θ, in place     (1812.05905 algorithm 1)"""
    torch._foreach_lerp_(list(targets), list(sources), tau)


def _linear(size_in: int, size_out: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(size_in, size_out, device="meta").to_empty(device="cpu")
    bound = 1.0 / math.sqrt(size_in)
    with torch.no_grad():
        layer.weight.copy_(_uniform((size_out, size_in), bound, generator))
        layer.bias.copy_(_uniform((size_out,), bound, generator))
    return layer


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    # PyTorch's own default for linear layers, but from a generator of the run: U(±1/√fan_in).
    return torch.rand(shape, generator=generator) * (2 * bound) - bound
