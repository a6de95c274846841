"""The names of config options, so that a report says `alpha=auto` as one types it."""

from pathlib import Path

import yaml

from sac_lightning.report.differences import Options


def option_names(conf: Path) -> Options:
    """Returns the option of every group and class in conf/**/GROUP/OPTION.yaml.

    A class of two options has no name.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(conf.rglob("*/*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        target = content.get("_target_") if isinstance(content, dict) else None
        if isinstance(target, str):
            found.setdefault((path.parent.name, target), []).append(path.stem)
    return {key: names[0] for key, names in found.items() if len(names) == 1}
