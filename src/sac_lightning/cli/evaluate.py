"""`python eval.py run=RUN_DIR`, `sac-eval`: evaluate a run's checkpoint, and film it."""

import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.command_line import print_rows, typed_path
from sac_lightning.cli.train import hydra_command
from sac_lightning.core.errors import ConfigError, as_whole, require, whole
from sac_lightning.core.files import check_no_links

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sac_lightning.algorithm.policy import Policy
    from sac_lightning.collect.evaluation import Evaluation
    from sac_lightning.envs import EnvConfig
    from sac_lightning.training.module import SACModule


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the arguments, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; a mistake is one line on stderr."""
    with _sigterm_as_ctrl_c():
        one = "evaluates one run at a time; call it once for each"
        return hydra_command("eval", _job, paths=("run", "checkpoint"), no_multirun=one)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: nothing half-written stays behind."""

    def signalled(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, signalled)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _job(cfg: "DictConfig") -> tuple[int, float]:
    from sac_lightning.cli.rundir import versions
    from sac_lightning.core.files import write_json
    from sac_lightning.core.finite import NotFiniteError
    from sac_lightning.envs import EnvError

    _check(cfg)
    run = Run.at(str(cfg.run))
    env = run.env([str(prefix) for prefix in cfg.allowed_prefixes])
    checkpoint = run.checkpoint(str(cfg.checkpoint))
    module = load(checkpoint, str(cfg.checkpoint), str(cfg.device))
    has_limit = check_spaces(module, env, checkpoint)
    max_steps = run.max_steps if cfg.max_steps is None else cfg.max_steps
    if max_steps is None and not has_limit:
        _warn_of_no_limit(env.id)
    record = _recorder(env, run.path / "videos" / "eval.mp4", max_steps) if cfg.video else None
    seeds = range(cfg.seed, cfg.seed + cfg.episodes)
    try:
        result = evaluate(env.build, _policy(module, cfg), seeds, cfg.envs, max_steps)
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
        **statistics(result),
        "seeds": list(seeds),
        "max_steps": max_steps,
        "versions": versions(),
    }
    written = []
    try:
        write_json(run.path / "eval.json", summary)
        written.append(run.path / "eval.json")
        if record is not None:
            record(_policy(module, cfg), seeds[0])
            written.append(run.path / "videos" / "eval.mp4")
        return 0, result.return_mean
    except OSError as error:  # such as somebody else's folder: the numbers are shown all the same
        what = "videos/eval.mp4" if written else "eval.json"
        reason = f"{what} cannot be written ({error.strerror or error})"
        raise ConfigError("run", cfg.run, reason) from None
    finally:
        _print(summary, written)


def _check(cfg: "DictConfig") -> None:
    from sac_lightning.collect.evaluation import check_max_steps

    for key in ("episodes", "envs", "seed", "max_steps"):
        cfg[key] = as_whole(cfg[key])
    for key, least in (("episodes", 1), ("envs", 1), ("seed", 0)):
        require(whole(cfg[key]) >= least, key, cfg[key], f"must be a whole number of at least {least}")
    check_max_steps("max_steps", cfg.max_steps)
    for key in ("deterministic", "video"):
        require(isinstance(cfg[key], bool), key, cfg[key], "must be true or false")
    named = not isinstance(cfg.allowed_prefixes, str) and hasattr(cfg.allowed_prefixes, "__iter__")
    require(named, "allowed_prefixes", cfg.allowed_prefixes, "must be a list of packages, e.g. [my_envs]")


@dataclass(frozen=True)
class Run:
    """A run directory to read: its config is data about the env, and nothing in it is instantiated."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def at(cls, path: str) -> "Run":
        """The run in the folder `path`. Raises ConfigError that says what is missing there."""
        folder = typed_path(path)
        require(folder.is_dir(), "run", path, "is no run: there is no such folder")
        file = folder / "config.yaml"
        require(file.is_file(), "run", path, "is no run: it has no config.yaml")
        from omegaconf import OmegaConf

        from sac_lightning.cli.targets import read_saved

        try:
            check_no_links(folder)
            config: Any = OmegaConf.to_container(read_saved(file), resolve=False)
        except OSError as error:
            raise ConfigError("run", path, f"cannot be read: {error}") from None
        env = config.get("env")
        known = isinstance(env, dict) and isinstance(env.get("id"), str)
        require(known, "run", path, "is no run: its config.yaml names no env.id")
        return cls(folder, config)

    def env(self, allowed_prefixes: list[str]) -> "EnvConfig":
        """The run's env. What its file allows does not count: only `allowed_prefixes` does."""
        from sac_lightning.cli.rundir import replaced
        from sac_lightning.cli.targets import check_wrappers
        from sac_lightning.envs import EnvConfig

        said = {
            k: v for k, v in self.config["env"].items() if k not in ("_target_", "allowed_prefixes", "make")
        }
        check_wrappers(said.get("wrappers"), self.path, allowed_prefixes)
        placed = replaced(said, "${paths.run_dir}", str(self.path.resolve()))
        try:
            env = EnvConfig(**placed, allowed_prefixes=allowed_prefixes)
            env.check()
        except TypeError as error:
            raise ConfigError("run", self.path, f"its config.yaml describes no env: {error}") from None
        except ConfigError as error:
            advice = error.allowed.replace("env.allowed_prefixes", "allowed_prefixes")
            raise ConfigError(error.key, error.value, advice) from None
        return env

    @property
    def max_steps(self) -> int | None:
        """The run's `eval_max_steps`. Raises ConfigError where its config.yaml has none that can be used."""
        from sac_lightning.collect.evaluation import check_max_steps

        value = self.config.get("eval_max_steps")
        check_max_steps("max_steps", value)
        return None if value is None else int(value)

    def checkpoint(self, which: str) -> Path:
        """The file of `best`, `last` or a path; a run without a best one has its last."""
        folder = self.path / "checkpoints"
        names = {"best": ("best.ckpt", "last.ckpt"), "last": ("last.ckpt",)}
        places = [folder / name for name in names[which]] if which in names else [typed_path(which)]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ConfigError("checkpoint", which, f"there is no {' and no '.join(map(str, places))}")
        return found


