"""Learning benchmarks: train as a user would, then evaluate the checkpoints on 100 episodes of fixed seeds.

    python benchmarks/learning.py pendulum --jobs 2

Every finished run is a row of benchmarks/results/; runs that have their row are not made again.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from learning_cases import CASES, Case, Run
from learning_run import ROOT, Curve, Score, command, curve, final_alpha, score, train
from tables import Row, Table

RESULTS = ROOT / "benchmarks" / "results"
SCORE_COLUMNS = (
    "experiment",
    "variant",
    "seed",
    "env_steps",
    "episodes",
    "return_mean",
    "return_std",
    "seconds",
    "command",
)
CURVE_COLUMNS = ("variant", "seed", "env_steps", "return_mean", "alpha")


class Benchmark:
    """The runs of one case, and the tables that they fill."""

    def __init__(self, case: Case, runs_dir: Path, results: Path) -> None:
        self.case, self.folder = case, runs_dir / case.name
        own = ("return_auc", "alpha") if case.compares else ()
        name = case.name if case.compares else f"learning_{case.name}"
        self.table = Table(results / f"{name}.csv", (*SCORE_COLUMNS[:-1], *own, SCORE_COLUMNS[-1]))
        self.curves = Table(results / f"{name}_curves.csv", CURVE_COLUMNS)
        self.picture = ROOT / case.picture if case.picture else results / f"{name}.png"
        self.summary = results / f"{name}_summary.csv"

    @property
    def missing(self) -> list[Run]:
        """Runs without a row."""
        present = {(row["experiment"], row["variant"], row["seed"]) for row in self.table.rows}
        return [run for run in self.case.runs if (run.experiment, run.variant, str(run.seed)) not in present]

    def make(self, run: Run) -> tuple[Score, Curve, float]:
        """Train and evaluate; nothing is written to the tables."""
        folder = self.folder / run.name
        train(run, folder)
        return score(folder), curve(folder), final_alpha(folder)

    def record(self, run: Run, made: Score, seen: Curve, alpha: float) -> None:
        """The curves first: a row of the main table says that the run needs not be made again."""
        what = {"experiment": run.experiment, "variant": run.variant, "seed": run.seed}
        extra: dict[str, object] = {}
        if self.case.curves:
            points = zip(seen.env_steps, seen.returns, seen.alpha, strict=True)
            self.curves.add(
                [
                    {"variant": run.variant, "seed": run.seed, **dict(zip(CURVE_COLUMNS[2:], p, strict=True))}
                    for p in points
                ],
                replacing=lambda row: _is(run, row),
            )
        if self.case.compares:
            extra = {"return_auc": float(np.mean(seen.returns)), "alpha": alpha}
        self.table.add([{**what, **vars(made), **extra, "command": command(run)}])

    def draw(self) -> None:
        """The picture of the curves that there are."""
        if not (self.case.curves and self.curves.rows):
            return
        if self.case.compares:
            from learning_plot import draw

            draw(self.curves.rows, self.picture)
        else:
            from learning_seeds_plot import draw_seeds

            draw_seeds(self.curves.rows, self.table.rows, self.picture)

    def summarise(self) -> list[str]:
        """Write the summary over seeds of a case that compares variants; its lines."""
        if not (self.case.compares and self.table.rows):
            return []
        from learning_summary import summarise

        return summarise(self.table.rows, self.summary)


def _is(run: Run, row: Row) -> bool:
    return (row["variant"], row["seed"]) == (run.variant, str(run.seed))


def main() -> int:
    """Make the missing runs, `--jobs` at a time; the number of those that failed."""
    arguments = _parser().parse_args()
    benchmark = Benchmark(CASES[arguments.case], arguments.runs_dir, arguments.results)
    missing, failed = benchmark.missing, 0
    if arguments.only:
        missing = [run for run in missing if run.experiment in arguments.only]
    if arguments.seeds:
        missing = [run for run in missing if run.seed in arguments.seeds]
    print(f"{arguments.case}: {len(missing)} of {len(benchmark.case.runs)} runs to make", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        running = {pool.submit(benchmark.make, run): run for run in missing[: arguments.at_most]}
        for done in as_completed(running):
            run = running[done]
            try:
                made = done.result()
            except Exception as error:
                failed += 1
                print(f"{run.name}: failed: {error}", flush=True)
                continue
            benchmark.record(run, *made)
            found = made[0]
            mean = f"{found.return_mean:.1f} ± {found.return_std:.1f} at {found.env_steps:,}"
            print(f"{run.name}: {mean}, {found.seconds:.0f} s", flush=True)
            benchmark.draw()
    benchmark.draw()
    print("\n".join(benchmark.summarise()), flush=True)
    return min(failed, 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--only", nargs="+", help="make only the missing runs of these, such as reacher")
    parser.add_argument("--seeds", nargs="+", type=int, help="make only the missing runs of these seeds")
    parser.add_argument("--at-most", type=int, default=None, help="make only so many of the missing runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs" / "benchmarks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
