"""Undocumented parts of Hydra and of joblib, with which its launcher starts the jobs of a sweep."""

from typing import Any

from sac_lightning.core.errors import one_line
from sac_lightning.private import PrivateApi, warn_if_missing

RETURN_VALUE = PrivateApi(
    "hydra.core.utils.JobReturn._return_value",
    "prints why a job of a sweep was refused; the documented property prints a line of its own",
    "the printed line gives no reason",
    package="hydra-core",
)
ENSURE_RUNNING = PrivateApi(
    "joblib.externals.loky.backend.resource_tracker.ensure_running",
    "starts joblib's tracker before Ctrl-C is blocked for the workers of a sweep",
    "Ctrl-C may end the jobs of a sweep before they save a checkpoint",
)
PRIVATE_APIS = (RETURN_VALUE, ENSURE_RUNNING)


def refusal(job: Any) -> str:
    """Returns in one line why a job, Hydra's `JobReturn`, was refused."""
    reason = "a job was refused"
    with warn_if_missing():
        reason = one_line(RETURN_VALUE.read(job))
    return reason


def start_joblib_tracker() -> None:
    """Starts the process in which joblib tracks shared memory; it unblocks SIGINT in the calling thread."""
    ensure_running = ENSURE_RUNNING.find()
    if ensure_running is not None:
        ensure_running()
