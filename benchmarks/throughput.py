"""Env steps a second of the whole training loop, beside Stable-Baselines3 and the matrix products' limit.

    make bench    or    python benchmarks/throughput.py --env Pendulum-v1 --with compiled bf16

Everyone runs batch 256, networks 256×256, one update an env step, on all cores. A machine's speed drifts,
so short segments alternate: one contestant computes while the others wait.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from contestants import ALL, BASELINE, HERE, LIMIT, PEER_PYTHON, Worker
from rich.console import Console
from rich.table import Table as Screen
from tables import Table

COLUMNS = (
    "env",
    "contestant",
    "segment",
    "env_steps",
    "updates",
    "seconds",
    "env_steps_per_s",
    "updates_per_s",
    "other_cores",
    "versions",
)
# The driver itself and the system's own processes stay below this.
QUIET_CORES = 0.15
Speeds = dict[str, list[float]]


def measure(workers: Sequence[Worker], env: str, segments: int, env_steps: int, table: Table) -> Speeds:
    """Alternate the segments, each round beginning with another contestant; updates per second of each."""
    speeds: Speeds = {worker.contestant.name: [] for worker in workers}
    for segment in range(segments):
        turn = segment % len(workers)
        for worker in (*workers[turn:], *workers[:turn]):
            name = worker.contestant.name
            done = worker.run(env_steps)
            speed = done["updates"] / done["seconds"]
            speeds[name].append(speed)
            row = {key: done[key] for key in ("env_steps", "updates", "seconds", "other_cores")}
            row |= {"env": env, "contestant": name, "segment": segment, "versions": worker.versions}
            row |= {"env_steps_per_s": done["env_steps"] / done["seconds"], "updates_per_s": speed}
            table.add([row])
            print(f"segment {segment + 1}/{segments}: {name}: {speed:.1f} updates/s", file=sys.stderr)
    return speeds


def show_speeds(speeds: Speeds, env: str, console: Console) -> None:
    """Medians, ranges, and the ratio to the peer: the median of the ratios within each round."""
    screen = Screen(title=f"{env}, batch 256, networks 256×256, one update an env step")
    screen.add_column("contestant")
    for head in ("updates/s, median", "range", "× peer, median", "range"):
        screen.add_column(head, justify="right")
    for name, values in speeds.items():
        cells = [f"{statistics.median(values):.1f}", f"{min(values):.1f} to {max(values):.1f}"]
        if BASELINE in speeds:
            ratios = [mine / peer for mine, peer in zip(values, speeds[BASELINE], strict=True)]
            cells += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
        screen.add_row(name, *cells)
    console.print(screen)


def warn_of_others(table: Table, console: Console) -> None:
    """Say so if the machine was not ours alone: such numbers compare badly and must not be published."""
    others = statistics.median(float(row["other_cores"]) for row in table.rows)
    if others > QUIET_CORES:
        console.print(
            f"warning: other processes kept {others:.2f} cores busy: these numbers are not to be used"
        )


def show_parts(worker: Worker, env_steps: int, console: Console) -> None:
    """Where a step of ours goes, from one segment with clocks in it."""
    seconds = worker.profile(env_steps)
    parts = {key: seconds[key] for key in ("collecting", "sampling", "logging")}
    parts["Lightning"] = seconds["total"] - sum(seconds[key] for key in ("collecting", "sampling"))
    parts["Lightning"] -= seconds["updating"]
    updates = seconds["updating"] - seconds["logging"]
    around = sum(parts[key] for key in ("collecting", "logging", "Lightning"))
    screen = Screen(title=f"A step of {worker.contestant.name}")
    screen.add_column("part")
    for head in ("ms a step", "share"):
        screen.add_column(head, justify="right")
    told = {**parts, "updates": updates, "collecting + logging + Lightning": around}
    for part, spent in told.items():
        if part.startswith("collecting +"):
            screen.add_section()
        screen.add_row(part, f"{1e3 * spent / env_steps:.3f}", f"{spent / seconds['total']:.1%}")
    console.print(screen)


def main() -> None:
    """Start everyone, alternate, tell."""
    arguments = _parser().parse_args()
    segments, env_steps, learning_starts = arguments.segments, arguments.env_steps, 1_000
    results = arguments.results
    if arguments.smoke:
        segments, env_steps, learning_starts = 2, 60, 300
        results = Path(tempfile.mkdtemp(prefix="throughput_"))
    names = ["eager", *arguments.with_variants, "peer", "products"]
    if "bf16" in arguments.with_variants:
        names.append("products-bf16")
    if not PEER_PYTHON.exists():
        sys.exit(f"error: {PEER_PYTHON} is not there; `make bench` makes it from requirements-peers.txt")
    stem = "throughput" if arguments.env == "Pendulum-v1" else f"throughput_{arguments.env}"
    path = results / f"{stem}.csv"
    path.unlink(missing_ok=True)
    console = Console(width=100)
    with ExitStack() as stack:
        workers = []
        for name in names:
            print(f"starting {ALL[name].name}", file=sys.stderr)
            workers.append(Worker(ALL[name], arguments.env, learning_starts, arguments.threads))
            stack.callback(workers[-1].close)
        speeds = measure(workers, arguments.env, segments, env_steps, Table(path, COLUMNS))
        show_speeds(speeds, arguments.env, console)
        warn_of_others(Table(path, COLUMNS), console)
        for worker in workers:
            if worker.contestant.is_ours:
                show_parts(worker, env_steps, console)
    from throughput_plot import draw

    draw(speeds, arguments.env, LIMIT, path.with_suffix(".png"))
    console.print(f"segments and picture: {path.parent}/{stem}.csv, .png")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env", default="Pendulum-v1", help="e.g. HalfCheetah-v5")
    parser.add_argument(
        "--with",
        dest="with_variants",
        nargs="*",
        default=[],
        choices=["compiled", "bf16"],
        help="more variants of ours; bf16 is compiled too",
    )
    parser.add_argument("--segments", type=int, default=5, help="of each contestant")
    parser.add_argument("--env-steps", type=int, default=1_000, help="of one segment")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each contestant")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument(
        "--smoke", action="store_true", help="tiny segments; results go to a temporary folder"
    )
    return parser


if __name__ == "__main__":
    main()
