"""What checks the package in all tests refuses wrong arguments, wrong results, and sizes that do not fit."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor

from typechecked import checked


@jaxtyped(typechecker=checked)
def tail(x: Float[Tensor, "n"], start: int, wanted: type = Tensor) -> Float[Tensor, "n"]:
    """`x` from `start` on, which has the size of `x` for 0 alone."""
    return x[start:] if wanted is Tensor else wanted()


class Halves:
    @jaxtyped(typechecker=checked)
    def of(self, *numbers: float, together: bool = False) -> list[float]:
        return [number / 2 for number in numbers] if not together else sum(numbers) / 2  # type: ignore[return-value]  # wrong on purpose


def test_arguments_are_checked() -> None:
    assert tail(torch.ones(3), 0).shape == (3,)
    with pytest.raises(TypeCheckError, match="parameters of"):
        tail(torch.ones(3, 2), 0)
    with pytest.raises(TypeCheckError, match="parameters of"):
        tail(torch.ones(3), 0.5)  # type: ignore[arg-type]  # wrong on purpose
    assert Halves().of(1, 2.0) == [0.5, 1.0]
    with pytest.raises(TypeCheckError, match="parameters of"):
        Halves().of(1.0, "2")  # type: ignore[arg-type]  # wrong on purpose


def test_results_are_checked_with_the_sizes_of_the_arguments() -> None:
    with pytest.raises(TypeCheckError, match="return value of"):
        tail(torch.ones(3), 1)
    with pytest.raises(TypeCheckError, match="return value of"):
        tail(torch.ones(3), 0, wanted=dict)
    with pytest.raises(TypeCheckError, match="return value of"):
        Halves().of(1.0, together=True)
