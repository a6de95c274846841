"""A function as one compiled graph: what it is handed, what it keeps, what it refuses."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sac_lightning.entropy import LearnedTemperature
from sac_lightning.compile.graph import made_of_ours
from sac_lightning.hardware import has_compiler
from sac_lightning.heads import TanhNormal
from test_update import Scaled

needs_compiler = pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")

# In a process without the type checker, which a full graph cannot contain.
SEVERAL_CALLS = """
    import json, weakref
    import torch
    from torch._inductor.output_code import CompiledFxGraph
    from sac_lightning.compile.graph import Graph

    class Sums:
        def __init__(self):
            self.total, self.unread = torch.zeros(3), 0

        def step(self, rows, drawn, shift, unread):
            picked = rows.index_select(0, drawn).sum(dim=0)
            self.total.add_(picked)
            return {"picked": picked, "shifted": self.total + shift, "again": picked}

    wrapped, call = [], CompiledFxGraph.__call__
    sums, expected = Sums(), torch.zeros(3)
    graph, gaps = Graph(sums.step, any_length=1), []
    for call in range(4):
        torch.manual_seed(call)
        rows, drawn = torch.randn(10, 3), torch.randint(10, (4,))
        shift, unread = torch.randn(3), torch.randn(5)
        first = weakref.ref(shift) if call == 0 else first
        told = graph(rows, drawn, shift, unread)
        CompiledFxGraph.__call__ = lambda *given: wrapped.append(given) or call(*given)
        picked = rows[drawn].sum(dim=0)
        expected += picked
        wanted = {"picked": picked, "shifted": expected + shift, "again": picked}
        gaps += [float((told[name] - each).abs().max()) for name, each in wanted.items()]
    del rows, drawn, shift, unread, told, wanted
    gaps.append(float((sums.total - expected).abs().max()))
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    print(json.dumps({"gap": max(gaps), "compiled": compiled, "kept": first() is not None,
                      "wrapped": len(wrapped)}))
"""
OTHER_LENGTHS = """
    import json, sys
    import torch
    from torch._dynamo.utils import counters
    from sac_lightning.compile.graph import Graph

    def mean(rows, drawn):
        return {"mean": rows[drawn].mean()}

    rows, drawn = torch.arange(float(sys.argv[1])), torch.tensor([1, 3])
    told = [float(Graph(mean, any_length=1)(rows, drawn)["mean"])]
    print(json.dumps([*told, counters["aot_autograd"]["autograd_cache_hit"]]))
"""
NOT_NEW = """
    import torch
    from sac_lightning.compile.graph import Graph

    lasting = torch.ones(3)

    def same(shift):
        return {"sum": lasting + shift, "lasting": lasting}

    try:
        Graph(same)(torch.ones(3))
    except RuntimeError as error:
        print(error)
"""
LAYER = """
    import torch
    from sac_lightning.compile.graph import Graph

    def layer(x, weight, bias):
        return {"y": (x @ weight + bias).relu()}

    x, weight, bias = torch.randn(8, 4), torch.randn(4, 16), torch.randn(16)
    print(float((Graph(layer)(x, weight, bias)["y"] - layer(x, weight, bias)["y"]).abs().max()))
"""


def ran(code: str, *arguments: str, cache: Path) -> str:
    line = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    process = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()[-1]


@needs_compiler
def test_later_calls_see_their_own_tensors_and_what_lasts(tmp_path: Path) -> None:
    found = json.loads(ran(SEVERAL_CALLS, cache=tmp_path))
    assert found["gap"] < 1e-5
    assert found["compiled"] == 1
    assert found["wrapped"] == 0  # later calls go to the compiled code itself
    assert not found["kept"]  # of the first call, no tensor that is not needed again


@needs_compiler
def test_another_length_of_the_buffer_finds_the_same_code_in_the_cache(tmp_path: Path) -> None:
    assert json.loads(ran(OTHER_LENGTHS, "8", cache=tmp_path)) == [2.0, 0]
    assert json.loads(ran(OTHER_LENGTHS, "21", cache=tmp_path)) == [2.0, 1]


@needs_compiler
def test_a_result_that_is_no_new_tensor_is_refused(tmp_path: Path) -> None:
    assert ran(NOT_NEW, cache=tmp_path) == "lasting is a tensor that was there before: a graph gives new ones"


@needs_compiler
def test_products_are_called_as_the_rewrites_put_them(tmp_path: Path) -> None:
    assert float(ran(LAYER, cache=tmp_path)) < 1e-5
    code = "".join(path.read_text() for path in tmp_path.rglob("*.cpp"))
    assert "mm_out(" in code and "addmm_out(" not in code


def test_a_head_from_outside_is_not_ours() -> None:
    assert made_of_ours(TanhNormal(2), LearnedTemperature(), None)
    assert not made_of_ours(Scaled(2), LearnedTemperature(), None)
