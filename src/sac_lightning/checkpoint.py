"""Reading a checkpoint as data: tensors, numbers, strings, lists and dicts, and nothing else."""

import pickle
from pathlib import Path
from typing import Any

import torch

from sac_lightning.files import DamagedFile

DAMAGED = "the checkpoint is damaged"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of `path`, on the CPU. Raises DamagedFile when it is damaged or holds more than data."""
    if path.stat().st_size == 0:
        raise DamagedFile(path, "the checkpoint is empty")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "it holds a pickled program, not only data, and is not loaded"
        raise DamagedFile(
            path, reason if "Unsupported" in str(error) else "the checkpoint is damaged"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise DamagedFile(
            path, f"the checkpoint is damaged ({' '.join(str(error).split())[:100]})"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content or "loops" not in content:
        raise DamagedFile(path, "is no checkpoint of a training run")
    newest = content.get("sac_lightning", {}).get("format", 1)
    if newest > 1:
        raise DamagedFile(
            path, f"was written in format {newest} by a newer sac_lightning; this one reads format 1"
        )
    return content
