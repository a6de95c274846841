"""The YAML of a run's folder, which may come from anybody: small, and without what makes it grow."""

import os
import stat
from pathlib import Path
from typing import Any

import yaml

from sac_lightning.core.errors import one_line
from sac_lightning.core.files import DamagedFile

MOST_BYTES = 1 << 20  # a config has some 4 kB
MOST_LEVELS = 50
# Ten times faster, where PyYAML was built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml_text(path: Path) -> str:
    """Return the text of a YAML file that is safe to parse. Raises DamagedFile, or OSError.

    A few aliases (`*name`) of aliases stand for billions of values, and a loader that resolves values
    walks through all of them; the configs that we write have none.
    """
    text = _read(path)
    levels = 0
    try:
        for event in yaml.parse(text, LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise DamagedFile(path, f"contains the YAML alias *{event.anchor}: write its value out")
            levels += isinstance(event, yaml.CollectionStartEvent)
            levels -= isinstance(event, yaml.CollectionEndEvent)
            if levels > MOST_LEVELS:
                raise DamagedFile(path, f"is nested deeper than {MOST_LEVELS} levels")
    except yaml.YAMLError as error:
        raise DamagedFile(path, f"is no YAML: {one_line(error)}") from None
    return text


def _read(path: Path) -> str:
    # A pipe would wait for its writer; Windows has no such flag, and needs one for bytes as they are.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DamagedFile(path, "is no file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DamagedFile(path, f"is larger than the {MOST_BYTES:,} bytes that a config may have")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(path, f"is no text: {error.reason}") from None
