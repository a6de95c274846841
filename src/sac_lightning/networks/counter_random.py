"""Random numbers that an update draws itself, the same in an eager run, a compiled and a resumed one."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_LAST_32_BITS = 0xFFFFFFFF


class CounterRandom(nn.Module):
    """Draws uniform numbers by hashing a key, the number of earlier draws, and the place of each number.

    PyTorch's generators keep their state outside of tensors, where a graph cannot change it.

    Args:
        generator: source of the key.
    """

    key: Tensor  # [], 32 bits; made again from the seed, so that a copy of a network has a key of its own
    draws: Tensor  # [], int64

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        key = torch.randint(_LAST_32_BITS + 1, (), generator=generator)
        self.register_buffer("key", key, persistent=False)
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def uniform(self, *shape: int) -> Float[Tensor, "*shape"]:
        """Returns independent numbers of U[0, 1), multiples of 2⁻²⁴."""
        stream = _hash(self.draws ^ self.key)
        self.draws.add_(1).bitwise_and_(_LAST_32_BITS)
        place = torch.arange(math.prod(shape), device=self.draws.device)
        # `place` times a factor would be an address to PyTorch's compiler, computed in 32 bits on a GPU.
        spread = (place ^ (place >> 16)) * 0x61C88647 & _LAST_32_BITS
        bits = _hash(spread ^ stream)
        return ((bits >> 8).float() * 2.0**-24).view(shape)


def _hash(x: Int[Tensor, "*x"]) -> Int[Tensor, "*x"]:
    """Hashes numbers of 32 bits, one to one: shifts and odd factors     (github.com/skeeto/hash-prospector).

    Both factors are below 2³¹, so that no product leaves int64.
    """
    x = (x ^ (x >> 16)) * 0x21F0AAAD & _LAST_32_BITS
    x = (x ^ (x >> 15)) * 0x735A2D97 & _LAST_32_BITS
    return x ^ (x >> 15)
