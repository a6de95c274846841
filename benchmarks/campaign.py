"""The runs behind docs/results.md: ours go on where they were stopped, and none is made twice.

    python benchmarks/campaign.py --jobs 2
    python benchmarks/campaign.py --envs halfcheetah --methods sac fast --seeds 0 1 2 --steps 100000

Every evaluation of 20 episodes is a row of ENV.csv in benchmarks/results/mujoco_v5/ or discrete/. The tables
of docs/results.md and its two pictures in docs/figures come from them. Whoever stops early has compared all
methods on some seeds. Stable-Baselines3 and sbx run in .venv-bench, which `make bench` sets up.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from campaign_page import DISCRETE, EVERY, MINATAR, MUJOCO, PAGE, draw, env_id, file_of, page, table_of
from recipes import ROOT, Point, Run, Runs
from tables import Table

OURS: dict[str, tuple[str, ...]] = {
    "sac": (),
    "sac_3e-4": ("lr=3e-4",),
    "sac_bf16": ("precision=bf16-mixed",),
    "fast": ("experiment=fast",),
}
# Arguments of campaign_sb3.py.
PEERS: dict[str, dict[str, str]] = {
    "sb3_sac": {"algorithm": "sac"},
    "sb3_dqn": {"algorithm": "dqn"},
    "sbx_sac": {"library": "sbx", "algorithm": "sac"},
    "sbx_crossq": {"library": "sbx", "algorithm": "crossq"},
    "sbx_tqc": {"library": "sbx", "algorithm": "tqc"},
    "sbx_simba": {"library": "sbx", "algorithm": "sac", "policy": "SimbaPolicy"},
}
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
    return int(file_of(env)["total_env_steps"])


class CampaignRuns(Runs):
    """Makes runs of this project, of Stable-Baselines3 and of sbx.

    Args:
        table: with COLUMNS.
        folder: where runs are.
        how: arguments of all runs of this project.
        every: env steps between two evaluations, those of EVERY where left out.
    """

    def __init__(self, table: Table, folder: Path, how: tuple[str, ...], every: int | None = None) -> None:
        super().__init__(table, folder, how)
        self.every = every

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
        every = self.every or EVERY[run.env]
        if run.recipe not in PEERS:
            how = (f"steps_per_epoch={every}", f"eval_episodes={EPISODES}", f"eval_envs={EPISODES}")
            game = MINATAR.get(run.env)
            env = ("env=minatar", f"env.game={game}") if game else (f"env={run.env}",)
            return [*run.arguments, *env, f"seed={run.seed}", *self.how, *how]
        options = {
            **PEERS[run.recipe],
            "env": env_id(run.env),
            "seed": run.seed,
            "steps": total_steps(run.env),
            "every": every,
            "episodes": EPISODES,
        }
        return [f"--{key}={value}" for key, value in options.items()]

    def command(self, run: Run) -> str:
        """Returns what a user types for `run`."""
        peer = ".venv-bench/bin/python benchmarks/campaign_sb3.py"
        return " ".join([peer, *self.arguments(run)]) if run.recipe in PEERS else super().command(run)

    def versions_of(self, run: Run) -> str:
        """Returns the versions of what trains; other libraries' runs write theirs."""
        file = self.folder / run.name / "versions.txt"
        return file.read_text(encoding="utf-8") if file.is_file() else super().versions_of(run)


def main() -> int:
    """Make the missing runs, then page and picture; 1 where a run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--envs", nargs="+", default=[*DISCRETE, *MUJOCO], help="files of conf/env, or games of MinAtar"
    )
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
