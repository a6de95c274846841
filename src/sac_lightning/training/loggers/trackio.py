"""Logging to Trackio, whose dashboard runs on this machine."""

from argparse import Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any

from typing_extensions import override

from sac_lightning.core.errors import install, require
from sac_lightning.core.fields import TEXT, check_arguments
from sac_lightning.training.lightning_package import Logger, rank_zero_experiment, rank_zero_only


class TrackioLogger(Logger):
    """Logs to Trackio; `trackio show` opens its dashboard.

    Rows lie in Trackio's folder on this machine (TRACKIO_DIR), or where its other variables say, such as
    TRACKIO_SPACE_ID.

    Args:
        project: of the run.
        name: of the run. One of this name goes on, if there is one; None for a new run with a name of
            Trackio's.
        group: of the run; None for none.
    """

    @check_arguments()
    def __init__(
        self,
        project: Annotated[str, TEXT] = "sac_lightning",
        name: Annotated[str | None, TEXT] = None,
        group: Annotated[str | None, TEXT] = None,
    ) -> None:
        super().__init__()
        allowed = f"needs Trackio, which is not installed: {install('trackio')}"
        require(find_spec("trackio") is not None, "_target_", type(self).__name__, allowed)
        self._project, self._run_name, self._group = project, name, group
        self._run: Any = None

    @property
    @override
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    @override
    def version(self) -> str | None:
        """The run's name; None until a name of Trackio's is known."""
        return self._run_name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run, which the first use begins."""
        if self._run is None:
            import trackio

            self._run = trackio.init(
                self._project, self._run_name, self._group, resume="allow", auto_log_cpu=False, embed=False
            )
            self._run_name = self._run.name
        return self._run

    @override
    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Add to the run's config, which Trackio writes with the first row."""
        self.experiment.config.update(vars(params) if isinstance(params, Namespace) else params)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row."""
        self.experiment.log(dict(metrics), step=step)

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run, once its rows are written; a later row goes on with it."""
        if self._run is not None:
            import trackio

            finish: Any = trackio.finish  # it has no annotations
            finish()
            self._run = None
