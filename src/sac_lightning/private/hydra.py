"""Undocumented parts of Hydra and of joblib, with which its launcher starts the jobs of a sweep."""

from typing import Any

from sac_lightning.private import MissingApi, PrivateApi

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
    try:
        return " ".join(str(RETURN_VALUE.read(job)).split())
    except MissingApi as error:
        error.api.warn()
        return "a job was refused"


def start_joblib_tracker() -> None:
    """Starts the process in which joblib tracks shared memory; it unblocks SIGINT in the calling thread."""
    ensure_running = ENSURE_RUNNING.find()
    if ensure_running is not None:
        ensure_running()
