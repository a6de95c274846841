"""A sweep's folder: sweep.json says what belongs into it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sac_lightning.cli.rundir import RunDirectory
from sac_lightning.core.errors import ConfigError, require
from sac_lightning.core.files import write_json

# How jobs are run and watched does not make them another sweep.
ASIDE = ("sweep.", "launcher=", "threads=", "logger", "callbacks", "trainer", "hydra")


@dataclass(frozen=True)
class SweepFolder:
    """The folder whose subfolders are the jobs."""

    path: Path

    @property
    def manifest(self) -> Path:
        """sweep.json: what makes this sweep this one."""
        return self.path / "sweep.json"

    @classmethod
    def newest(cls, parent: Path, identity: dict[str, Any]) -> "SweepFolder | None":
        """The newest folder below `parent` that holds this very sweep."""
        folders = [cls(path.parent) for path in parent.glob("*/sweep.json")]
        same = [folder for folder in folders if folder.read() == identity]
        return max(same, key=lambda folder: folder.manifest.stat().st_mtime_ns, default=None)

    def read(self) -> dict[str, Any] | None:
        """The content of sweep.json; None if there is none that can be read."""
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def begin(self, identity: dict[str, Any], resume: bool) -> None:
        """Make the folder, or check that it holds this sweep. Raises ConfigError if it cannot be used."""
        before = self.read()
        if before is not None and not resume:
            told = "holds a sweep: go on with it by sweep.resume=true, or name another folder"
            raise ConfigError("hydra.sweep.dir", self.path, told)
        free = not RunDirectory(self.path).holds_run()
        require(free, "hydra.sweep.dir", self.path, "holds a run: name another folder for a sweep")
        self._check({} if before is None else before, identity)
        try:
            write_json(self.manifest, identity)
        except OSError as error:
            told = f"cannot be written ({os.strerror(error.errno or 0)}): name another folder"
            raise ConfigError("hydra.sweep.dir", self.path, told) from None

    def _check(self, before: dict[str, Any], identity: dict[str, Any]) -> None:
        for key, was in before.items():
            now = identity.get(key)
            # More seeds at the end of a sweep leave the jobs before them as they are.
            if now != was and not (
                isinstance(was, list) and isinstance(now, list) and now[: len(was)] == was
            ):
                told = f"holds another sweep: its {key} are {was}, these are {now}; name another folder"
                raise ConfigError("hydra.sweep.dir", self.path, told)


def told_apart(overrides: list[str]) -> list[str]:
    """The overrides of a job that decide what it computes."""
    return [each for each in overrides if not each.lstrip("+~").startswith(ASIDE)]
