"""`python eval.py run=RUN_DIR`, `sac-eval`: evaluate a run's checkpoint, and film it."""

import math
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.command_line import load_frameworks, print_rows
from sac_lightning.cli.train import hydra_command
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.fields import BOOL, Whole

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sac_lightning.algorithm.policy import Policy
    from sac_lightning.collect.evaluation import Evaluation
    from sac_lightning.training.module import SACModule


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the arguments, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; a mistake is one line on stderr."""
    one = "evaluates one run at a time; call it once for each"
    # As Ctrl-C does: nothing half-written stays behind.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return hydra_command("eval", _job, paths=("run", "checkpoint"), no_multirun=one)
    finally:
        signal.signal(signal.SIGTERM, before)


def _job(cfg: "DictConfig") -> tuple[int, float]:
    load_frameworks()
    from sac_lightning.cli.rundir import versions
    from sac_lightning.cli.saved_run import Run, check_spaces, load
    from sac_lightning.collect.evaluation import NO_TIME_LIMIT, Evaluator
    from sac_lightning.core.files import write_json
    from sac_lightning.core.finite import NotFiniteError
    from sac_lightning.envs import EnvError
    from sac_lightning.training.callbacks.video import check_video, film

    _check(cfg)
    run = Run.at(str(cfg.run))
    env = run.env([str(prefix) for prefix in cfg.allowed_prefixes])
    checkpoint = run.checkpoint(str(cfg.checkpoint))
    module = load(checkpoint, str(cfg.checkpoint), str(cfg.device))
    has_limit = check_spaces(module, env, checkpoint)
    max_steps = run.max_steps if cfg.max_steps is None else cfg.max_steps
    if max_steps is None and not has_limit:
        print(f"warning: {NO_TIME_LIMIT % (env.id, 'max_steps=1000')}", file=sys.stderr)
    if cfg.video:
        check_video(env)
    seeds = range(cfg.seed, cfg.seed + cfg.episodes)
    try:
        build = partial(env.build, cfg.render)
        with closing(Evaluator(build, seeds, 1 if cfg.render else cfg.envs, max_steps)) as evaluator:
            result = evaluator.run(_policy(module, cfg))
    except (EnvError, NotFiniteError) as error:
        if error.__cause__ is not None:  # the env's own error: its author wants the traceback
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1, math.nan
    summary = {
        "checkpoint": str(checkpoint),
        "env_steps": int(module.env_steps),
        "env_id": env.id,
        "deterministic": cfg.deterministic,
        **_statistics(result),
        "seeds": list(seeds),
        "max_steps": max_steps,
        "versions": versions(),
    }
    written = []
    place = run.results / "eval.json"
    try:
        write_json(place, summary)
        written.append(place)
        if cfg.video:
            place = run.results / "videos" / "eval.mp4"
            film(env, place, _policy(module, cfg), seeds[0], max_steps)
            written.append(place)
        return 0, result.return_mean
    except OSError as error:  # such as somebody else's folder: the numbers are shown all the same
        reason = f"{place.relative_to(run.results)} cannot be written ({error.strerror or error})"
        raise ConfigError("run", cfg.run, reason) from None
    finally:
        _print(summary, written)


def _check(cfg: "DictConfig") -> None:
    from sac_lightning.collect.evaluation import check_max_steps

    for key, least in (("episodes", 1), ("envs", 1), ("seed", 0)):
        cfg[key] = Whole(f"[{least}, inf)").check(key, cfg[key])
    cfg.max_steps = check_max_steps("max_steps", cfg.max_steps)
    require(cfg.render in (None, "human"), "render", cfg.render, "must be human (a window) or null")
    for key in ("deterministic", "video"):
        BOOL.check(key, cfg[key])
    named = not isinstance(cfg.allowed_prefixes, str) and hasattr(cfg.allowed_prefixes, "__iter__")
    require(named, "allowed_prefixes", cfg.allowed_prefixes, "must be a list of packages, e.g. [my_envs]")


def _policy(module: "SACModule", cfg: "DictConfig") -> "Policy":
    from sac_lightning.algorithm.policy import SampledPolicy
    from sac_lightning.core.seeding import torch_generator

    policy = module.policy
    if cfg.deterministic:
        return policy
    return SampledPolicy(**vars(policy), generator=torch_generator(cfg.seed, policy.device))


def _statistics(result: "Evaluation") -> dict[str, Any]:
    import numpy as np

    returns = np.asarray(result.returns)
    return {
        "episodes": len(returns),
        "return_mean": result.return_mean,
        "return_std": result.return_std,
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "return_median": float(np.median(returns)),
        "length_mean": float(np.mean(result.lengths)),
        "returns": list(result.returns),
        "lengths": list(result.lengths),
    }


def _print(summary: dict[str, Any], written: Sequence[Path]) -> None:
    names = ("min", "median", "max")
    print_rows(
        f"{summary['env_id']} after {summary['env_steps']:,} env steps",
        {
            "episodes": str(summary["episodes"]),
            "return": f"{summary['return_mean']:.2f} ± {summary['return_std']:.2f}",
            "min, median, max": ", ".join(f"{summary[f'return_{key}']:.2f}" for key in names),
            "length": f"{summary['length_mean']:.1f}",
            "policy": "deterministic" if summary["deterministic"] else "sampled",
        },
        {
            "checkpoint": summary["checkpoint"],
            "written": ", ".join(map(str, written)) or "nothing",
        },
    )


if __name__ == "__main__":
    main()
