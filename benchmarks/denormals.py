"""Env steps per second with and without taking denormal numbers for 0, as a run goes on.

    python benchmarks/denormals.py --env HalfCheetah-v5 --steps 20000

Both runs go at the same time, on one thread each, with the default SAC. Writes results/denormals.csv, one
row for each row of their metrics.csv, and prints the ratio of both speeds.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tables import Table

from sac_lightning.training.loggers import read_metrics

HERE = Path(__file__).resolve().parent
COLUMNS = ("env", "compile", "env_steps", "flushed_per_s", "kept_per_s", "ratio")
TRAIN = "from sac_lightning.cli.train import command; command()"
KEEP = "import torch; torch.set_flush_denormal = lambda mode: False; "


def measure(env: str, compiled: str, steps: int) -> list[dict[str, object]]:
    """Returns one row for each tenth of the run."""
    every = steps // 10
    line = (
        *("env=gym", f"env.id={env}", "logger=csv", "threads=1", f"compile={compiled}"),
        *(f"total_env_steps={steps}", f"steps_per_epoch={every}", f"log_every_n_env_steps={every}"),
        *("callbacks.plots=null", "callbacks.best=null", "+trainer.limit_val_batches=0"),
    )
    with TemporaryDirectory() as folder:
        running = []
        for name, first in (("flushed", ""), ("kept", KEEP)):
            command = [sys.executable, "-c", first + TRAIN, *line, f"hydra.run.dir={folder}/{name}"]
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        if any(code != 0 for code in [process.wait() for process in running]):
            raise RuntimeError(f"a run of {env} failed")
        both = [read_metrics(Path(folder, name, "metrics.csv")) for name in ("flushed", "kept")]
    speeds = zip(both[0]["env_steps"], *(each["time/env_steps_per_s"] for each in both), strict=True)
    return [
        dict(zip(COLUMNS, (env, compiled, int(steps), fast, slow, fast / slow), strict=True))
        for steps, fast, slow in speeds
    ]


def main() -> None:
    """Measure eager and compiled updates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--steps", type=int, default=20_000, help="of each run")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    table = Table(given.results / "denormals.csv", COLUMNS)
    table.add([], replacing=lambda row: row["env"] == given.env)
    for compiled in ("false", "true"):
        rows = measure(given.env, compiled, given.steps)
        table.add(rows)
        for row in rows:
            print(f"{given.env} compile={compiled} at {row['env_steps']} env steps: {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
