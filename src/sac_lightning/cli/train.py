"""`python train.py`, `sac-train`: compose a config with Hydra, check it, train."""

import os
import sys
from pathlib import Path

from sac_lightning.errors import ConfigError

MISTAKE, FAILED = 2, 1


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
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    codes: list[int] = []

    @hydra.main(version_base="1.3", config_path=config_dir(), config_name="train")
    def job(cfg: DictConfig) -> float | None:
        from sac_lightning.cli.job import run_job

        code, objective = run_job(cfg)
        codes.append(code)
        return objective

    # Hydra would print its own report and exit with 1; we want the exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        job()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        return tell_mistake(error)
    return max(codes, default=0)


def tell_mistake(error: BaseException) -> int:
    """One line that says what was wrong; the exit status of a mistake."""
    cause = error.__cause__
    text = f"{error} {cause}" if cause is not None and not isinstance(error, ConfigError) else str(error)
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    main()
