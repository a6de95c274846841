"""`hydra/sweeper=optuna`: a search with Optuna over the arguments that are given as ranges."""

from importlib.util import find_spec
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from sac_lightning.errors import ConfigError


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials and runs them with the launcher, some at a time."""

    def __init__(self, **options: Any) -> None:
        self.options = {key: _plain(value) for key, value in options.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the search needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials. Raises SweepEnded if none of them came to an end."""
        if find_spec("optuna") is None:
            raise ConfigError(
                "hparams_search", "optuna", 'is not installed: pip install "sac-lightning[optuna]"'
            )
        # Hydra imports this module for every command, and for other programs too.
        from sac_lightning.cli.search import Search, run_search
        from sac_lightning.cli.sweep import Multirun

        search = Search(**self.options)
        return run_search(Multirun(self.hydra_context, self.task_function, self.config), arguments, search)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
