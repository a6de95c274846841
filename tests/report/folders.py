"""Run directories as training leaves them, with scores that a test chooses."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FIXED, AUTO = "sac_lightning.entropy.Fixed", "sac_lightning.entropy.LearnedTemperature"
HEADER = (
    *("env_steps", "rollout/return_mean", "train/critic_loss", "train/actor_loss", "train/alpha_loss"),
    *("train/alpha", "train/entropy", "train/target_entropy", "train/q_mean"),
    *("eval/return_mean", "eval/return_std", "eval/episodes", "time/env_steps_per_s"),
)


def config(seed: int = 0, env_id: str = "Pendulum-v1", **changed: Any) -> dict[str, Any]:
    """A config.yaml's content; `lr` is repeated in the actor's, as interpolations do."""
    lr = changed.get("lr", 3e-4)
    plain = {
        "task_name": env_id,
        "seed": seed,
        "total_env_steps": 10_000,
        "lr": lr,
        "env": {"_target_": "sac_lightning.envs.EnvConfig", "id": env_id, "kwargs": {}},
        "alpha": {"_target_": FIXED, "value": 0.2},
        "actor": {"hidden_sizes": [64, 64], "lr": lr},
        "paths": {"run_dir": "."},
    }
    return {**plain, **changed}


def metrics(points: Mapping[int, float], **others: float) -> str:
    """A metrics.csv with one evaluation at each step; `others` are columns with one value."""
    head = ["env_steps", "eval/return_mean", *others]
    lines = [",".join(map(str, [step, score, *others.values()])) + "\n" for step, score in points.items()]
    return ",".join(head) + "\n" + "".join(lines)


def make_run(
    path: Path,
    cfg: Mapping[str, Any] | None = None,
    table: str | None = None,
    status: str | None = "done",
    **summary: Any,
) -> Path:
    """Write what is given; None leaves a file out."""
    path.mkdir(parents=True)
    if cfg is not None:
        (path / "config.yaml").write_text(yaml.safe_dump(dict(cfg), sort_keys=False))
    if table is not None:
        (path / "metrics.csv").write_text(table)
    if status is not None:
        (path / "summary.json").write_text(json.dumps({"status": status, **summary}))
    return path


def scored(path: Path, cfg: Mapping[str, Any], scores: Sequence[float]) -> Path:
    """A done run with `scores` at 1000, 2000, ... env steps."""
    return make_run(path, cfg, metrics({1000 * (at + 1): score for at, score in enumerate(scores)}))
