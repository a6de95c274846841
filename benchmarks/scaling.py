"""What more updates an env step, and more envs, do to the speed of the whole loop.

    python benchmarks/scaling.py [--precision bf16-mixed]

Compiled graphs on Pendulum-v1, batch 256, networks 256×256, all cores, in short alternating segments of
one run. With `num_envs` n there is one update for n env steps, so that an iteration keeps one update. Writes
results/scaling.csv, one row a segment, and prints medians with their ratio to the plain loop (one env, one
update an env step), the median of the ratios within each round.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from contestants import HERE, Contestant, Worker
from rich.console import Console
from rich.table import Table as Screen
from tables import Table

COLUMNS = (
    *("precision", "utd_ratio", "num_envs", "segment", "env_steps", "updates", "seconds"),
    *("env_steps_per_s", "updates_per_s", "other_cores", "versions"),
)


@dataclass(frozen=True)
class Loop:
    """How many updates an env step, and how many envs."""

    utd_ratio: float
    num_envs: int

    def contestant(self, precision: str) -> Contestant:
        """Its worker; no epoch ends within a segment's few thousand env steps."""
        ours = (f"utd_ratio={self.utd_ratio}", f"num_envs={self.num_envs}", "steps_per_epoch=10000")
        options = ("--compile", "--precision", precision, "--overrides", *ours)
        return Contestant(str(self), "worker_ours.py", options)

    def env_steps(self, updates: int) -> int:
        """Env steps that hold `updates` updates."""
        return round(updates / self.utd_ratio)

    def __str__(self) -> str:
        return f"utd_ratio {self.utd_ratio:g}, num_envs {self.num_envs}"


PLAIN = Loop(1.0, 1)
LOOPS = (PLAIN, Loop(0.25, 1), Loop(4.0, 1), Loop(1 / 4, 4), Loop(1 / 16, 16), Loop(1 / 64, 64))
Speeds = dict[Loop, list[tuple[float, float]]]  # env steps and updates a second


def measure(workers: dict[Loop, Worker], precision: str, segments: int, updates: int, table: Table) -> Speeds:
    """Alternate the segments, each round beginning with another loop."""
    speeds: Speeds = {loop: [] for loop in workers}
    loops = list(workers)
    for segment in range(segments):
        first = segment % len(loops)
        for loop in (*loops[first:], *loops[:first]):
            done = workers[loop].run(loop.env_steps(updates))
            speed = done["env_steps"] / done["seconds"], done["updates"] / done["seconds"]
            speeds[loop].append(speed)
            row = {key: done[key] for key in ("env_steps", "updates", "seconds", "other_cores")}
            row |= {"precision": precision, "utd_ratio": loop.utd_ratio, "num_envs": loop.num_envs}
            row |= {"segment": segment, "versions": workers[loop].versions}
            table.add([{**row, "env_steps_per_s": speed[0], "updates_per_s": speed[1]}])
            print(f"segment {segment + 1}/{segments}: {loop}: {speed[1]:.1f} updates/s", file=sys.stderr)
    return speeds


def show(speeds: Speeds, console: Console) -> None:
    """Medians, and ratios to the plain loop."""
    screen = Screen(title="Pendulum-v1, batch 256, networks 256×256, compiled")
    screen.add_column("loop")
    for head in ("env steps/s", "× plain, range", "updates/s", "× plain, range"):
        screen.add_column(head, justify="right")
    for loop, values in speeds.items():
        cells = []
        for of in (0, 1):
            ratios = [mine[of] / plain[of] for mine, plain in zip(values, speeds[PLAIN], strict=True)]
            ratio_shown = f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
            cells += [f"{statistics.median(value[of] for value in values):.1f}", ratio_shown]
        screen.add_row(str(loop), *cells)
    console.print(screen)


def main(given: Sequence[str] | None = None) -> None:
    """Starts all loops, alternates between them, writes the CSV and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--segments", type=int, default=11)
    parser.add_argument("--updates", type=int, default=256, help="of one segment")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args(given)
    path = arguments.results / "scaling.csv"
    table = Table(path, COLUMNS)
    table.add([], replacing=lambda row: row["precision"] == arguments.precision)
    with ExitStack() as stack:
        workers = {}
        for loop in LOOPS:
            print(f"starting {loop}", file=sys.stderr)
            contestant = loop.contestant(arguments.precision)
            workers[loop] = Worker(contestant, "Pendulum-v1", 1_024, arguments.threads)
            stack.callback(workers[loop].close)
        speeds = measure(workers, arguments.precision, arguments.segments, arguments.updates, table)
    show(speeds, Console(width=110))


if __name__ == "__main__":
    main()
