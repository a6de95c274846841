"""The whole loop beside that of an earlier commit and beside Stable-Baselines3, in alternating segments.

    python benchmarks/versus.py b85adb5 --env HalfCheetah-v5

Writes results/versus_COMMIT_ENV.csv and prints the medians of the ratios, segment by segment.
"""

import argparse
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from contestants import ALL, BASELINE, BF16, Contestant
from tables import Table
from throughput import COLUMNS, Contest

HERE = Path(__file__).resolve().parent
OPTIONS = {"eager": (), "compiled": ("--compile",), "bf16": ("--compile", *BF16)}


def checkout(commit: str, stack: ExitStack) -> Path:
    """Returns a folder with the files of `commit`, until the stack ends."""
    tree = Path(stack.enter_context(TemporaryDirectory())) / commit
    add = ["git", "worktree", "add", "--detach", str(tree), commit]
    subprocess.run(add, cwd=HERE, check=True, capture_output=True)
    remove = ["git", "worktree", "remove", "--force", str(tree)]
    stack.callback(subprocess.run, remove, cwd=HERE, check=True)
    return tree


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--env", default="Pendulum-v1")
    parser.add_argument("--segments", type=int, default=8, help="of each contestant")
    parser.add_argument("--env-steps", type=int, default=400, help="of one segment")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each contestant")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    file = given.results / f"versus_{given.commit}_{given.env}.csv"
    file.unlink(missing_ok=True)
    with ExitStack() as stack:
        tree = checkout(given.commit, stack)
        for key, options in OPTIONS.items():
            name, all_options = f"{given.commit} {key}", (str(tree), *options)
            ALL[f"{key} before"] = Contestant(name, "worker_commit.py", all_options)
        contest = Contest(stack)
        for key in (*OPTIONS, *(f"{key} before" for key in OPTIONS), "sb3"):
            contest.start(key, given.env, 1_000, given.threads)
        speeds = contest.measure(given.env, given.segments, given.env_steps, Table(file, COLUMNS))
    for key in OPTIONS:
        ours = speeds[ALL[key].name]
        for other in (f"{given.commit} {key}", BASELINE):
            pairs = zip(ours, speeds[other], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{given.env} {key}: {statistics.median(ours):.0f} updates/s, {ratio:.2f} of {other}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
