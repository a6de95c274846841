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
        stream = _hash((self.draws ^ self.key).int())
        self.draws.add_(1).bitwise_and_(_LAST_32_BITS)
        place = torch.arange(math.prod(shape), dtype=torch.int32, device=self.draws.device)
        bits = _hash((place ^ (place >> 16)) * 0x61C88647 ^ stream)
        return (_shifted(bits, 8).float() * 2.0**-24).view(shape)


def _hash(x: Int[Tensor, "*x"]) -> Int[Tensor, "*x"]:
    """Hashes 32 bits, one to one: shifts and odd factors     (github.com/skeeto/hash-prospector).

    The bits are those of int32, whose products wrap around.
    """
    x = (x ^ _shifted(x, 16)) * 0x21F0AAAD
    x = (x ^ _shifted(x, 15)) * 0x735A2D97
    return x ^ _shifted(x, 15)


def _shifted(x: Int[Tensor, "*x"], by: int) -> Int[Tensor, "*x"]:
    """Returns `x` shifted to the right, with zeros on the left, also where the first bit is the sign."""
    return (x >> by) & (_LAST_32_BITS >> by)
