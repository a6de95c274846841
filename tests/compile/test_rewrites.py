"""Rewrites of a graph: the same numbers from cheaper products, and nothing else touched."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from sac_lightning.compile.rewrites import rewrite

Products = Callable[..., Tensor]
B, INPUTS, HIDDEN = 8, 5, 16


def rewritten(function: Products, *tensors: Tensor) -> tuple[GraphModule, Counter[str]]:
    """`function` as a graph after the rewrites, and how often each operation is in it."""
    module: Any = make_fx(function)(*tensors)
    module.graph.eliminate_dead_code()
    rewrite(module.graph)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return module, Counter(str(node.target) for node in module.graph.nodes)


def sizes_of_products(module: GraphModule, *tensors: Tensor) -> list[tuple[int, ...]]:
    """The shapes of the results of all batched products of a call."""
    shapes = []

    class Noting(torch.fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            if n.target is torch.ops.aten.bmm.default:
                shapes.append(tuple(result.shape))
            return result

    Noting(module).run(*tensors)
    return shapes


def gradient_of_inputs(columns: slice, dtype: torch.dtype = torch.float32) -> tuple[Products, list[Tensor]]:
    """What autograd makes of the critics' first layer: Σ_i G_i W_iᵀ, of which `columns` are used."""

    def function(gradient: Tensor, weight: Tensor) -> Tensor:
        both = torch.bmm(gradient, weight.mT)
        if dtype is not torch.float32:  # as PyTorch's compiler writes it
            both = torch.ops.prims.convert_element_type.default(both, torch.float32)
        return both.sum(0, keepdim=True)[..., columns]

    torch.manual_seed(0)
    tensors = [torch.randn(2, B, HIDDEN), torch.randn(2, INPUTS, HIDDEN)]
    return function, [each.to(dtype) for each in tensors]


def test_a_bias_is_added_after_its_product() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(HIDDEN), torch.randn(B, INPUTS), torch.randn(INPUTS, HIDDEN)]
    module, operations = rewritten(lambda *each: torch.addmm(*each).relu(), *tensors)
    assert operations["aten.mm.default"] == 1 and operations["aten.addmm.default"] == 0
    torch.testing.assert_close(module(*tensors), torch.addmm(*tensors).relu())


def test_a_product_with_a_factor_stays() -> None:
    tensors = [torch.randn(HIDDEN), torch.randn(B, INPUTS), torch.randn(INPUTS, HIDDEN)]
    module, operations = rewritten(lambda *each: torch.addmm(*each, beta=0.5), *tensors)
    assert operations["aten.addmm.default"] == 1
    torch.testing.assert_close(module(*tensors), torch.addmm(*tensors, beta=0.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [slice(3, 5), slice(0, 2), slice(1, None), slice(0, 5, 2)])
def test_only_the_columns_that_are_used_are_computed(columns: slice, dtype: torch.dtype) -> None:
    function, tensors = gradient_of_inputs(columns, dtype)
    module, _ = rewritten(function, *tensors)
    expected = function(*tensors)
    (shape,) = sizes_of_products(module, *tensors)
    assert shape == (2, expected.shape[-1], B)
    torch.testing.assert_close(module(*tensors), expected)


def test_columns_stay_where_others_read_them_too() -> None:
    _, tensors = gradient_of_inputs(slice(3, 5))

    def both(gradient: Tensor, weight: Tensor) -> Tensor:
        product = torch.bmm(gradient, weight.mT)
        total = product.sum(0, keepdim=True)
        return total[..., 3:5].sum() + total.square().sum()

    module, _ = rewritten(both, *tensors)
    assert sizes_of_products(module, *tensors) == [(2, B, INPUTS)]
    torch.testing.assert_close(module(*tensors), both(*tensors))


def sum_of_rows(gradient: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(gradient, weight.mT).sum(1, keepdim=True)[..., 3:5]


def some_rows(gradient: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(gradient, weight.mT).sum(0, keepdim=True)[:, 2:4]


def no_sum(gradient: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(gradient, weight.mT)[..., 3:5]


@pytest.mark.parametrize("function", [sum_of_rows, some_rows, no_sum])
def test_what_has_another_shape_stays(function: Products) -> None:
    _, tensors = gradient_of_inputs(slice(3, 5))
    module, _ = rewritten(function, *tensors)
    assert sizes_of_products(module, *tensors) == [(2, B, INPUTS)]
    torch.testing.assert_close(module(*tensors), function(*tensors))
