"""What a run's memory does beyond its replay buffer: benchmarks/memory.py in its own process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sac_lightning.core.hardware import has_compiler

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "memory.py"
ENV_STEPS, WARM_UP = 2_500, 1_000
# 30 MB in 50,000 env steps, scaled to those that are measured: 600 bytes a step, less than keeping one
# small tensor of each update (700 bytes).
BOUND_MB = 30.0 * (ENV_STEPS - WARM_UP) / 50_000
PEAK_RATIO = 1.3  # compiled to eager, with all that PyTorch's compiler needs


def test_memory_stays_flat_after_warm_up() -> None:
    arguments = ["--small", "--env-steps", str(ENV_STEPS), "--threads", "1", "--bound-mb", str(BOUND_MB)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["growth_mb"] <= BOUND_MB, told
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
def test_a_compiled_run_holds_hardly_more_than_an_eager_one() -> None:
    line = [sys.executable, str(SCRIPT), "--peak"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ratio"] <= PEAK_RATIO, told
