"""A function of tensors as a single compiled graph."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

Named = dict[str, Tensor]

_GRAPHS = itertools.count()
_UNCHECKED_SIZES = {"size_asserts": False, "alignment_asserts": False}
_FROM_CPP = {**_UNCHECKED_SIZES, "cpp_wrapper": True}


def made_of_ours(*parts: object) -> bool:
    """Whether all `parts` (None is none) are of this package, so that every operation in them is known."""
    return all(each is None or type(each).__module__.startswith(f"{__package__}.") for each in parts)


class Graph:
    """`function(*tensors)` -> named tensors, on the CPU, for the shapes of the first call and for no others.

    What else the function reads or writes are always the same tensors, so the first call notes them: any
    later one hands them to the compiled code itself. PyTorch would look them up and check them each time.
    Kernels and products are called from C++ for the same reason, the latter as `rewrites` puts them.

    That is for functions whose operations are known. What Python does beside them happens once; and
    PyTorch's C++ calls end the process at some operations (`aten._foreach_norm` in 2.13). Others are for
    `one_graph`. The tensors must be different ones; the results must be new ones. The code does not depend on
    the length of the first `any_length` tensors, so another run finds it in PyTorch's cache.
    """

    def __init__(
        self,
        function: Callable[..., Named],
        any_length: int = 0,
        before_first_run: Callable[[], object] = lambda: None,
    ) -> None:
        """`before_first_run` is called once it is compiled: until then nothing has changed any tensor."""
        self._function, self._any_length = function, any_length
        self._before_first_run = before_first_run
        self._run: Callable[[list[Any]], Sequence[Tensor]] | None = None
        self._inputs: list[Any] = []
        self._places: list[tuple[int, int]] = []  # in the graph's inputs, and in the tensors
        self._results: list[tuple[str, int]] = []

    def __call__(self, *tensors: Tensor) -> Named:
        if self._run is None:
            return self._first(*tensors)
        inputs = self._inputs.copy()
        for place, index in self._places:
            inputs[place] = tensors[index]
        results = self._run(inputs)
        return {name: results[place] for name, place in self._results}

    def _first(self, *tensors: Tensor) -> Named:
        seen: list[Any] = []

        def backend(module: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
            from torch._inductor.compile_fx import compile_fx

            from sac_lightning.rewrites import Rewrites

            patches = {**_known(_FROM_CPP), "post_grad_custom_post_pass": Rewrites()}
            run: Any = compile_fx(module, examples, config_patches=patches)

            def noting(*inputs: Any) -> Any:
                self._before_first_run()
                results, innermost = _run_and_look_inside(run, inputs)
                seen[:] = innermost, inputs, results
                return results

            return noting

        for tensor in tensors[: self._any_length]:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        graph = torch.compile(_own(self._function), fullgraph=True, dynamic=False, backend=backend)
        with torch.no_grad(), _one_cache():  # no outer graph; the function may differentiate by itself
            told: Named = graph(*tensors)
        run, inputs, results = seen
        seen.clear()
        places = [_place(each, inputs) for each in tensors]
        self._places = [(place, i) for i, place in enumerate(places) if place is not None]
        for name, result in told.items():
            place = _place(result, results)
            if place is None:
                raise RuntimeError(f"{name} is a tensor that was there before: a graph gives new ones")
            self._results.append((name, place))
        # A size is a number, of which each call would make a tensor. What changes between calls is not kept.
        lasting = [each if isinstance(each, Tensor) else torch.tensor(each) for each in inputs]
        self._inputs = [None if _place(each, tensors) is not None else each for each in lasting]
        self._run = run
        return told


def one_graph(
    function: Callable[..., Named], replayed: Iterable[Tensor] | None = None
) -> Callable[..., Named]:
    """`function` as a single compiled graph, for the shapes of its first call and for no others.

    With `replayed`, the tensors that it changes in place, it is recorded as a CUDA graph and replayed: one
    launch for a whole update. Recording needs to know that these tensors stay where they are.

    What it reads and writes are always the same tensors, so PyTorch's checks of them in each call are left
    out.
    """
    options = _known(_UNCHECKED_SIZES)
    unchecked = getattr(torch.compiler, "skip_all_guards_unsafe", None)
    if unchecked is not None:
        options["guard_filter_fn"] = unchecked
    if replayed is not None:
        options["triton.cudagraphs"] = True
        for tensor in replayed:
            torch._dynamo.mark_static_address(tensor)
    return torch.compile(_own(function), fullgraph=True, dynamic=False, options=options)


def _one_cache() -> AbstractContextManager[object]:
    """AOTAutograd would keep the graph once more: its copy raises the peak and saves no time."""
    from torch._functorch import config

    known = hasattr(config, "enable_autograd_cache") and hasattr(config, "patch")
    return config.patch(enable_autograd_cache=False) if known else nullcontext()


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """Those `settings` of the compiler that this PyTorch has: without the others it is only slower."""
    from torch._inductor import config

    return {name: value for name, value in settings.items() if hasattr(config, name)}


def _run_and_look_inside(
    run: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[Any, Callable[[list[Any]], Sequence[Tensor]]]:
    """`run(*inputs)`, and what computes it, to be called with a list: the compiled code, if that is all.

    Around a graph PyTorch has a wrapper for what ours never have (views, gradients, copies of inputs), which
    takes a fortieth of an update. It has no name for what is inside, so one call is watched. Only where
    the code was handed these very inputs, and its results are the results, is the wrapper left out.
    """
    from torch._inductor.output_code import CompiledFxGraph

    owner: Any = CompiledFxGraph
    watched: list[tuple[Any, list[Any], Any]] = []
    call = owner.__call__

    def watching(graph: Any, handed: Any) -> Any:
        given = list(handed)
        results = call(graph, handed)
        watched.append((graph.current_callable, given, results))
        return results

    owner.__call__ = watching
    try:
        results = run(*inputs)
    finally:
        owner.__call__ = call
    if len(watched) == 1:
        innermost, given, told = watched[0]
        if _same(given, inputs) and _same(told, results):
            return results, innermost
    return results, lambda each: run(*each)


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _own(function: Callable[..., Named]) -> Callable[..., Named]:
    """`function`, or the bound method, with code of its own.

    PyTorch keeps graphs with a function's code: without checks, one would be taken for another.
    """
    if isinstance(function, MethodType):
        return MethodType(_own(function.__func__), function.__self__)
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name=f"graph_{next(_GRAPHS)}")
    return FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)


def _place(tensor: Tensor, among: Iterable[Any]) -> int | None:
    return next((i for i, each in enumerate(among) if each is tensor), None)
