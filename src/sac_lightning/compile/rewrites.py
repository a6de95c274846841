"""Cheaper matrix products on a CPU than those that PyTorch's compiler writes for an update."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch.fx import Graph, Node

from sac_lightning.private.torch import graph_pass

_ATEN: Any = torch.ops.aten
_CONVERT: Any = torch.ops.prims.convert_element_type.default


LAST_PASS = "post_grad_custom_post_pass"  # the setting of PyTorch's compiler


def last_pass() -> Any:
    """Returns `rewrite` as a pass of PyTorch's compiler; None where it takes no such pass."""
    return graph_pass(rewrite, sha256(Path(__file__).read_bytes()).hexdigest())


def rewrite(graph: Graph) -> None:
    """Applies both rewrites of this file wherever they fit."""
    for node in list(graph.nodes):
        if node.target is _ATEN.addmm.default:
            _add_afterwards(graph, node)
        elif node.target is _ATEN.slice.Tensor:
            _compute_what_is_used(graph, node)


def _add_afterwards(graph: Graph, addmm: Node) -> None:
    """b + X W as a product and a sum.

    As one operation it begins with copies of b in each row of the result. As two, b is added where the
    activation is applied.
    """
    if addmm.kwargs:  # a factor of either
        return
    bias, x, weight = addmm.args
    with graph.inserting_before(addmm):
        product = graph.call_function(_ATEN.mm.default, (x, weight))
        total = graph.call_function(_ATEN.add.Tensor, (product, bias))
    _replace(graph, addmm, total)


def _compute_what_is_used(graph: Graph, part: Node) -> None:
    """Some columns of Σ_i G_i W_i without the others.

    The actor's gradient passes the critics' first layer to the actions, but is derived for obs and actions
    together. It is computed transposed: a product of few rows takes half the time of one of few columns.
    """
    summed: Any = part.args[0]
    if part.kwargs or part.args[1] != 2 or not _sums_copies(summed):
        return
    converted: Any = summed.args[0]
    product: Any = converted.args[0] if converted.target is _CONVERT else converted
    alone = all(len(each.users) == 1 for each in (summed, converted, product))
    if product.target is not _ATEN.bmm.default or not alone:
        return
    gradient, weight = product.args

    def then(operation: Any, *args: Any) -> Node:
        return graph.call_function(operation, args)

    with graph.inserting_before(part):
        used = then(_ATEN.slice.Tensor, weight, *part.args[1:])
        few = then(_ATEN.bmm.default, _transposed(graph, used), _transposed(graph, gradient))
        if converted is not product:
            few = then(_CONVERT, few, *converted.args[1:])
        total = _transposed(graph, then(_ATEN.sum.dim_IntList, few, [0], True))
    _replace(graph, part, total)


def _sums_copies(node: Any) -> bool:
    """Whether `node` is a sum over the first dimension, which it keeps."""
    return node.target is _ATEN.sum.dim_IntList and (list(node.args[1]), *node.args[2:]) == ([0], True)


def _transposed(graph: Graph, node: Any) -> Node:
    return graph.call_function(_ATEN.permute.default, (node, [0, 2, 1]))


def _replace(graph: Graph, old: Node, new: Node) -> None:
    old.replace_all_uses_with(new)
    graph.erase_node(old)
