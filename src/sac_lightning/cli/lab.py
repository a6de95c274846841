"""`python lab.py`, `sac-lab`: the entropy lab, every figure from one command."""

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.status import INTERRUPTED, MISTAKE
from sac_lightning.cli.train import hydra_command
from sac_lightning.core.errors import ConfigError, as_whole, number, require, whole

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sac_lightning.lab import Experiment
    from sac_lightning.lab.outputs import Outputs

# More would be quicker, but two is what the times in the documents are for.
MOST_JOBS = 2
FAILED = 1


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the arguments, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; mistakes are told in one line on stderr."""
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        print("error: -m: the lab has seeds of its own; call it once for each first seed", file=sys.stderr)
        return MISTAKE
    sys.argv[1:] = [_listed(argument) for argument in sys.argv[1:]]
    return hydra_command("lab", _job, paths=("out",))


def _listed(argument: str) -> str:
    """`only=a,d` as Hydra reads a text: it would take the comma for a sweep."""
    key, _, value = argument.partition("=")
    bare = key == "only" and "," in value and not value.startswith(("'", '"', "["))
    return f"only='{value}'" if bare else argument


def _job(cfg: "DictConfig") -> tuple[int, float]:
    from sac_lightning.cli.paths import typed_path
    from sac_lightning.lab.outputs import Outputs
    from sac_lightning.lab.runner import JobFailed

    _check(cfg)
    chosen, outputs = _chosen(cfg.only), Outputs(typed_path(str(cfg.out)))
    try:
        if cfg.measure:
            _make_folders(outputs)
            _measure(chosen, outputs, cfg)
        _write(chosen, outputs)
    except JobFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED, 0.0
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        return INTERRUPTED, 0.0
    return 0, float(len(chosen))


def _check(cfg: "DictConfig") -> None:
    for key in ("seed", "jobs"):
        cfg[key] = as_whole(cfg[key])
    require(whole(cfg.seed) >= 0, "seed", cfg.seed, "must be a whole number of at least 0")
    require(0.0 < number(cfg.budget) <= 1.0, "budget", cfg.budget, "must be a number in (0, 1]")
    ok = cfg.jobs == "auto" or whole(cfg.jobs) >= 1
    require(ok, "jobs", cfg.jobs, "must be auto or a whole number of at least 1")
    require(isinstance(cfg.measure, bool), "measure", cfg.measure, "must be true or false")


def _chosen(only: Any) -> "list[Experiment]":
    from sac_lightning.lab import EXPERIMENTS

    if only is None:
        return list(EXPERIMENTS)
    known = [each.letter for each in EXPERIMENTS]
    asked = [letter.strip() for letter in (only.split(",") if isinstance(only, str) else only)]
    wrong = [letter for letter in asked if letter not in known]
    require(
        bool(asked) and not wrong, "only", only, f"must be letters of {', '.join(known)}, such as only=a,d"
    )
    return [each for each in EXPERIMENTS if each.letter in asked]


def _make_folders(outputs: "Outputs") -> None:
    """Before minutes of training whose rows could not be kept."""
    try:
        outputs.make_folders()
    except OSError as error:
        told = f"cannot be written ({error.strerror}): name another folder"
        raise ConfigError("out", outputs.folder, told) from None


def _measure(chosen: "list[Experiment]", outputs: "Outputs", cfg: "DictConfig") -> None:
    from sac_lightning.lab.runner import run

    side_by_side = min(MOST_JOBS, os.cpu_count() or 1) if cfg.jobs == "auto" else int(cfg.jobs)
    began = time.monotonic()
    count = sum(len(each.jobs(cfg.seed, cfg.budget)) for each in chosen)
    print(f"{len(chosen)} experiments, {count} jobs, {side_by_side} side by side", flush=True)
    with closing(run(chosen, cfg.seed, cfg.budget, side_by_side)) as jobs:
        for i, finished in enumerate(jobs, start=1):
            elapsed = time.monotonic() - began
            left = elapsed / finished.done - elapsed
            told = f"{finished.experiment.letter}  {finished.job.told}"
            print(f"{i:3}/{count}  {told:<38} {_clock(elapsed)}, about {_clock(left)} left", flush=True)
            if finished.table is not None:
                finished.table.write(outputs.csv(finished.experiment))


def _write(chosen: "list[Experiment]", outputs: "Outputs") -> None:
    from sac_lightning.lab import EXPERIMENTS

    for each in chosen:
        path = outputs.csv(each)
        if not path.exists():
            raise ConfigError("measure", "false", f"there is no {path}: run with measure=true")
        outputs.draw(each)
        print(outputs.figure(each))
    for path in outputs.write_texts(EXPERIMENTS):
        print(path)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    main()
