"""A run in a SLURM job: it is queued again after a checkpoint, and continues when the job starts again."""

import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sac_lightning.core.errors import one_line
from sac_lightning.core.files import read_json, write_json
from sac_lightning.training.callbacks.stop import SIGNALS

log = logging.getLogger(__name__)
FILE = "slurm.json"
# What `--signal=USR1@120` sends before a job's end; submitit's jobs get USR2.
ASK_TO_REQUEUE = ("SIGUSR1", "SIGUSR2")


def job_id() -> str | None:
    """What SLURM calls this job; None outside of a job."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


def stop_signals() -> tuple[int, ...]:
    """The signals after which a run saves a checkpoint and stops."""
    in_job = job_id() is not None or "SUBMITIT_EXECUTOR" in os.environ
    return (*SIGNALS, *(getattr(signal, name) for name in ASK_TO_REQUEUE)) if in_job else SIGNALS


def requeue(number: int) -> None:
    """Queue this job again, once its run has saved a checkpoint after the signal `number`.

    A job of submitit has a handler of its own, which counts its restarts.
    """
    if callable(signal.getsignal(number)):
        signal.raise_signal(number)
        return
    command = ["scontrol", "requeue", str(job_id())]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        reason = one_line(getattr(error, "stderr", None) or error)
        log.warning("%s failed (%s): the job is not queued again", " ".join(command), reason)
    else:
        log.info("the job %s is queued again", command[-1])


def note_job(directory: Path, overrides: Sequence[str]) -> None:
    """Write into a run's folder which job has started it, with which arguments; nothing outside of a job."""
    if (job := job_id()) is not None:
        write_json(directory / FILE, {"job": job, "overrides": list(overrides)})


def earlier_run(directory: Path, overrides: Sequence[str]) -> Path | None:
    """The run that this job started with the same arguments before it was queued again.

    It lies beside `directory`, or is `directory`. None where there is none.
    """
    if not os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"):
        return None
    wanted = {"job": job_id(), "overrides": list(overrides)}
    found = [file for file in directory.parent.glob(f"*/{FILE}") if read_json(file) == wanted]
    return max(found, key=lambda file: file.stat().st_mtime).parent if found else None
