"""`hydra/sweeper=optuna`: a search with Optuna over the arguments that are given as ranges."""

from importlib.util import find_spec
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials and runs them with the launcher, some at a time."""

    def __init__(self, **options: Any) -> None:
        self.options = {key: _plain(value) for key, value in options.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the search needs."""
        self._given = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials. Raises SweepEnded if none of them came to an end."""
        # Hydra imports this module for every command, and for other programs too.
        from sac_lightning.cli.sweep import Multirun
        from sac_lightning.core.errors import ConfigError

        if find_spec("optuna") is None:
            told = 'needs Optuna, which is not installed: pip install "sac-lightning[optuna]"'
            raise ConfigError("hparams_search", "optuna", told)
        from sac_lightning.cli.search import Search, run_search

        return run_search(Multirun(*self._given), arguments, Search(**self.options))


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
