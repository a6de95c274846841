"""Undocumented parts of PyTorch: tracing a function and compiling the traced graph."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule

from sac_lightning.private import PrivateApi

Run = Callable[[list[Any]], Sequence[Tensor]]
_PLAIN = "torch.compile compiles the update: it takes longer to start, and each update is slower"
_ANEW = "the update is compiled anew for a replay buffer of another size"

MAKE_FX = PrivateApi(
    "torch.fx.experimental.proxy_tensor.make_fx",
    "traces the update, gradients included, as one graph",
    "the update runs eagerly: slower, otherwise the same",
)
COMPILE_FX = PrivateApi(
    "torch._inductor.compile_fx.compile_fx", "compiles the traced graph as it is, past Dynamo", _PLAIN
)
CONFIG = PrivateApi(
    "torch._inductor.config",
    "leaves out checks of sizes and plans the memory of intermediate results",
    "compiled code keeps PyTorch's own settings and is slower",
)
GRAPH_PASS = PrivateApi(
    "torch._inductor.custom_graph_pass.CustomGraphPass",
    "puts cheaper matrix products into the compiled graph",
    "compiled code computes the products as PyTorch writes them and is slower",
)
COMPILED_GRAPH = PrivateApi(
    "torch._inductor.output_code.CompiledFxGraph",
    "finds the compiled code inside PyTorch's wrappers, to call it directly",
    "compiled code is called through PyTorch's wrappers and is slower",
)
CURRENT_CALLABLE = PrivateApi(
    "torch._inductor.output_code.CompiledFxGraph.current_callable",
    COMPILED_GRAPH.purpose,
    COMPILED_GRAPH.fallback,
)
AUTOGRAD_CACHE = PrivateApi(
    "torch._functorch.config.enable_autograd_cache",
    "keeps no second copy of the compiled graph",
    "compiling takes more memory",
)
TRACING = PrivateApi("torch._guards.tracing", "lets compiled code serve every size of replay buffer", _ANEW)
TRACING_CONTEXT = PrivateApi("torch._guards.TracingContext", TRACING.purpose, _ANEW)
FAKE_TENSOR_MODE = PrivateApi("torch._subclasses.fake_tensor.FakeTensorMode", TRACING.purpose, _ANEW)
SHAPE_ENV = PrivateApi("torch.fx.experimental.symbolic_shapes.ShapeEnv", TRACING.purpose, _ANEW)
MARK_DYNAMIC = PrivateApi("torch._dynamo.mark_dynamic", TRACING.purpose, _ANEW)
MARK_STATIC_ADDRESS = PrivateApi(
    "torch._dynamo.mark_static_address",
    "lets a CUDA graph read and write weights where they are",
    "each update on a GPU copies the weights and is slower",
)
PRIVATE_APIS = (
    *(MAKE_FX, COMPILE_FX, CONFIG, GRAPH_PASS, COMPILED_GRAPH, CURRENT_CALLABLE, AUTOGRAD_CACHE),
    *(TRACING, TRACING_CONTEXT, FAKE_TENSOR_MODE, SHAPE_ENV, MARK_DYNAMIC, MARK_STATIC_ADDRESS),
)


def trace(function: Callable[..., Any], inputs: Sequence[Tensor]) -> GraphModule:
    """Returns `function(*inputs)` as a graph of ATen operations, which it runs once.

    Raises MissingApi without `make_fx`; the caller then runs the function eagerly.
    """
    program: GraphModule = MAKE_FX.require()(function)(*inputs)
    return program


def graph_pass(rewrite: Callable[[Graph], None], version: str) -> Any:
    """Returns `rewrite` as Inductor's last pass over a graph; None where Inductor takes none.

    Args:
        rewrite: changes a graph in place.
        version: changes whenever `rewrite` does; part of the key of PyTorch's cache of compiled graphs.
    """
    base: Any = GRAPH_PASS.find()
    if base is None:
        return None

    class Pass(base):  # type: ignore[misc]  # the base is only known at run time
        def __call__(self, graph: Graph) -> None:
            rewrite(graph)

        def uuid(self) -> str:
            return version

    return Pass()


def known_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns those `settings` of Inductor that this PyTorch has; without the others it is only slower."""
    config = CONFIG.find()
    return {name: value for name, value in settings.items() if hasattr(config, name)}


