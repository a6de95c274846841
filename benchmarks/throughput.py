"""Env steps a second of the whole training loop, beside other libraries and the matrix products' limit.

    make bench    or    python benchmarks/throughput.py --env HalfCheetah-v5 --peers sb3 sbx

Everyone runs batch 256, networks 256×256, one update an env step, on all cores. A machine's speed drifts,
so short segments alternate: one contestant computes while the others wait. A peer that does not start, or
does not do one update an env step, is left out and named.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from contestants import ALL, HERE, LIMIT, PEER_PYTHON, PEERS, VARIANTS, Worker, WorkerEndedError, chosen
from rich.console import Console
from tables import Table
from throughput_tables import WIDTH, Speeds, csv_of, read_speeds, show_limits, show_parts, show_speeds

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
# Part of a segment's env steps: an update may fall on the other side of a segment's end.
MAY_DIFFER = 0.02


class Contest:
    """The workers that are in it, and `left_out`, one line on each that is not any more."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.workers: list[Worker] = []
        self.left_out: list[str] = []

    def start(self, key: str, env: str, learning_starts: int, threads: int) -> None:
        """Start one of ALL; only a peer may fail to."""
        print(f"starting {ALL[key].name}", file=sys.stderr)
        try:
            worker = Worker(ALL[key], env, learning_starts, threads)
        except WorkerEndedError as error:
            if key not in PEERS:
                raise
            self._leave_out(f"did not start: {error.why}")
        else:
            self.workers.append(worker)
            self._stack.callback(worker.close)

    def measure(self, env: str, segments: int, env_steps: int, table: Table) -> Speeds:
        """Alternate segments: updates a second of each.

        Each round begins with another contestant, and every second one goes backwards: whoever ran just
        before makes a difference of some per cent.
        """
        speeds: Speeds = {worker.contestant.name: [] for worker in self.workers}
        for segment in range(segments):
            first = segment % len(self.workers)
            order = [*self.workers[first:], *self.workers[:first]]
            for worker in order[:: -1 if segment % 2 else 1]:
                name = worker.contestant.name
                done = self._run(worker, env_steps)
                if done is None:
                    table.add([], replacing=lambda row, name=name: row["contestant"] == name)
                    del speeds[name]
                    continue
                speed = done["updates"] / done["seconds"]
                speeds[name].append(speed)
                row = {key: done[key] for key in ("env_steps", "updates", "seconds", "other_cores")}
                row |= {"env": env, "contestant": name, "segment": segment, "versions": worker.versions}
                row |= {"env_steps_per_s": done["env_steps"] / done["seconds"], "updates_per_s": speed}
                table.add([row])
                print(f"segment {segment + 1}/{segments}: {name}: {speed:.1f} updates/s", file=sys.stderr)
        return speeds

    def _run(self, worker: Worker, env_steps: int) -> dict[str, Any] | None:
        """One segment; None where a peer has failed in it and is out."""
        name = worker.contestant.name
        try:
            done = worker.run(env_steps)
            why = f"{name}: {done['updates']} updates in {done['env_steps']} env steps"
            if abs(done["updates"] - done["env_steps"]) <= MAY_DIFFER * done["env_steps"]:
                return done
            error = RuntimeError(why)
        except WorkerEndedError as ended:
            why, error = ended.why, ended
        if worker.contestant.python != PEER_PYTHON:
            raise error
        self.workers.remove(worker)
        self._leave_out(f"failed: {why}")
        return None

    def _leave_out(self, line: str) -> None:
        self.left_out.append(f"left out, {line}")
        print(self.left_out[-1], file=sys.stderr)


def warn_of_others(table: Table, console: Console) -> None:
    """Say so if the machine was not ours alone: such numbers compare badly and must not be published."""
    others = statistics.median(float(row["other_cores"]) for row in table.rows)
    if others > QUIET_CORES:
        console.print(
            f"warning: other processes kept {others:.2f} cores busy: these numbers are not to be used"
        )


def main(given: Sequence[str] | None = None) -> None:
    """Starts all contestants, alternates between them, writes the CSV and prints tables."""
    arguments = _parser().parse_args(given)
    segments, env_steps, learning_starts = arguments.segments, arguments.env_steps, 1_000
    results = arguments.results
    if arguments.smoke:
        segments, env_steps, learning_starts = 2, 60, 300
        results = Path(tempfile.mkdtemp(prefix="throughput_"))
    if arguments.redraw:
        _draw(results, arguments.env)
        return
    if arguments.peers and not PEER_PYTHON.exists():
        sys.exit(f"error: {PEER_PYTHON} is not there; `make bench` makes it from requirements-peers.txt")
    path = csv_of(results, arguments.env)
    path.unlink(missing_ok=True)
    table, console = Table(path, COLUMNS), Console(width=WIDTH)
    with ExitStack() as stack:
        contest = Contest(stack)
        for key in chosen(arguments.with_variants, arguments.peers):
            contest.start(key, arguments.env, learning_starts, arguments.threads)
        speeds = contest.measure(arguments.env, segments, env_steps, table)
        show_speeds(speeds, arguments.env, console)
        show_limits(speeds, console)
        warn_of_others(table, console)
        for worker in contest.workers:
            if worker.contestant.has_parts:
                show_parts(worker.contestant.name, worker.profile(env_steps), console)
    _draw(results, arguments.env)
    console.print(f"segments and picture: {path.with_suffix('')}.csv, .png", soft_wrap=True)
    for line in contest.left_out:
        console.print(line, markup=False, soft_wrap=True)


def _draw(results: Path, env: str) -> None:
    from throughput_plot import draw

    draw(read_speeds(results, env), env, LIMIT, csv_of(results, env).with_suffix(".png"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env", default="Pendulum-v1", help="e.g. HalfCheetah-v5")
    parser.add_argument(
        "--with",
        dest="with_variants",
        nargs="*",
        default=list(VARIANTS),
        choices=VARIANTS,
        help="variants of ours beside the eager one, each with its update alone; bf16 is compiled too",
    )
    parser.add_argument(
        "--peers", nargs="*", default=list(PEERS), choices=PEERS, help="other libraries; all by default"
    )
    parser.add_argument("--segments", type=int, default=9, help="of each contestant")
    parser.add_argument("--env-steps", type=int, default=1_000, help="of one segment")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each contestant")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing: draw the picture again from the CSV"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny segments; results go to a temporary folder"
    )
    return parser


if __name__ == "__main__":
    main()
