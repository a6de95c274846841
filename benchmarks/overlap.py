"""collector=overlap beside collector=sync, in alternating segments of one run.

    python benchmarks/overlap.py

Compiled graphs, batch 256, networks 256×256, all cores. Envs: Pendulum-v1 and HalfCheetah-v5 as they are, and
Pendulum-v1 with a step that waits 5 ms without keeping a core busy, as a simulator in another process or on
another machine does. Writes results/overlap.csv, one row a segment, and prints medians and their ratio.
"""

import argparse
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gymnasium as gym
from contestants import HERE, Contestant, Worker
from rich.console import Console
from rich.table import Table as Screen
from tables import Table

COLUMNS = (
    *("env", "collector", "segment", "env_steps", "updates", "seconds"),
    *("env_steps_per_s", "other_cores", "versions"),
)
WAITS = "Pendulum-v1, 5 ms"
ENVS = {
    "Pendulum-v1": ("Pendulum-v1", ()),
    "HalfCheetah-v5": ("HalfCheetah-v5", ()),
    WAITS: (
        "Pendulum-v1",
        ("env.wrappers=[{name:overlap.Waits}]", "env.allowed_prefixes=[overlap]"),
    ),
}
COLLECTORS = ("sync", "overlap")


class Waits(gym.Wrapper[Any, Any, Any, Any]):
    """A step that takes 5 ms of somebody else's time."""

    def step(self, action: Any) -> Any:
        """As the env does, later."""
        time.sleep(0.005)
        return self.env.step(action)


def compare(env: str, segments: int, env_steps: int, threads: int, table: Table) -> dict[str, list[float]]:
    """Env steps a second of both collectors, segment by segment."""
    env_id, own = ENVS[env]
    speeds: dict[str, list[float]] = {collector: [] for collector in COLLECTORS}
    with ExitStack() as stack:
        workers = {}
        for collector in COLLECTORS:
            options = ("--compile", "--overrides", f"collector={collector}", *own)
            worker = Worker(Contestant(collector, "worker_ours.py", options), env_id, 1_000, threads)
            stack.callback(worker.close)
            workers[collector] = worker
        for segment in range(segments):
            for collector in COLLECTORS if segment % 2 == 0 else reversed(COLLECTORS):
                done = workers[collector].run(env_steps)
                speed = done["env_steps"] / done["seconds"]
                speeds[collector].append(speed)
                row = {key: done[key] for key in ("env_steps", "updates", "seconds", "other_cores")}
                row |= {"env": env, "collector": collector, "segment": segment, "env_steps_per_s": speed}
                table.add([{**row, "versions": workers[collector].versions}])
                print(f"{env}, segment {segment + 1}: {collector}: {speed:.1f}/s", file=sys.stderr)
    return speeds


def main() -> None:
    """All envs, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segments", type=int, default=3)
    parser.add_argument("--env-steps", type=int, default=320, help="of one segment")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    path = arguments.results / "overlap.csv"
    path.unlink(missing_ok=True)
    table = Table(path, COLUMNS)
    screen = Screen(title="env steps a second, compiled")
    screen.add_column("env")
    for head in (*COLLECTORS, "overlap / sync, range"):
        screen.add_column(head, justify="right")
    for env in ENVS:
        speeds = compare(env, arguments.segments, arguments.env_steps, arguments.threads, table)
        ratios = [late / early for early, late in zip(*speeds.values(), strict=True)]
        ratio_shown = f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        screen.add_row(env, *(f"{statistics.median(values):.1f}" for values in speeds.values()), ratio_shown)
    Console(width=100).print(screen)


if __name__ == "__main__":
    main()