def compile_graph(
    program: GraphModule,
    inputs: Sequence[Tensor],
    *,
    dynamic_rows: Sequence[Tensor],
    settings: dict[str, Any],
) -> Callable[..., Sequence[Tensor]]:
    """Returns `program` compiled by Inductor for `inputs`; the gradients are part of `program`.

    Args:
        dynamic_rows: those of `inputs` whose first size may differ in a later process, which then finds the
            code in PyTorch's cache.
        settings: of Inductor, by name.
    """
    compile_fx = COMPILE_FX.find()
    if compile_fx is None:
        return compile_documented(program, settings)
    mark_dynamic = MARK_DYNAMIC.find()
    for tensor in dynamic_rows if mark_dynamic else ():
        mark_dynamic(tensor, 0)
    with torch.no_grad(), _without_autograd_cache(), _symbolic_sizes():
        compiled: Callable[..., Sequence[Tensor]] = compile_fx(program, list(inputs), config_patches=settings)
    return compiled


def compile_documented(program: GraphModule, settings: dict[str, Any]) -> Callable[..., Sequence[Tensor]]:
    """Returns `program` compiled by `torch.compile`."""
    compiled: Callable[..., Sequence[Tensor]] = torch.compile(
        program, fullgraph=True, dynamic=False, options=settings
    )
    return compiled


def keep_addresses(tensors: Sequence[Tensor]) -> None:
    """Promises that `tensors` stay where they are, so that a CUDA graph need not copy them."""
    mark_static_address = MARK_STATIC_ADDRESS.find()
    for tensor in tensors if mark_static_address else ():
        mark_static_address(tensor)


def run_and_unwrap(run: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Any, Run]:
    """Returns `run(*inputs)` and the compiled code inside `run`, to be called with a list.

    PyTorch wraps a graph for what ours never have (views, gradients, copies of inputs), which takes a
    fortieth of an update. It has no name for what is inside, so one call is watched. Only where the code was
    handed these very inputs, and its results are the results, is the wrapper left out.
    """
    owner: Any = COMPILED_GRAPH.find()
    if owner is None:
        return run(*inputs), lambda each: run(*each)
    watched: list[tuple[Any, list[Any], Any]] = []
    call = owner.__call__

    def watching(graph: Any, handed: Any) -> Any:
        given = list(handed)
        results = call(graph, handed)
        watched.append((graph, given, results))
        return results

    owner.__call__ = watching
    try:
        results = run(*inputs)
    finally:
        owner.__call__ = call
    if len(watched) == 1:
        graph, given, outputs = watched[0]
        if _same(given, inputs) and _same(outputs, results):
            innermost = getattr(graph, CURRENT_CALLABLE.attribute, None)
            if innermost is not None:
                return results, innermost
            CURRENT_CALLABLE.warn()
    return results, lambda each: run(*each)


def _without_autograd_cache() -> AbstractContextManager[object]:
    """AOTAutograd would keep the graph once more: its copy raises the peak and saves no time."""
    if AUTOGRAD_CACHE.find() is None:
        return nullcontext()
    from torch._functorch import config

    patch: AbstractContextManager[object] = config.patch({AUTOGRAD_CACHE.attribute: False})
    return patch


def _symbolic_sizes() -> AbstractContextManager[object]:
    """PyTorch keeps a graph in its cache only where sizes may be symbols."""
    apis = (TRACING, TRACING_CONTEXT, FAKE_TENSOR_MODE, SHAPE_ENV)
    tracing, context, fake_tensor_mode, shape_env = (api.find() for api in apis)
    if None in (tracing, context, fake_tensor_mode, shape_env):
        return nullcontext()
    entered: AbstractContextManager[object] = tracing(context(fake_tensor_mode(shape_env=shape_env())))
    return entered


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
