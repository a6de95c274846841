"""Two Pendulum jobs side by side (launcher=joblib) against one after another (launcher=basic).

    python benchmarks/sweeps.py [--rounds 3] [--env-steps 20000]

Each round times both commands whole, start-up included, alternating; every job has the CPU threads that its
launcher gives it. Writes results/sweeps.csv, one row a command, and prints the ratio of each round.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "sweeps.csv"
LAUNCHERS = ("basic", "joblib")
COLUMNS = ("round", "launcher", "jobs", "cpus", "threads", "env_steps", "wall_s")


def sweep(launcher: str, env_steps: int) -> tuple[float, int]:
    """Seconds of the command, and the threads that each of its jobs had."""
    jobs = ("-m", "seed=0,1", "env=pendulum", f"total_env_steps={env_steps}")
    how = (f"launcher={launcher}", "sweep.at_once=2" if launcher == "joblib" else "sweep.at_once=1")
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, str(ROOT / "train.py"), *jobs, *how, "logger=csv", "hydra.sweep.dir=sweep"]
        began = time.perf_counter()
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        runs = [Path(folder) / "sweep" / job for job in ("0", "1")]
        statuses = [json.loads((run / "summary.json").read_text())["status"] for run in runs]
        assert statuses == ["done", "done"], statuses
        config = (runs[0] / "config.yaml").read_text().splitlines()
        return seconds, int(next(text for text in config if text.startswith("threads: ")).split()[1])


def main() -> None:
    """All rounds, the table, the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--env-steps", type=int, default=20_000)
    given = arguments.parse_args()
    cpus = len(os.sched_getaffinity(0))
    rows = []
    ratios = []
    for number in range(given.rounds):
        seconds = {}
        for launcher in LAUNCHERS if number % 2 == 0 else reversed(LAUNCHERS):
            seconds[launcher], threads = sweep(launcher, given.env_steps)
            wall = f"{seconds[launcher]:.2f}"
            rows.append((number, launcher, 2, cpus, threads, given.env_steps, wall))
        ratios.append(seconds["basic"] / seconds["joblib"])
        print(f"round {number}: basic {seconds['basic']:.1f} s, joblib {seconds['joblib']:.1f} s", flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    print(
        "joblib is faster by", ", ".join(f"{ratio:.2f}" for ratio in ratios), f"(median {median(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
