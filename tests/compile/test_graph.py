"""A function as one compiled graph: what it is handed, what it keeps, what it gives back where it fails."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from built import sac_of
from sac_lightning.core.hardware import has_compiler

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")

# In a process without the type checker, which a full graph cannot contain.
SEVERAL_CALLS = """
    import json, weakref
    import torch
    from torch._dynamo.utils import counters
    from torch._inductor.output_code import CompiledFxGraph
    from sac_lightning.compile.graph import CompiledGraph

    class Sums:
        def __init__(self):
            self.total = torch.zeros(3)

        def step(self, drawn, shift, unread):
            picked = rows.index_select(0, drawn).sum(dim=0)
            self.total.add_(picked)
            return [picked, self.total + shift, picked]

    wrapped, own = [], CompiledFxGraph.__call__
    sums, expected, rows = Sums(), torch.zeros(3), torch.randn(10, 3)
    graph, gaps = CompiledGraph(sums.step, [sums.total], rows=[rows]), []
    for call in range(4):
        torch.manual_seed(call)
        rows.copy_(torch.randn(10, 3))
        drawn, shift, unread = torch.randint(10, (4,)), torch.randn(3), torch.randn(5)
        first = weakref.ref(shift) if call == 0 else first
        outputs = graph(drawn, shift, unread)
        CompiledFxGraph.__call__ = lambda *given: wrapped.append(given) or own(*given)
        picked = rows[drawn].sum(dim=0)
        expected += picked
        wanted = [picked, expected + shift, picked]
        gaps += [float((a - b).abs().max()) for a, b in zip(outputs, wanted, strict=True)]
    del drawn, shift, unread, outputs, wanted
    gaps.append(float((sums.total - expected).abs().max()))
    print(json.dumps({"gap": max(gaps), "compiled": counters["inductor"]["fxgraph_cache_miss"],
                      "kept": first() is not None, "wrapped": len(wrapped)}))
"""
OTHER_LENGTHS = """
    import json, sys
    import torch
    from torch._dynamo.utils import counters
    from sac_lightning.compile.graph import CompiledGraph

    rows, drawn = torch.arange(float(sys.argv[1])), torch.tensor([1, 3])
    (mean,) = CompiledGraph(lambda drawn: [rows[drawn].mean()], [], rows=[rows])(drawn)
    print(json.dumps([float(mean), counters["inductor"]["fxgraph_cache_hit"]]))
"""
FAILS = """
    import json
    import torch
    from sac_lightning.compile import graph as door

    weight, calls = torch.zeros(3), []

    def step(shift):
        weight.add_(shift)
        if fails == "trace":
            weight.add_(torch.rand(3))
            raise ValueError("in the trace")
        return [weight.sum()]

    def broken(run, inputs):
        weight.add_(1.0)
        raise RuntimeError("in the run")

    found = {}
    look = door.run_and_unwrap
    for fails in ("trace", "run"):
        door.run_and_unwrap = broken if fails == "run" else look
        torch.manual_seed(0)
        before = torch.get_rng_state()
        try:
            door.CompiledGraph(step, [weight])(torch.ones(3))
        except (ValueError, RuntimeError) as error:
            found[str(error)] = weight.tolist(), torch.equal(before, torch.get_rng_state())
    print(json.dumps(found))
"""
NOT_NEW = """
    import json
    import torch
    from sac_lightning.compile.graph import CompiledGraph

    total, row = torch.zeros(3), torch.ones(3)

    def step(shift):
        total.add_(shift)
        return [row + shift, row, total]

    graph = CompiledGraph(step, [total, row])
    for call in range(3):
        sums, same_row, same_total = graph(torch.full((3,), float(call)))
    print(json.dumps([sums.tolist(), total.tolist(), same_row is row, same_total is total]))
"""
LAYER = """
    import torch
    from sac_lightning.compile.graph import CompiledGraph

    weight, bias = torch.randn(4, 16), torch.randn(16)

    def layer(x):
        return [(x @ weight + bias).relu()]

    x = torch.randn(8, 4)
    (found,) = CompiledGraph(layer, [weight, bias], from_cpp=True)(x)
    print(float((found - layer(x)[0]).abs().max()))
"""


# One process for all, since each would wait for PyTorch's compiler to load; the last one breaks it.
ONE_BY_ONE = "import json, sys\nfor code in json.loads(sys.argv[1]): exec(code, {'__name__': '__main__'})"
SCRIPTS = {"several_calls": SEVERAL_CALLS, "layer": LAYER, "not_new": NOT_NEW, "fails": FAILS}


def ran(code: str, *arguments: str, cache: Path) -> list[str]:
    line = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    }
    process = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def printed(cache: Path) -> dict[str, Any]:
    """What each of the scripts prints."""
    codes = json.dumps([textwrap.dedent(code) for code in SCRIPTS.values()])
    lines = ran(ONE_BY_ONE, codes, cache=cache)
    return dict(zip(SCRIPTS, map(json.loads, lines), strict=True))


@needs_compiler
def test_later_calls_see_their_own_tensors_and_what_lasts(printed: dict[str, Any]) -> None:
    found = printed["several_calls"]
    assert found["gap"] < 1e-5
    assert found["compiled"] == 1
    assert found["wrapped"] == 0  # later calls go to the compiled code itself
    assert not found["kept"]  # of the first call, no tensor that is not needed again


@needs_compiler
def test_another_length_of_the_buffer_finds_the_same_code_in_the_cache(tmp_path: Path) -> None:
    assert json.loads(ran(OTHER_LENGTHS, "8", cache=tmp_path)[-1]) == [2.0, 0]
    assert json.loads(ran(OTHER_LENGTHS, "21", cache=tmp_path)[-1]) == [2.0, 1]


@needs_compiler
def test_where_it_fails_its_state_and_the_random_state_are_as_before(printed: dict[str, Any]) -> None:
    assert printed["fails"] == {"in the trace": [[0.0] * 3, True], "in the run": [[0.0] * 3, True]}


@needs_compiler
def test_a_result_that_is_no_new_tensor_is_the_lasting_one(printed: dict[str, Any]) -> None:
    assert printed["not_new"] == [[3.0] * 3, [3.0] * 3, True, True]


@needs_compiler
def test_products_are_called_as_the_rewrites_put_them(printed: dict[str, Any], cache: Path) -> None:
    assert printed["layer"] < 1e-5
    code = "".join(path.read_text() for path in cache.rglob("*.cpp"))
    assert "mm_out(" in code and "addmm_out(" not in code


@pytest.mark.parametrize(("head", "ours"), [("tanh_normal", True), ("hybrid", True), ("scaled", False)])
def test_a_head_from_outside_is_not_ours(head: str, ours: bool) -> None:
    assert sac_of(head).is_ours == ours
