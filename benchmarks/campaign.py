"""The runs behind docs/results.md: ours go on where they were stopped, and none is made twice.

    python benchmarks/campaign.py --jobs 2
    python benchmarks/campaign.py --envs halfcheetah --methods sac fast --seeds 0 1 2 --steps 100000

Every evaluation of 20 episodes is a row of ENV.csv in benchmarks/results/mujoco_v5/ or discrete/. The tables
of docs/results.md and its two pictures in docs/figures come from them. Whoever stops early has compared all
methods on some seeds. Stable-Baselines3 runs in .venv-bench, which `make bench` sets up.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from campaign_page import DISCRETE, EVERY, MUJOCO, PAGE, draw, page, table_of
from recipes import ROOT, Point, Run, Runs

OURS: dict[str, tuple[str, ...]] = {
    "sac": (),
    "sac_3e-4": ("lr=3e-4",),
    "sac_bf16": ("precision=bf16-mixed",),
    "fast": ("experiment=fast",),
}
PEERS = {"sb3_sac": "sac", "sb3_dqn": "dqn"}
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
EPISODES = 20


class Stage(NamedTuple):
    """Runs that are made before those of the next stage."""

    methods: tuple[str, ...]
    envs: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int | None  # None: the total_env_steps of the env's file


FIVE, THREE = (0, 1, 2, 3, 4), (0, 1, 2)
STAGES = (
    Stage(("sac", "sb3_dqn"), DISCRETE, FIVE, None),
    Stage(("sac", "sac_3e-4", "fast", "sb3_sac"), MUJOCO[:4], THREE, 100_000),
    Stage(("sac", "sac_bf16", "fast"), MUJOCO[:4], FIVE, 300_000),
    Stage(("sac", "fast"), MUJOCO[4:], THREE, 200_000),
    Stage(("sac", "fast"), ("halfcheetah", "walker2d"), THREE, 1_000_000),
)


def total_steps(env: str) -> int:
    """Returns the total_env_steps of the env's file."""
    return int(_config(env)["total_env_steps"])


def _config(env: str) -> Any:
    return yaml.safe_load((ROOT / "conf" / "env" / f"{env}.yaml").read_text(encoding="utf-8"))


class CampaignRuns(Runs):
    """Makes runs of this project and of Stable-Baselines3."""

    def _train(self, run: Run, enough: Callable[[Point], bool]) -> None:
        if run.recipe not in PEERS:
            super()._train(run, enough)
            return
        folder = self.folder / run.name
        shutil.rmtree(folder, ignore_errors=True)  # it cannot be continued
        script = ROOT / "benchmarks" / "campaign_sb3.py"
        self._run([str(PEER_PYTHON), str(script), *self.arguments(run), f"--out={folder}"], run, enough)

    def arguments(self, run: Run) -> list[str]:
        """Returns the arguments of train.py, or of campaign_sb3.py."""
        if run.recipe not in PEERS:
            how = (f"steps_per_epoch={EVERY[run.env]}", f"eval_episodes={EPISODES}", f"eval_envs={EPISODES}")
            return [*super().arguments(run), *how]
        options = {
            "algorithm": PEERS[run.recipe],
            "env": _config(run.env)["env"]["id"],
            "seed": run.seed,
            "steps": total_steps(run.env),
            "every": EVERY[run.env],
            "episodes": EPISODES,
        }
        return [f"--{key}={value}" for key, value in options.items()]

    def command(self, run: Run) -> str:
        """Returns what a user types for `run`."""
        peer = ".venv-bench/bin/python benchmarks/campaign_sb3.py"
        return " ".join([peer, *self.arguments(run)]) if run.recipe in PEERS else super().command(run)

    def versions_of(self, run: Run) -> str:
        """Returns the versions of what trains; Stable-Baselines3 runs write theirs."""
        file = self.folder / run.name / "versions.txt"
        return file.read_text(encoding="utf-8") if file.is_file() else super().versions_of(run)


def main() -> int:
    """Make the missing runs, then page and picture; 1 where a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=[*DISCRETE, *MUJOCO], help="files of conf/env")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(FIVE))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--table-only", action="store_true", help="make no run, write page and picture")
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs" / "benchmarks" / "campaign")
    parser.add_argument("--no-minutes", action="store_true", help="other work runs beside: leave minutes out")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--steps", type=int, help="env steps of each run; left out: those of its stage")
    arguments = parser.parse_args()
    failed = 0
    for stage in () if arguments.table_only else STAGES:
        for env in (each for each in stage.envs if each in arguments.envs):
            steps = min(stage.steps or total_steps(env), arguments.steps or sys.maxsize)

            def enough(point: Point, steps: int = steps) -> bool:
                return point.env_steps >= steps

            how = ("logger=csv", "threads=1", "compile=true")
            runs = CampaignRuns(table_of(env), arguments.runs_dir, how)
            runs.has_minutes = not arguments.no_minutes
            made = [
                Run(method, OURS.get(method, ()), env, seed)
                for seed in stage.seeds
                if seed in arguments.seeds
                for method in stage.methods
                if method in arguments.methods
            ]
            failed += runs.make(made, enough, arguments.jobs)
    if any(table_of(env).rows for env in (*MUJOCO, *DISCRETE)):
        draw()
        PAGE.write_text(page(), encoding="utf-8")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
