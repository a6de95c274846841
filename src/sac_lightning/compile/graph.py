"""A function of tensors as a single compiled graph.

The function runs once, traced operation by operation, gradients included; what it recorded is compiled by
PyTorch's Inductor. So what is compiled is the eager function itself, whatever Python it contains.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from sac_lightning.rng import global_rng_state, restore_global_rng

Function = Callable[..., Sequence[Tensor]]
_UNCHECKED_SIZES = {"size_asserts": False, "alignment_asserts": False}
_FROM_CPP = {**_UNCHECKED_SIZES, "cpp_wrapper": True}


class CompiledGraph:
    """`function(*tensors)` -> tensors, compiled for the shapes of the first call.

    Later calls hand the tensors to the compiled code itself, past PyTorch's lookups and checks, which take a
    fifteenth of an update. The first call compiles. Where it raises, `state` and the global random states
    are as they were before.

    Args:
        function: reads and changes tensors of `state` in place; returns new tensors. Beside tensor
            operations its Python runs once, while it is traced.
        state: every lasting tensor that the function changes, and may read.
        rows: lasting tensors that it only reads. The code does not depend on their length, so a run with a
            replay buffer of another size finds it in PyTorch's cache.
        from_cpp: calls kernels from C++. PyTorch ends the process at some operations there (in 2.13
            `aten._foreach_norm`), so this is for functions whose operations are known.
        cuda_graph: records the kernels and replays them in one launch, on a GPU.
    """

    def __init__(
        self,
        function: Function,
        state: Iterable[Tensor],
        *,
        rows: Iterable[Tensor] = (),
        from_cpp: bool = False,
        cuda_graph: bool = False,
    ) -> None:
        self._function = function
        self._state, self._rows = _distinct(state), list(rows)
        self._lasting = [*self._state, *self._rows]
        self._from_cpp, self._cuda_graph = from_cpp, cuda_graph
        # Calls that may fail for the compiler's sake. A CUDA graph is warmed up, recorded, and then replayed.
        self._trials = 3 if cuda_graph else 1
        self._kept: list[Tensor] = []  # the values of `state` before a call that may fail
        self._run: Callable[[list[Any]], Sequence[Tensor]] | None = None
        self._inputs: list[Any] = []  # of the compiled code, in its order
        self._places: list[tuple[int, int]] = []  # (place in the inputs, place in a call's tensors)
        self._results: list[int] = []

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Returns what the function returns."""
        return self._try(*tensors) if self._trials else self._call(*tensors)

    @property
    def works(self) -> bool:
        """Whether the calls that may fail for the compiler's sake are over."""
        return not self._trials

    def _try(self, *tensors: Tensor) -> Sequence[Tensor]:
        rng = global_rng_state()
        try:
            outputs = self._first(*tensors) if self._run is None else self._call(*tensors)
            self._trials -= 1
            return outputs
        except Exception:
            self._put_back()
            restore_global_rng(rng)
            raise
        finally:
            self._kept = []

    def _keep(self) -> None:
        self._kept = [tensor.detach().clone() for tensor in self._state]

    def _put_back(self) -> None:
        with torch.no_grad():
            for tensor, value in zip(self._state, self._kept, strict=False):  # nothing kept: nothing changed
                tensor.copy_(value)

    def _call(self, *tensors: Tensor) -> Sequence[Tensor]:
        assert self._run is not None
        if self._trials:
            self._keep()
        inputs = self._inputs.copy()
        for place, index in self._places:
            inputs[place] = tensors[index]
        results = self._run(inputs)
        return [results[place] for place in self._results]

    def _first(self, *tensors: Tensor) -> Sequence[Tensor]:
        self._keep()
        program = traced(self._function, self._lasting, tensors)
        self._put_back()  # tracing ran the function once
        self._kept = []
        for tensor in self._rows:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        if self._cuda_graph:
            return self._recorded(program, tensors)
        seen: list[Any] = []

        def backend(module: torch.fx.GraphModule, examples: list[Tensor]) -> Callable[..., Any]:
            from torch._inductor.compile_fx import compile_fx

            from sac_lightning.compile.rewrites import Rewrites

            options = _FROM_CPP if self._from_cpp else _UNCHECKED_SIZES
            patches = {**_known(options), "post_grad_custom_post_pass": Rewrites()}
            run: Any = compile_fx(module, examples, config_patches=patches)

            def noting(*inputs: Any) -> Any:
                self._keep()  # only now: compiling needs the memory
                results, innermost = _run_and_look_inside(run, inputs)
                seen[:] = innermost, inputs, results
                return results

            return noting

        compiled = torch.compile(program, fullgraph=True, dynamic=False, backend=backend)
        with torch.no_grad(), _one_cache():  # the gradients are part of what was traced
            outputs: Sequence[Tensor] = compiled(*self._lasting, *tensors)
        run, inputs, results = seen
        seen.clear()
        places = [_place(each, inputs) for each in tensors]
        self._places = [(place, i) for i, place in enumerate(places) if place is not None]
        found = [_place(output, results) for output in outputs]
        if None in found:  # PyTorch rearranged the results: keep its own way of calling
            self._run = lambda inputs: compiled(*inputs)
            self._inputs = [*self._lasting, *([None] * len(tensors))]
            self._places = [(len(self._lasting) + i, i) for i in range(len(tensors))]
            self._results = list(range(len(outputs)))
            return outputs
        self._results = [place for place in found if place is not None]
        # A size is a number, of which each call would make a tensor. What changes between calls is not kept.
        lasting = [each if isinstance(each, Tensor) else torch.tensor(each) for each in inputs]
        self._inputs = [None if _place(each, tensors) is not None else each for each in lasting]
        self._run = run
        return outputs

    def _recorded(self, program: torch.fx.GraphModule, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        options: dict[str, Any] = {**_known(_UNCHECKED_SIZES), "triton.cudagraphs": True}
        for tensor in self._lasting:
            torch._dynamo.mark_static_address(tensor)
        compiled = torch.compile(program, fullgraph=True, dynamic=False, options=options)

        def replay(inputs: list[Any]) -> Sequence[Tensor]:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                # Cloned, for the next replay writes its results over these.
                return [each.clone() for each in compiled(*inputs)]

        self._run = replay
        self._inputs = [*self._lasting, *([None] * len(tensors))]
        self._places = [(len(self._lasting) + i, i) for i in range(len(tensors))]
        self._keep()
        outputs = replay([*self._lasting, *tensors])
        self._results = list(range(len(outputs)))
        return outputs


def traced(function: Function, lasting: Sequence[Tensor], tensors: Sequence[Tensor]) -> torch.fx.GraphModule:
    """Returns `function(*tensors)` as a graph of ATen operations over (*lasting, *tensors).

    It runs the function once, on these tensors, and changes those that the function changes. `lasting` are
    the tensors that the function reaches by itself.
    """

    def with_all(*inputs: Tensor) -> list[Tensor]:
        return list(function(*inputs[len(lasting) :]))

    with torch.enable_grad():
        return make_fx(with_all)(*lasting, *tensors)


def _one_cache() -> AbstractContextManager[object]:
    """AOTAutograd would keep the graph once more: its copy raises the peak and saves no time."""
    from torch._functorch import config

    known = hasattr(config, "enable_autograd_cache") and hasattr(config, "patch")
    return config.patch(enable_autograd_cache=False) if known else nullcontext()


def _known(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns those `settings` of the compiler that this PyTorch has; it is only slower without the rest."""
    from torch._inductor import config

    return {name: value for name, value in settings.items() if hasattr(config, name)}


def _run_and_look_inside(
    run: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[Any, Callable[[list[Any]], Sequence[Tensor]]]:
    """Returns `run(*inputs)` and the compiled code inside `run`, to be called with a list.

    PyTorch wraps a graph for what ours never have (views, gradients, copies of inputs), which takes a
    fortieth of an update. It has no name for what is inside, so one call is watched. Only where the code was
    handed these very inputs, and its results are the results, is the wrapper left out.
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
        innermost, given, outputs = watched[0]
        if _same(given, inputs) and _same(outputs, results):
            return results, innermost
    return results, lambda each: run(*each)


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _place(tensor: Any, among: Iterable[Any]) -> int | None:
    return next((i for i, each in enumerate(among) if each is tensor), None)
