"""A composed config: its whole numbers and paths, the keys that no constructor checks, its plain data."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_method
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text
from rich.tree import Tree

from sac_lightning.cli.command_line import typed_path
from sac_lightning.cli.rundir import versions
from sac_lightning.cli.sweep.multirun import Shares
from sac_lightning.cli.targets import HEAD_METHOD, KINDS, PREFIXES, REFERRING_GROUPS, check_target
from sac_lightning.core.errors import ConfigError, as_whole, names_path, require
from sac_lightning.core.fields import BOOL, FOLDER, Allowed, Number, OneOf, Rule, Whole
from sac_lightning.replay.prior_files import MINARI
from sac_lightning.training.trainer_options import PRECISIONS

GROUPS = (
    *("env", "head", "alpha", "target_entropy", "actor", "critic", "encoder", "torso"),
    *("value_head", "pessimism", "target_network", "optimizer", "module", "data"),
    *("replay", "collector", "trainer", "logger", "callbacks", "paths"),
)
# Groups that are no objects: plain keys, or entries that are objects each.
PLAIN_GROUPS = ("collector", "logger", "callbacks", "paths")
# Their objects need the action space: `_partial_: true`.
PARTIAL_GROUPS = ("head", "module")
# Keys whose number the config passes on to others, in their place or by ${...}.
COUNTS = (
    *("seed", "total_env_steps", "steps_per_epoch", "eval_episodes", "eval_envs", "eval_seed"),
    *("eval_max_steps", "learning_starts", "num_envs", "batch_size", "actor_delay"),
    *("reset_every", "random_shift", "log_every_n_env_steps", "threads", "devices"),
)


def _is_profiler(value: Any) -> bool:
    return value is None or names_path(value) or (isinstance(value, DictConfig) and "_target_" in value)


def _texts(value: Any) -> bool:
    return isinstance(value, ListConfig | list) and all(isinstance(item, str) for item in value)


# The keys of conf/train.yaml that no constructor checks.
RULES: dict[str, Allowed] = {
    "allowed_prefixes": Rule(_texts, "a list of packages, e.g. [my_package]"),
    "tags": Rule(_texts, "a list of words, e.g. [baseline,night]"),
    "task_name": Rule(names_path, "text that names a folder"),
    "lr": Number("(0, 1)"),
    "random_shift": Whole("[0, 100]", "pixels"),
    "precision": OneOf(PRECISIONS),
    "resume": Rule(lambda value: value is None or names_path(value), "the folder of a run, or null"),
    "paths.run_dir": FOLDER,
    "print_config": BOOL,
    "sweep.resume": BOOL,
    "trainer.deterministic": Rule(
        lambda value: isinstance(value, bool) or value == "warn", "true, false or warn"
    ),
    "trainer.profiler": Rule(
        _is_profiler, "null, simple, advanced, pytorch, or a profiler of your own with _target_"
    ),
}


def place_prior_data(cfg: DictConfig) -> None:
    """Write the files of `replay.data` as absolute paths, so that a run can be resumed from anywhere."""
    replay = cfg.get("replay")
    if isinstance(replay, DictConfig) and _texts(sources := OmegaConf.select(replay, "data")):
        replay.data = [
            each if each.startswith(MINARI) else str(typed_path(each).absolute()) for each in sources
        ]


def drop_settings_of_replaced_parts(cfg: DictConfig, hydra: HydraConf) -> None:
    """Delete settings of env and experiment that a part, chosen on the command line, does not have.

    With `experiment=xqc alpha=fixed` this is alpha.init. A key that was typed, or that stands in the file of
    the option, is kept: there it is a mistake, which its class names. `hydra` is Hydra's own config.
    """
    typed = {each.key_or_group for each in OverridesParser.create().parse_overrides(hydra.overrides.task)}
    for group in typed & set(hydra.runtime.choices) - {"env"}:
        key = group.replace("/", ".")
        part, own = OmegaConf.select(cfg, key), _keys_of_option(group, hydra)
        if not isinstance(part, DictConfig) or "_target_" not in part or own is None:
            continue
        inside = {each.removeprefix(f"{key}.") for each in typed if each.startswith(f"{key}.")}
        own |= {each.partition(".")[0] for each in inside}
        others = {str(name) for name in part if not str(name).startswith("_")} - own
        if others and (known := _arguments(key, part, cfg)) is not None:
            with open_dict(part):
                for name in others - known:
                    del part[name]


def _keys_of_option(group: str, hydra: HydraConf) -> set[str] | None:
    """The keys in the file of the chosen option; None where it is no file of its own group."""
    for source in hydra.runtime.config_sources:
        file = Path(source.path, group, f"{hydra.runtime.choices[group]}.yaml")
        if source.schema == "file" and file.is_file():
            return set(OmegaConf.load(file))
    return None


def _arguments(key: str, part: DictConfig, cfg: DictConfig) -> set[str] | None:
    """The arguments of the class that `part` names; None for one that must not be named, or takes any."""
    try:
        check_target(key, part._target_, (*PREFIXES, *allowed_packages(cfg)))
        # A head's method passes its options on to the class.
        parameters = inspect.signature(get_method(part._target_.removesuffix(HEAD_METHOD))).parameters
    except (ConfigError, ImportError, TypeError, ValueError):  # the checks that follow say why
        return None
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return None if takes_any else set(parameters)


def make_whole(cfg: DictConfig) -> None:
    """Write whole numbers as such, where somebody wrote 1e5."""
    for key in COUNTS:
        cfg[key] = as_whole(cfg[key])


def allowed_packages(cfg: DictConfig) -> list[str]:
    """The packages that `cfg` allows for its objects and for its env. Raises ConfigError for no list."""
    packages, of_env = RULES["allowed_prefixes"], cfg.env.get("allowed_prefixes", [])
    packages.check("allowed_prefixes", cfg.allowed_prefixes)
    packages.check("env.allowed_prefixes", of_env)
    return list(dict.fromkeys([*cfg.allowed_prefixes, *of_env]))


def check_values(cfg: DictConfig) -> None:
    """Raise ConfigError for a key that no constructor would check; call it before anything is built."""
    for group in GROUPS:
        value = cfg.get(group)
        is_object = isinstance(value, DictConfig) and isinstance(value.get("_target_"), str)
        ok = is_object or (isinstance(value, DictConfig) and group in PLAIN_GROUPS)
        require(ok, group, value, f"must name an option of conf/{group}")
        partial = group in PARTIAL_GROUPS
        allowed = f"must be {'true' if partial else 'false, or left out'}"
        given = value.get("_partial_", partial)
        require(given is partial, f"{group}._partial_", given, allowed)
    require(isinstance(cfg.get("sweep"), DictConfig), "sweep", cfg.get("sweep"), "must have the keys of conf")
    for key, rule in RULES.items():
        rule.check(key, OmegaConf.select(cfg, key))
    Shares.of(cfg.sweep, jobs=1)
    for group in ("logger", "callbacks"):
        for key, entry in cfg[group].items():
            ok = entry is None or (isinstance(entry, DictConfig) and "_target_" in entry)
            require(ok, f"{group}.{key}", entry, "must be null, or have a _target_ and its arguments")
    for group in REFERRING_GROUPS:
        for key, value in own_values(cfg, group).items():
            own = key.startswith("_") or key not in inspect.signature(KINDS[group]).parameters
            require(own, f"{group}.{key}", value, "follows from another key of the config: set that one")


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return `cfg` as plain data, without the repetitions in the groups `module` and `data`."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return {**plain, **{group: own_values(cfg, group) for group in REFERRING_GROUPS}}


def own_values(cfg: DictConfig, group: str) -> dict[str, Any]:
    """Return what `group` says itself: all but the usual arguments that are written `${...}`."""
    usual = inspect.signature(KINDS[group]).parameters
    raw: Any = OmegaConf.to_container(cfg[group], resolve=False)
    own = {key: cfg[group][key] for key, value in raw.items() if key not in usual or "${" not in str(value)}
    plain: Any = OmegaConf.to_container(OmegaConf.create(own), resolve=True)
    return cast(dict[str, Any], plain)


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved config with `versions` and, in a git repository, `git_commit`."""
    commit = git_commit(Path.cwd()) or git_commit(Path(__file__).parent)
    found = {} if commit is None else {"git_commit": commit}
    return {**resolved(cfg), "versions": versions(), **found}


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in the repository around `folder`; None where there is none."""
    try:
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def print_config(cfg: DictConfig) -> None:
    """Print the resolved config as a tree on stdout, one branch for each group."""
    tree = Tree("config")
    for key, value in resolved(cfg).items():
        if isinstance(value, dict) and value:
            tree.add(key).add(Syntax(OmegaConf.to_yaml(OmegaConf.create(value)).rstrip(), "yaml"))
        else:
            tree.add(Text(f"{key}: {value}"))
    Console(file=sys.stdout).print(tree)
