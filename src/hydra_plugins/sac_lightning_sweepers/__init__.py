"""Sweepers, which Hydra finds only below `hydra_plugins`; what they do is in `sac_lightning.cli.sweep`."""

from importlib.util import find_spec
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

# Hydra imports this module for every command, and for other programs too: the rest is imported when needed.


class GridSweeper(Sweeper):
    """Runs every combination of the values on the command line: `hydra/sweeper=grid`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the sweep needs."""
        self._given = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs. Raises SweepEnded if one did not end well."""
        from sac_lightning.cli.sweep.multirun import Multirun, run_grid

        return run_grid(Multirun(*self._given), arguments)


class OptunaSweeper(GridSweeper):
    """Runs trials that Optuna proposes: `hydra/sweeper=optuna`."""

    def __init__(self, **options: Any) -> None:
        self.options: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials. Raises SweepEnded if none of them is done."""
        from sac_lightning.cli.sweep.multirun import Multirun
        from sac_lightning.core.errors import ConfigError, install

        if find_spec("optuna") is None:
            allowed = f"needs Optuna, which is not installed: {install('optuna')}"
            raise ConfigError("hparams_search", "optuna", allowed)
        from sac_lightning.cli.sweep.search import Search, run_search

        return run_search(Multirun(*self._given), arguments, Search(**self.options))
