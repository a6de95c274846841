"""A function of tensors as a single compiled graph.

The function runs once, traced operation by operation, gradients included; what it recorded is compiled by
PyTorch's Inductor. So what is compiled is the eager function itself, whatever Python it contains.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from sac_lightning.core.seeding import global_rng_state, restore_global_rng, same_rng_state
from sac_lightning.private.torch import (
    compile_documented,
    compile_graph,
    keep_addresses,
    known_settings,
    run_and_unwrap,
    trace,
)

log = logging.getLogger(__name__)

Function = Callable[..., Sequence[Tensor]]
_UNCHECKED_SIZES = {"size_asserts": False, "alignment_asserts": False}
COMPARED_FROM = 64  # numbers of a tensor
_FROM_CPP = {**_UNCHECKED_SIZES, "cpp_wrapper": True}
# An intermediate result of more operations is stored, if it is read more than once. With PyTorch's 30 the
# scale of BatchNorm, a number for each feature, is computed again for each state.
_STORED = {"realize_opcount_threshold": 16}


class CompiledGraph:
    """`function(*tensors)` -> tensors, compiled for the shapes of the first call.

    Later calls hand the tensors to the compiled code itself, past PyTorch's lookups and checks, which take a
    fifteenth of an update. The first call compiles. Where it raises, `state` and the global random states
    are as they were before.

    Args:
        function: reads and changes tensors of `state` in place; returns new tensors. Beside tensor
            operations its Python runs once, while it is traced. Where it branches on a tensor's number or
            draws from a global random generator, the first call raises.
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
        self._state = list({id(tensor): tensor for tensor in state}.values())  # each once
        self._rows = list(rows)
        self._lasting = [*self._state, *self._rows]
        self._from_cpp, self._cuda_graph = from_cpp, cuda_graph
        # Calls that may fail for the compiler's sake. A CUDA graph is warmed up, recorded, and then replayed.
        self._trials = 3 if cuda_graph else 1
        self._kept: list[Tensor] = []  # the values of `state` before a call that may fail
        self._run: Callable[[list[Any]], Sequence[Tensor]] | None = None

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
        with torch.no_grad():
            return self._run([*self._lasting, *tensors])

    def _first(self, *tensors: Tensor) -> Sequence[Tensor]:
        self._keep()
        rng = global_rng_state()
        program, eager = traced(self._function, self._lasting, tensors)
        eager += [tensor.detach().clone() for tensor in self._state]
        self._put_back()  # tracing ran the function once
        self._kept = []
        if not same_rng_state(rng, global_rng_state()):
            raise RuntimeError("it draws from a global random generator, and a graph would repeat the draw")
        outputs = self._recorded(program, tensors) if self._cuda_graph else self._compiled(program, tensors)
        before = [*map(torch.zeros_like, outputs), *self._kept]
        if not same_step([*outputs, *self._state], eager, before):
            raise RuntimeError("its numbers are not those of the eager update")
        return outputs

    def _compiled(self, program: torch.fx.GraphModule, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        from sac_lightning.compile.rewrites import LAST_PASS, last_pass

        inputs = [*self._lasting, *tensors]

        def compiled(**more: Any) -> Callable[..., Sequence[Tensor]]:
            settings = known_settings({**(_FROM_CPP if self._from_cpp else _UNCHECKED_SIZES), **more})
            return compile_graph(program, inputs, dynamic_rows=self._rows, settings=settings)

        try:
            run = compiled(**_STORED, **{LAST_PASS: last_pass()})
        except Exception as error:  # PyTorch 2.13 fails at some loops over stored results (torso=flash)
            kind = type(error).__name__
            log.info("PyTorch's compiler failed (%s), trying again with its own settings", kind)
            run = compiled()
        self._keep()  # only now: compiling needs the memory
        with torch.no_grad():  # the gradients are part of what was traced
            outputs, self._run = run_and_unwrap(run, inputs)
        result: Sequence[Tensor] = outputs
        return result

    def _recorded(self, program: torch.fx.GraphModule, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        settings = {**known_settings(_UNCHECKED_SIZES), "triton.cudagraphs": True}
        keep_addresses(self._lasting)
        compiled = compile_documented(program, settings)

        def replay(inputs: list[Any]) -> Sequence[Tensor]:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # PyTorch has no types here
            with torch.no_grad():
                # Cloned, for the next replay writes its results over these.
                return [each.clone() for each in compiled(*inputs)]

        self._run = replay
        self._keep()
        return replay([*self._lasting, *tensors])


@torch.no_grad()
def same_step(found: Sequence[Tensor], expected: Sequence[Tensor], before: Sequence[Tensor]) -> bool:
    """Returns whether no tensor is off by half of what the step changed in it, in norm.

    Rounding changes some numbers (Adam's first step is ±lr however small a gradient is), a wrong kernel all.
    Rounding is also all that is found where the exact number is 0: the mean that BatchNorm finds behind
    another one. Small tensors are left out, where a few numbers are many, and those that are not finite.
    """
    for a, b, start in zip(found, expected, before, strict=True):
        if b.numel() >= COMPARED_FROM and b.is_floating_point() and b.isfinite().all():
            allowed = 0.5 * (b - start).norm() + 1e-5 * b.norm() + 1e-7 * b.numel() ** 0.5
            if not (a - b).norm() <= allowed:
                return False
    return True


def traced(
    function: Function, lasting: Sequence[Tensor], tensors: Sequence[Tensor]
) -> tuple[torch.fx.GraphModule, list[Tensor]]:
    """Returns `function(*tensors)` as a graph of ATen operations over (*lasting, *tensors), and its outputs.

    It runs the function once, on these tensors, and changes those that the function changes. `lasting` are
    the tensors that the function reaches by itself.
    """
    outputs: list[Tensor] = []

    def with_all(*inputs: Tensor) -> list[Tensor]:
        outputs[:] = function(*inputs[len(lasting) :])
        return outputs

    with torch.enable_grad():
        program = trace(with_all, [*lasting, *tensors])
    for node in program.graph.nodes:
        node.meta.clear()
    return program, [output.detach() for output in outputs]
