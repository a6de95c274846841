"""`python train.py`, `sac-train`: compose a config with Hydra, check it, train."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.cli.command_line import (
    DONE,
    INTERRUPTED,
    MISTAKE,
    SweepEnded,
    end_with_first_rank,
    let_hydra_raise,
    load_frameworks,
    quote_paths,
    quoted,
    translated_overrides,
    unquoted,
)
from sac_lightning.cli.mistakes import no_option, print_failure, print_mistake
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import DamagedFile

if TYPE_CHECKING:
    from omegaconf import DictConfig

OUR_SWEEPERS = "hydra_plugins.sac_lightning_sweepers."


def config_dir() -> str:
    """Where the configs are: beside the code in an installed package, at the top of a checkout otherwise."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parents[1] / "conf")


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the config, 130 interrupted."""
    sys.exit(command())


def command() -> int:
    """The command's exit status; a mistake is one line on stderr."""

    def job(cfg: "DictConfig") -> tuple[int, float]:
        load_frameworks()
        from sac_lightning.cli.job import run_job

        return run_job(cfg)

    end_with_first_rank()
    sys.argv[1:] = translated_overrides(sys.argv[1:])
    try:
        _in_the_run_that_is_resumed()
    except ConfigError as error:
        return print_mistake(error)
    return hydra_command("train", job)


def hydra_command(
    config: str,
    job: "Callable[[DictConfig], tuple[int, float]]",
    paths: Sequence[str] = (),
    path_lists: Sequence[str] = (),
    no_multirun: str | None = None,
) -> int:
    """Call `job` with the composed config, and return the worst exit status.

    Args:
        config: the name of a file in conf.
        job: returns exit status and objective of one composed config.
        paths: keys whose values are paths as people type them.
        path_lists: keys that take several paths, with commas between.
        no_multirun: why -m is a mistake for this command; None where it is none.
    """
    if no_multirun is not None and {"-m", "--multirun"} & set(sys.argv[1:]):
        print(f"error: -m: {no_multirun}", file=sys.stderr)
        return MISTAKE
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    conf = Path(config_dir())
    sys.argv[1:] = quote_paths(sys.argv[1:], ("hydra.run.dir", "hydra.sweep.dir", *paths))
    sys.argv[1:] = quote_paths(sys.argv[1:], path_lists, lists=True)
    composed: list[DictConfig] = []
    codes: list[int] = []

    @hydra.main(version_base="1.3", config_path=str(conf), config_name=config)
    def main_job(cfg: DictConfig) -> float | None:
        composed.append(cfg)
        try:
            code, objective = job(cfg)
        except (ConfigError, DamagedFile, OmegaConfBaseException) as error:
            code, objective = print_mistake(error), None
        except RuntimeError as error:
            from sac_lightning.envs import EnvError  # imports Gymnasium, which --help spares

            if not isinstance(error, EnvError):
                raise
            code, objective = print_failure(error), None
        hydra_cfg = HydraConfig.get()
        if hydra_cfg.mode != RunMode.MULTIRUN:
            codes.append(code)
        # Our sweepers read the summaries of their jobs; others know an exception alone.
        elif code != DONE and not str(hydra_cfg.sweeper._target_).startswith(OUR_SWEEPERS):
            raise SweepEnded(code)
        return objective

    OmegaConf.register_new_resolver("folder", folder_name, replace=True)
    let_hydra_raise()
    try:
        main_job()
    except SweepEnded as ended:
        return ended.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except (HydraException, OmegaConfBaseException, ConfigError, DamagedFile) as error:
        return print_mistake(error, conf / f"{config}.yaml")
    except (OSError, ValueError) as error:
        mistake = _mistake_behind(error, conf)
        if composed or mistake is None:
            raise
        return print_mistake(mistake)
    return max(codes, default=DONE)


def _mistake_behind(error: OSError | ValueError, conf: Path) -> ConfigError | None:
    """What was typed wrong where Hydra failed before the config was composed; None: nothing that we know."""
    if isinstance(error, OSError):  # Hydra makes the run's folder
        return ConfigError("hydra.run.dir", error.filename, f"cannot be written ({error.strerror})")
    return no_option(sys.argv[1:], conf)  # Hydra's own for a group that is given no option


def folder_name(task_name: Any) -> str:
    """`task_name` as a folder under runs/ and multirun/. Raises ConfigError for one that leads elsewhere."""
    parts = task_name.split("/") if isinstance(task_name, str) else []
    ok = bool(parts) and all(part.strip() and part.strip(".") and part.isprintable() for part in parts)
    require(ok, "task_name", task_name, "must be text that names a folder, with no '..' and no leading '/'")
    return str(task_name)


def _in_the_run_that_is_resumed() -> None:
    """With `resume=RUN_DIR`, Hydra's output folder is that folder: none is made for a run that continues."""
    given = [argument.removeprefix("resume=") for argument in sys.argv[1:] if argument.startswith("resume=")]
    if not given or given[-1] in ("null", ""):
        return
    from sac_lightning.cli.resume import run_directory

    value = unquoted(given[-1])
    directory, _ = run_directory(value)
    path = Path(value).expanduser().absolute()  # Hydra may change the working directory
    sys.argv[1:] = [each for each in sys.argv[1:] if not each.startswith("resume=")]
    sys.argv += [f"resume={quoted(str(path))}", f"hydra.run.dir={quoted(str(directory.path))}"]


if __name__ == "__main__":
    main()
