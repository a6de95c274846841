"""Mistakes in what people type, each reported in one line: ours, Hydra's and OmegaConf's."""

import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sac_lightning.cli.command_line import FAILED, MISTAKE, full_error
from sac_lightning.core.errors import ConfigError, did_you_mean, install, one_line
from sac_lightning.core.files import DamagedFile

# Launchers that come with an extra: the name of Hydra's option, and the extra.
EXTRAS = {"ray": "ray", "submitit_slurm": "slurm", "submitit_local": "slurm"}
# Of the traceback of a run that failed: its end, with the place and the message.
LAST_LINES = 8
# Arguments of Lightning's Trainer that other keys decide.
OWN_TRAINER_KEYS = {
    "gradient_clip_val": "clip with optimizer.max_grad_norm, of each network and of log_alpha",
    "accumulate_grad_batches": "use a larger batch_size=",
    "devices": "use devices=",
    "accelerator": "use device=",
    "strategy": "is ddp where devices is more than 1",
    "num_nodes": "this command runs on one machine; docs/lightning.md shows a program for several",
    "precision": "use precision=",
    "max_epochs": "follows from total_env_steps and steps_per_epoch",
    "max_steps": "follows from total_env_steps and utd_ratio",
}


def print_mistake(error: BaseException, config: Path | None = None) -> int:
    """Print the error in one line on stderr, and return MISTAKE.

    Args:
        error: ours, Hydra's or OmegaConf's.
        config: the command's file, beside the folders of its groups; None for no hints.
    """
    cause = error.__cause__
    ours = isinstance(error, ConfigError | DamagedFile)
    text = one_line(error if cause is None or ours else f"{error} {cause}")
    if not ours:
        text = _plain(_missing_extra(text) or text)
        if config is not None:
            conf = config.parent
            advice = _of_one_network(text, conf) or _of_groups(text, conf) or _of_trainer(text)
            text = advice or text + _near_key(text, config)
        chosen = re.match(r"Could not find '(\w+)/(.+?)'", text)
        text += _meant(chosen[1], chosen[2]) if chosen is not None else ""
    if full_error():
        traceback.print_exception(error)
    # A name that comes from a file must not command the terminal.
    text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    print(f"error: {text}", file=sys.stderr)
    return MISTAKE


def print_failure(error: BaseException) -> int:
    """Print the end of the traceback of an env's own code, then the error in one line; return FAILED."""
    lines = last_lines(error.__cause__ or error)
    print(*lines, f"error: {one_line(error)}", sep="\n", file=sys.stderr)
    return FAILED


def last_lines(error: BaseException) -> list[str]:
    """Return the last lines of the traceback of `error`, or all of it with HYDRA_FULL_ERROR=1."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return lines if full_error() else lines[-LAST_LINES:]


def no_option(arguments: Sequence[str], conf: Path) -> ConfigError | None:
    """The first argument that gives a group something that cannot be an option, such as null or a number."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if not key.replace("/", "").isidentifier():
            continue
        options = sorted(file.stem for file in (conf / key).glob("*.yaml"))
        if options and value not in options:
            return ConfigError(key, value, f"must be one of {', '.join(options)}{_meant(key, value)}")
        inner = _groups_in(key, conf)
        if inner:
            return ConfigError(key, value, inner)
    return None


def _meant(group: str, value: str) -> str:
    """What to type instead of a value that is no option of `group`, where that can be guessed."""
    nats, init = _number(value), _number(value.removeprefix("auto_"))
    if group == "alpha" and nats is not None:
        return (
            f"; for this one: alpha=fixed alpha.value={nats}; learned from it: alpha=auto alpha.init={nats}"
        )
    if group == "alpha" and init is not None:
        return f"; learned from it: alpha=auto alpha.init={init}"
    if group == "target_entropy" and nats is not None:
        return f"; for these nats: target_entropy=constant target_entropy.nats={nats}"
    if group == "env" and re.search(r"-v\d+$", value):
        return f"; for a Gymnasium id: env=gym env.id={value}"
    return ""


