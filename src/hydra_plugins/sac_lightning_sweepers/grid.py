"""`hydra/sweeper=grid`: every combination, every job to its end, and a table of all."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs all combinations of the values on the command line."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the sweep needs."""
        self._given = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs. Raises SweepEnded if one did not end well."""
        # Hydra imports this module for every command, and for other programs too.
        from sac_lightning.cli.grid import run_grid
        from sac_lightning.cli.sweep import Multirun

        return run_grid(Multirun(*self._given), arguments)
