"""What the heads of choices share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def gumbel_argmax(logits: Float[Tensor, "B n"], uniform: Float[Tensor, "B n"]) -> Int[Tensor, " B"]:
    """A draw from softmax(logits): argmax(logits + g) with Gumbel noise g, cheaper than multinomial."""
    return (logits - (-uniform.clamp_min(1e-20).log()).log()).argmax(dim=-1)


def by_choice(numbers: Float[Tensor, "B F"], sizes: Sequence[int]) -> list[Float[Tensor, "B V"]]:
    """The numbers of each of D choices, in views."""
    return list(torch.split(numbers, list(sizes), dim=-1))


def one_hot(index: Int[Tensor, " B"], size: int) -> Float[Tensor, "B n"]:
    """A 1 at each index, and zeros: unlike PyTorch's own it looks at no index, for which a GPU would wait."""
    return (index[:, None] == torch.arange(size, device=index.device)).float()
