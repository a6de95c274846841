"""What a run asks of the machine."""

import csv
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from built import index_of, noise_of, replay_of, sac_of
from sac_lightning.compile.update import CompiledUpdate
from sac_lightning.core.hardware import WORTH_COMPILING, flush_denormals, has_compiler, resolve_compile
from sac_lightning.replay import BatchIndex

# In a process of its own, for the allocator's setting lasts as long as its process.
FAULTS = """
    import resource, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from built import batch_of, sac_of
    from sac_lightning.core.hardware import keep_freed_memory
    from sac_lightning.networks import ActorConfig, CriticConfig

    torch.set_num_threads(1)
    keep_freed_memory()
    sac = sac_of("tanh_normal", actor=ActorConfig(), critic=CriticConfig())

    def faults(updates):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(updates):
            sac.update(batch_of("tanh_normal", 256), torch.randn(2, 256, 2))
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / updates

    faults(10)
    print(faults(20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc's allocator, which is Linux's")
def test_an_update_takes_no_page_faults() -> None:
    line = [sys.executable, "-c", textwrap.dedent(FAULTS), str(Path(__file__).parents[1])]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) < 20  # 900 where freed blocks go back to the system


# In a process of its own, for PyTorch keeps the threads that it has once started.
FLUSHED = """
    import torch
    from sac_lightning.core.hardware import flush_denormals

    torch.set_num_threads(2)
    before = flush_denormals()
    product = torch.full((1_000_000,), 1e-38) * 0.01  # large enough for both threads
    flush_denormals(before)
    print(before, int((product == 0).sum()), float(torch.tensor(1e-38) * 0.01))
"""


def test_all_threads_take_denormals_for_0_until_this_is_undone() -> None:
    line = [sys.executable, "-c", textwrap.dedent(FLUSHED)]
    ran = subprocess.run(line, capture_output=True, text=True, check=True)
    before, zeros, last = ran.stdout.split()
    assert (before, zeros) == ("False", "1000000")
    assert float(last) == pytest.approx(1e-40, rel=1e-4)


def test_what_was_set_is_read_whatever_the_defaults_of_torch_are() -> None:
    assert flush_denormals() is False
    torch.set_default_dtype(torch.float64)
    try:
        assert flush_denormals(False) is True
    finally:
        torch.set_default_dtype(torch.float32)
    assert flush_denormals(False) is False


def test_the_mean_of_a_gradient_that_stays_0_reaches_0() -> None:
    """0.9^n · 1e-3 is below 1.2e-38 from n = 765 on. It stays at 4 · 1.4e-45, since 0.9 · 4 rounds to 4."""
    means = {}
    for flush in (True, False):
        before = flush_denormals(flush)
        mean = torch.full((8,), 1e-3)
        for _ in range(1_000):
            mean.lerp_(torch.zeros(8), 0.1)
        flush_denormals(before)
        means[flush] = mean.amax().item()
    assert means[True] == 0.0
    assert 0.0 < means[False] < 1e-44


def test_auto_compiles_where_that_pays_off_with_an_empty_cache() -> None:
    measured = Path(__file__).parents[2] / "benchmarks" / "results" / "compile_cost.csv"
    with measured.open(encoding="utf-8") as file:
        pays_after = [int(row["pays_after"]) for row in csv.DictReader(file) if row["pays_after"]]
    assert 0 < max(pays_after) < WORTH_COMPILING < 2 * max(pays_after)
    assert resolve_compile("auto", WORTH_COMPILING) is has_compiler()
    assert resolve_compile("auto", WORTH_COMPILING - 1) is False
    assert resolve_compile(True, 1) is has_compiler() and resolve_compile(False, 10**9) is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
@pytest.mark.parametrize("head", ["tanh_normal", "categorical"])
def test_a_replayed_cuda_graph_does_what_the_eager_update_does(head: str) -> None:
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        sac, replay = sac_of(head, device="cuda"), replay_of(head, device="cuda")
        run = CompiledUpdate(sac, replay) if compiled else None
        rows = []
        for _ in range(6):
            index, noise = index_of(replay), torch.stack((noise_of(head), noise_of(head))).cuda()
            index = BatchIndex(*(each.cuda() for each in index))
            result = run(index, noise) if run else sac.update(replay.gather(index), noise)
            rows.append(result.metrics.numbers)
        found.append([torch.stack(rows), *sac.state])
    for eager, graph in zip(*found, strict=True):
        torch.testing.assert_close(graph, eager, rtol=1e-3, atol=1e-4)
