"""`python train.py`, `sac-train`: compose a config with Hydra, check it, train."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.errors import ConfigError, require

if TYPE_CHECKING:
    from omegaconf import DictConfig

MISTAKE, FAILED, INTERRUPTED = 2, 1, 130


def config_dir() -> str:
    """Where the configs are: beside the code in an installed package, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parents[1] / "conf")


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the config, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; mistakes are told in one line on stderr."""

    def job(cfg: "DictConfig") -> tuple[int, float]:
        from sac_lightning.cli.job import run_job

        return run_job(cfg)

    return hydra_command("train", job)


def hydra_command(config: str, job: "Callable[[DictConfig], tuple[int, float]]") -> int:
    """Compose conf/`config`.yaml with the command line, run `job` (exit status, objective); the worst status."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    codes: list[int] = []

    @hydra.main(version_base="1.3", config_path=config_dir(), config_name=config)
    def main_job(cfg: DictConfig) -> float | None:
        code, objective = job(cfg)
        codes.append(code)
        return objective

    OmegaConf.register_new_resolver("folder", folder_name, replace=True)

    # Hydra would print its own report and exit with 1; we want the exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        main_job()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        return tell_mistake(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return max(codes, default=0)


def folder_name(task_name: Any) -> str:
    """`task_name` as a folder under runs/ and multirun/. Raises ConfigError for one that leads elsewhere."""
    parts = task_name.split("/") if isinstance(task_name, str) else []
    ok = bool(parts) and all(part.strip() and part.strip(".") and part.isprintable() for part in parts)
    require(ok, "task_name", task_name, "must be text that names a folder, with no '..' and no leading '/'")
    return str(task_name)


def tell_mistake(error: BaseException) -> int:
    """One line that says what was wrong; the exit status of a mistake."""
    cause = error.__cause__
    if isinstance(cause, ConfigError):
        error = cause
    text = f"{error} {cause}" if cause is not None and not isinstance(error, ConfigError) else str(error)
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    main()
