"""collector=ray with four actors beside collector=sync, in alternating segments of one run.

    python benchmarks/collectors.py

Compiled graphs, batch 256, networks 256×256, all cores, one env in each process. Envs: Pendulum-v1 as it is,
and with a step that waits 5 ms without keeping a core busy, with few and many updates per env step.
Writes results/collectors.csv, one row a segment, and prints medians and their ratio.
"""

import argparse
import os
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from contestants import HERE, Contestant, Worker
from overlap import ENVS, WAITS
from rich.console import Console
from rich.table import Table as Screen
from tables import Table

COLUMNS = (
    *("env", "utd_ratio", "collector", "segment", "env_steps", "updates", "seconds"),
    *("env_steps_per_s", "versions"),
)
CASES = ((WAITS, 0.1), (WAITS, 0.25), (WAITS, 1.0), ("Pendulum-v1", 0.1), ("Pendulum-v1", 1.0))
COLLECTORS = ("sync", "ray")


def compare(env: str, utd_ratio: float, segments: int, threads: int, table: Table) -> dict[str, list[float]]:
    """Env steps a second of both collectors, segment by segment."""
    env_id, own = ENVS[env]
    speeds: dict[str, list[float]] = {collector: [] for collector in COLLECTORS}
    with ExitStack() as stack:
        workers = {}
        for collector in COLLECTORS:
            wanted = (f"collector={collector}", f"utd_ratio={utd_ratio}")
            options = ("--compile", "--overrides", *wanted, *own)
            worker = Worker(Contestant(collector, "worker_ours.py", options), env_id, 1_000, threads)
            stack.callback(worker.close)
            workers[collector] = worker
        for segment in range(segments):
            for collector in COLLECTORS if segment % 2 == 0 else reversed(COLLECTORS):
                done = workers[collector].run(int(240 / utd_ratio))
                speed = done["env_steps"] / done["seconds"]
                speeds[collector].append(speed)
                row = {key: done[key] for key in ("env_steps", "updates", "seconds")}
                row |= {"env": env, "utd_ratio": utd_ratio, "collector": collector, "segment": segment}
                table.add([{**row, "env_steps_per_s": speed, "versions": workers[collector].versions}])
                print(f"{env}, segment {segment + 1}: {collector}: {speed:.1f}/s", file=sys.stderr)
    return speeds


def main() -> None:
    """All cases, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segments", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    path = arguments.results / "collectors.csv"
    path.unlink(missing_ok=True)
    table = Table(path, COLUMNS)
    screen = Screen(title="env steps a second, compiled")
    for head in ("env", "updates per env step", *COLLECTORS, "ray / sync, range"):
        screen.add_column(head, justify="left" if head == "env" else "right")
    for env, utd_ratio in CASES:
        speeds = compare(env, utd_ratio, arguments.segments, arguments.threads, table)
        ratios = [ray / sync for sync, ray in zip(*speeds.values(), strict=True)]
        shown = f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        medians = (f"{statistics.median(values):.1f}" for values in speeds.values())
        screen.add_row(env, f"{utd_ratio:g}", *medians, shown)
    Console(width=100).print(screen)


if __name__ == "__main__":
    main()
