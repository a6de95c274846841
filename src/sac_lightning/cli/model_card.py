"""The files of a policy for others, and the model card that describes them."""

import csv
import io
import math
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from sac_lightning.cli import hub
from sac_lightning.cli.saved_run import Run
from sac_lightning.core.files import DamagedFile, read_json
from sac_lightning.core.plots import learning_curve
from sac_lightning.training.loggers import read_metrics
from sac_lightning.training.module import SACModule

# Keys of a config that the card shows; config.yaml has them all.
SETTINGS = (
    *("seed", "total_env_steps", "num_envs", "utd_ratio", "batch_size", "learning_starts"),
    *("gamma", "tau", "lr", "replay.n_step", "actor.hidden_sizes", "critic.hidden_sizes"),
    *("critic.num_critics", "precision"),
)
EVALUATION = "eval/return_mean"
PARTS = ("alpha", "target_entropy", "torso", "value_head", "pessimism", "target_network")


@dataclass(frozen=True)
class ReportedReturn:
    """Undiscounted returns of deterministic episodes: mean and standard deviation, and what was played."""

    mean: float
    std: float
    text: str


def evaluation_of(run: Run, module: SACModule) -> ReportedReturn | None:
    """The evaluation of this policy by eval.py, else the one of training at its env step, else None."""
    steps, played = int(module.env_steps), read_json(run.results / "eval.json") or {}
    try:
        found = [played[key] for key in ("env_steps", "env_id", "deterministic", "max_steps")]
        if found == [steps, _env_id(run), True, run.max_steps]:
            mean, std = float(played["return_mean"]), float(played["return_std"])
            seeds = f"reset seeds {min(played['seeds'])} to {max(played['seeds'])}"
            return ReportedReturn(
                mean, std, f"{mean:.2f} ± {std:.2f} over {played['episodes']} episodes ({seeds})"
            )
    except (KeyError, TypeError, ValueError):  # a file of something else
        pass
    metrics = _metrics(run)
    at = [] if metrics is None else [row for row, step in enumerate(metrics["env_steps"]) if step == steps]
    if metrics is None or not at or EVALUATION not in metrics:
        return None
    mean = float(metrics[EVALUATION][at[0]])
    std = float(metrics["eval/return_std"][at[0]]) if "eval/return_std" in metrics else math.nan
    if not math.isfinite(mean):
        return None
    during = "in an evaluation of training, by which this checkpoint may have been chosen"
    return ReportedReturn(mean, std, f"{mean:.2f} ± {std:.2f} {during}")


def policy_files(run: Run, module: SACModule) -> dict[str, bytes]:
    """The files of `hub.FILES` by name, without card and ONNX model; a run without metrics has fewer."""
    checkpoint = io.BytesIO()
    torch.save(module.policy_checkpoint(), checkpoint)
    files = {
        hub.CONFIG: (run.path / hub.CONFIG).read_bytes(),
        hub.POLICY: checkpoint.getvalue(),
    }
    metrics = _metrics(run)
    if metrics is not None:
        files[hub.METRICS] = _evaluations((run.path / hub.METRICS).read_bytes())
        with TemporaryDirectory() as folder:
            picture = Path(folder) / "curve.png"
            learning_curve(metrics, picture, _env_id(run))
            files[hub.CURVE] = picture.read_bytes()
    return files