def _number(value: str) -> str | None:
    """`value` if it is a number."""
    try:
        float(value)
    except ValueError:
        return None
    return value


def _plain(text: str) -> str:
    """Hydra's and OmegaConf's sentences without the names of their parts."""
    text = re.sub(r"^\w+ (raised )?while resolving interpolation: ", "", text)
    text = re.sub(r" full_key: .*$", "", text)
    text = re.sub(r"^In '\w+': ", "", text)
    text = re.sub(r" Key '[^']*' is not in struct", ".", text)
    text = re.sub(r" Config search path: .*$", "", text)
    return re.sub(r"^Missing mandatory value: (\S+)", r"\1=???: must be given", text)


def _missing_extra(text: str) -> str:
    wanted = re.search(r"Could not find 'hydra/launcher/(\w+)'", text)
    extra = EXTRAS.get(wanted[1]) if wanted is not None else None
    if wanted is None or extra is None:
        return ""
    return f"launcher={wanted[1]}: is not installed; {install(extra)}"


def _of_one_network(text: str, conf: Path) -> str:
    """What to do instead of `critic.optimizer.eps=`: Hydra finds no keys behind `optimizer: ${optimizer}`."""
    key = re.match(r"Could not override '(actor|critic|alpha)\.(\w+)\.([\w.]+)'", text)
    if key is None:
        return ""
    owner, part, inner = key.groups()
    if not any(f"\n{part}: ${{{part}}}\n" in file.read_text() for file in (conf / owner).glob("*.yaml")):
        return ""
    return (
        f"{owner}.{part}.{inner}: stands in the group {part}: set {part}.{inner}, or for {owner} alone write "
        "it in an experiment file, as conf/experiment/crossq.yaml does"
    )


def _of_groups(text: str, conf: Path) -> str:
    key = re.match(r"Could not override '(\w+)'", text)
    inner = _groups_in(key[1], conf) if key is not None else ""
    return f"{key[1]}: {inner}" if key is not None and inner else ""


def _of_trainer(text: str) -> str:
    """Which other key decides an argument of the Trainer: conf/trainer does not have that argument."""
    key = re.match(r"Could not override 'trainer\.(\w+)'", text)
    advice = OWN_TRAINER_KEYS.get(key[1]) if key is not None else None
    return f"trainer.{key[1]}: {advice}" if key is not None and advice else ""


def _groups_in(key: str, conf: Path) -> str:
    """What to type where `key` contains groups and has no option of its own."""
    names = sorted(path.name for path in (conf / key).glob("*") if path.is_dir())
    return f"is chosen by {', '.join(f'{key}/{name}=' for name in names)}" if names else ""


def _near_key(text: str, config: Path) -> str:
    unknown = re.match(r"Could not override '(\w+)(?:\.(\w[\w.]*))?'", text)
    if unknown is None:
        return ""
    group, inner = unknown.groups()
    keys = yaml.safe_load(config.read_text())
    groups = {
        name.partition("@")[0] for each in keys.pop("defaults") if isinstance(each, dict) for name in each
    }
    if inner is not None and group in groups:  # eval.py has no env of its own
        return _near_key_of(group, inner, config.parent)
    return did_you_mean(group, {name for name in (*keys, *groups) if name.isidentifier()})


def _near_key_of(group: str, path: str, conf: Path) -> str:
    """Which options of `group` have the dotted key `path`, or which of their keys are like it."""
    *parents, key = path.split(".")
    keys: dict[str, set[str]] = {"": set(OWN_TRAINER_KEYS)} if group == "trainer" else {}
    for file in sorted((conf / group).glob("*.yaml")):
        inner: Any = yaml.safe_load(file.read_text()) or {}
        inner = inner.get(group, inner)  # a file of env has its keys under `env:`
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        names = inner if isinstance(inner, dict) else {}
        keys[file.stem] = {name for name in names if name.isidentifier() and name != "defaults"}
    owners = [f"{group}={option}" for option, names in keys.items() if key in names]
    if owners:
        return f" It is a key of {', '.join(owners)}."
    return did_you_mean(key, set().union(*keys.values()))
