"""A million rows of 200 runs are reported in under 20 seconds and 1 GiB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.report.folders import AUTO, HEADER, config, make_run

ROOT = Path(__file__).parents[2]
RUNS, ROWS, SEEDS = 200, 5000, 5
# A small process in between, for Linux counts the memory of whoever starts a process as the process's own.
MEASURED = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))
sys.exit(code)
"""


def a_million_rows(folder: Path) -> None:
    """As long training runs leave them: every column of a real metrics.csv, an evaluation every tenth row."""
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(8):
        cells = rng.normal(size=(ROWS, len(HEADER) - 1)).round(12).astype(str)
        evaluated = np.arange(ROWS) % 10 == 9
        cells[~evaluated, 8:10] = ""
        bodies.append("".join(f"{250 * (row + 1)},{','.join(line)}\n" for row, line in enumerate(cells)))
    for number in range(RUNS):
        group, seed = divmod(number, SEEDS)
        alpha = {"_target_": AUTO, "init": 0.1 * (group + 1)}
        made = make_run(folder / str(number), config(seed, alpha=alpha), ",".join(HEADER) + "\n")
        with (made / "metrics.csv").open("a") as file:
            file.write(bodies[(number * 3 + group) % 8])


def test_a_million_rows_in_20_seconds_and_1_gib(tmp_path: Path) -> None:
    a_million_rows(tmp_path / "sweep")
    line = [sys.executable, "-c", MEASURED, sys.executable, str(ROOT / "report.py"), "runs=sweep"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    used_s, used_kib = json.loads(ran.stdout.splitlines()[-1])
    assert "200 runs: 200 done" in (tmp_path / "sweep" / "report.md").read_text()
    # The processor's time: what other processes on the machine take is not the report's.
    print(f"{used_s:.1f} s of processor time, {used_kib / 2**20:.2f} GiB")
    assert used_s < 20.0
    assert used_kib < 2**20
