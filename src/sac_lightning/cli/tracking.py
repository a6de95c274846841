"""What loggers show of a run besides its metrics: the resolved config, the versions, the commit."""

import subprocess
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sac_lightning.cli.rundir import versions


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config with `versions` and, in a git repository, `git_commit`."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    commit = git_commit(Path.cwd()) or git_commit(Path(__file__).parent)
    found = {} if commit is None else {"git_commit": commit}
    return {**{str(key): value for key, value in plain.items()}, "versions": versions(), **found}


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out in the repository around `folder`; None where there is none."""
    try:
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
