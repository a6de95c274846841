"""A small real sweep of six jobs, one made to fail, and its report: the picture in README.

    python benchmarks/report_example.py

Writes multirun/report_example/ with its report, and the report's numbers to results/. The picture is the top
of multirun/report_example/report.html in a browser window of 1200 pixels.
"""

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any

from gymnasium.envs.classic_control.pendulum import PendulumEnv
from hydra.core.hydra_config import HydraConfig

from sac_lightning.cli import report, train

SWEEP = "multirun/report_example"
ARGUMENTS = (
    *("-m", "env=pendulum", "alpha=auto,fixed", "seed=0,1,2", f"hydra.sweep.dir={SWEEP}"),
    *("total_env_steps=3000", "steps_per_epoch=250", "eval_episodes=5", "utd_ratio=1"),
    *("log_every_n_env_steps=50", "compile=false", "threads=1", "device=cpu", "logger=csv"),
)
FAILS, AFTER_STEPS = 4, 3000


def main() -> None:
    """Train the six, of which the fifth loses its simulator, and report them."""
    steps, real_step = itertools.count(), PendulumEnv.step

    def step(self: PendulumEnv, action: Any) -> Any:
        if HydraConfig.get().job.num == FAILS and next(steps) == AFTER_STEPS:
            raise RuntimeError("the simulator was taken away, to show a failed job")
        return real_step(self, action)

    PendulumEnv.step = step
    sys.argv[1:] = ARGUMENTS
    assert train.command() == 1
    sys.argv[1:] = (f"runs={SWEEP}",)
    assert report.command() == 0
    for name in ("groups", "runs"):
        out = Path(__file__).parent / "results" / f"report_example_{name}.csv"
        shutil.copyfile(Path(SWEEP) / "report" / f"{name}.csv", out)


if __name__ == "__main__":
    main()