def load(path: Path, typed: str, device: str) -> "SACModule":
    """The module of a checkpoint. Raises ConfigError unless it is whole and holds data alone."""
    from sac_lightning.core.files import DamagedFile
    from sac_lightning.core.finite import NotFiniteError
    from sac_lightning.core.hardware import resolve_device
    from sac_lightning.training.module import SACModule

    place = resolve_device(device)
    try:
        return SACModule.load_from_checkpoint(path).to(place)
    except DamagedFile:  # of another format
        raise
    except NotFiniteError as error:
        raise ConfigError("checkpoint", path, f"{error}: its run diverged, name another one") from None
    except Exception as error:
        # The first line: what torch adds advises to switch its protection off.
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ConfigError(
            "checkpoint",
            typed if typed == str(path) else f"{typed} ({path})",
            f"is damaged, or holds more than data, or is none of sac_lightning: {reason}",
        ) from None


def check_spaces(module: "SACModule", env: "EnvConfig", checkpoint: Path) -> bool:
    """Whether the run's env limits its episodes.

    Raises ConfigError unless the checkpoint was trained on spaces like those of the env.
    """
    from sac_lightning.collect.evaluation import has_time_limit
    from sac_lightning.envs import action_spec, obs_spec

    probe = env.build()
    try:
        obs, action = obs_spec(probe.observation_space), action_spec(probe.action_space)
        has_limit = has_time_limit(probe)
    finally:
        probe.close()
    require(
        (obs, action) == (module.obs_spec, module.action_spec),
        "checkpoint",
        checkpoint,
        f"was trained on obs {module.obs_spec.shape} and {module.action_spec}; "
        f"{env.id} has obs {obs.shape} and {action}",
    )
    return has_limit


def _warn_of_no_limit(env_id: str) -> None:
    from sac_lightning.collect.evaluation import NO_TIME_LIMIT

    print(f"warning: {NO_TIME_LIMIT % (env_id, 'max_steps=1000')}", file=sys.stderr)


def evaluate(
    build: Callable[[], Any], policy: "Policy", seeds: range, envs: int = 10, max_steps: int | None = None
) -> "Evaluation":
    """One episode for each seed, `envs` at once at most; the envs are closed afterwards."""
    from sac_lightning.collect.evaluation import Evaluator

    evaluator = Evaluator(build, seeds, envs, max_steps)
    try:
        return evaluator.run(policy)
    finally:
        evaluator.close()


def _policy(module: "SACModule", cfg: "DictConfig") -> "Policy":
    if cfg.deterministic:
        return module.policy
    from sac_lightning.algorithm.policy import SampledPolicy
    from sac_lightning.core.seeding import torch_generator

    policy = module.policy
    generator = torch_generator(cfg.seed, policy.device)
    return SampledPolicy(**vars(policy), generator=generator)


def _recorder(env: "EnvConfig", path: Path, max_steps: int | None) -> "Callable[[Policy, int], None]":
    from sac_lightning.training.callbacks.video import check_video, film

    check_video(env)
    return partial(film, env, path, max_steps=max_steps)


def statistics(result: "Evaluation") -> dict[str, Any]:
    """Return the numbers of an evaluation that eval.json contains."""
    import numpy as np

    returns, lengths = np.asarray(result.returns), np.asarray(result.lengths)
    return {
        "episodes": len(returns),
        "return_mean": result.return_mean,
        "return_std": result.return_std,
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "return_median": float(np.median(returns)),
        "length_mean": float(lengths.mean()),
        "returns": list(result.returns),
        "lengths": list(result.lengths),
    }


def _print(summary: dict[str, Any], written: Sequence[Path]) -> None:
    print_rows(
        f"{summary['env_id']} after {summary['env_steps']:,} env steps",
        {
            "episodes": str(summary["episodes"]),
            "return": f"{summary['return_mean']:.2f} ± {summary['return_std']:.2f}",
            "min, median, max": ", ".join(
                f"{summary[f'return_{key}']:.2f}" for key in ("min", "median", "max")
            ),
            "length": f"{summary['length_mean']:.1f}",
            "policy": "deterministic" if summary["deterministic"] else "sampled",
            "checkpoint": summary["checkpoint"],
            "written": ", ".join(map(str, written)) or "nothing",
        },
    )


if __name__ == "__main__":
    main()