def card(run: Run, module: SACModule, name: str, files: Collection[str]) -> str:
    """README.md of the policy that others load as `name`, with the header that the Hub reads.

    `name` is what `run=` takes: hf:USER/NAME, zoo:pendulum, or a folder.
    """
    env_id, evaluation = _env_id(run), evaluation_of(run, module)
    summary = read_json(run.path / "summary.json") or {}
    play = shlex.join(["python", "eval.py", f"run={name}", "episodes=20", *permission(run)])
    after = f"{int(module.env_steps):,} env steps ({int(module.grad_steps):,} gradient updates)"
    onnx = " `policy.onnx` takes `obs` `[batch, *obs]` and gives `action`." if hub.ONNX in files else ""
    parts = [
        _header(env_id, evaluation),
        f"# SAC on {env_id}",
        "A policy trained with Soft Actor-Critic by `sac_lightning`: the deterministic action is the mode of "
        f"the policy after {after}.",
        f"**Return: {evaluation.text}.**" if evaluation is not None else "It has not been evaluated.",
        f"![learning curve]({hub.CURVE})" if hub.CURVE in files else "",
        "## Use it",
        _block(play),
        _block(_load(name), "python"),
        "`policy.ckpt` has the actor and the normalization of observations. It has no critics, no optimizers "
        f"and no replay buffer, so no training goes on from it.{onnx}",
        "## How it was trained",
        _command(summary),
        _table("setting", _settings(run.config)),
        "All settings are in `config.yaml`.",
        _table("version", summary["versions"]) if "versions" in summary else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def permission(run: Run) -> list[str]:
    """What a command must allow to play a policy whose run imported other packages: no folder can."""
    allowed = run.config["env"].get("allowed_prefixes") or []
    return [f"allowed_prefixes=[{','.join(map(str, allowed))}]"] if allowed else []


def _header(env_id: str, evaluation: ReportedReturn | None) -> str:
    header: dict[str, Any] = {
        "library_name": "sac_lightning",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["reinforcement-learning", "deep-reinforcement-learning", "soft-actor-critic", env_id],
    }
    if evaluation is not None:
        metric = {
            "type": "mean_reward",
            "name": "mean_reward",
            "value": f"{evaluation.mean:.2f} +/- {evaluation.std:.2f}",
            "verified": False,
        }
        result = {
            "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
            "dataset": {"name": env_id, "type": env_id},
            "metrics": [metric],
        }
        header["model-index"] = [{"name": "SAC", "results": [result]}]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---"


def _load(name: str) -> str:
    file = f'"{name.replace(":", "/")}/{hub.POLICY}"'
    lines = ["from sac_lightning import SACModule", ""]
    if name.startswith(hub.HUB):
        lines.insert(0, "from huggingface_hub import hf_hub_download")
        file = f'hf_hub_download("{name.removeprefix(hub.HUB)}", "{hub.POLICY}")'
    lines.append(f"module = SACModule.load_from_checkpoint({file})")
    return "\n".join([*lines, "action = module.act(obs, deterministic=True)"])


def _command(summary: dict[str, Any]) -> str:
    """The command of the run; nothing where it names a folder of its machine, as that of a resume does."""
    typed = [str(each) for each in summary.get("overrides", ())]
    if "overrides" not in summary or any(each.startswith(("resume=", "replay.data=")) for each in typed):
        return ""
    typed = [each for each in typed if not each.startswith("hydra.")]
    return _block(shlex.join(["python", "train.py", *typed]))


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    found = {key: _at(config, key) for key in SETTINGS}
    classes = {part: _at(config, f"{part}._target_") for part in PARTS}
    found |= {part: str(name).rpartition(".")[2] for part, name in classes.items() if name is not None}
    return {key: value for key, value in found.items() if value is not None}


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _table(title: str, rows: dict[str, Any]) -> str:
    return "\n".join(
        [f"| {title} | |", "|---|---|", *(f"| `{key}` | {value} |" for key, value in rows.items())]
    )


def _block(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def _metrics(run: Run) -> Any:
    """The run's metrics; None for a run that has no metrics.csv with a row."""
    file = run.path / hub.METRICS
    try:
        metrics = read_metrics(file) if file.is_file() else None
    except ValueError as error:
        raise DamagedFile(file, str(error)) from None
    return metrics if metrics is not None and len(metrics["env_steps"]) else None


def _evaluations(metrics: bytes) -> bytes:
    """The rows of a metrics.csv that have an evaluation: a small file to share. All rows, if none has."""
    whole = metrics[: metrics.rfind(b"\n") + 1]  # the last row of a run that was killed may be half a row
    head, *rows = csv.reader(io.StringIO(whole.decode(), newline=""))
    at = head.index(EVALUATION) if EVALUATION in head else len(head)
    kept = [row for row in rows if any(row[at : at + 1])]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *(kept or rows)])
    return text.getvalue().encode()


def _env_id(run: Run) -> str:
    return str(run.config["env"]["id"])
