"""The keys of conf/train.yaml that no constructor takes, and the groups that a run needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from sac_lightning.core.errors import as_whole, names_path, number, require, whole


class Rule(NamedTuple):
    """What a value must be, as a test and as a sentence."""

    holds: Callable[[Any], bool]
    told: str


def _texts(value: Any) -> bool:
    return isinstance(value, ListConfig | list) and all(isinstance(item, str) for item in value)


RULES = {
    "allowed_prefixes": Rule(_texts, "must be a list of packages, e.g. [my_package]"),
    "tags": Rule(_texts, "must be a list of words, e.g. [baseline,night]"),
    "task_name": Rule(names_path, "must be text that names a folder"),
    "lr": Rule(lambda value: 0.0 < number(value) < 1.0, "must be a number in (0, 1)"),
    "resume": Rule(lambda value: value is None or names_path(value), "must be the folder of a run, or null"),
    "paths.run_dir": Rule(names_path, "must be the name of a folder"),
    "sweep.resume": Rule(lambda value: isinstance(value, bool), "must be true or false"),
    "sweep.at_once": Rule(
        lambda value: value in ("auto", "all") or whole(as_whole(value)) >= 1,
        "must be auto (one job for each CPU), all, or a whole number of at least 1",
    ),
    "sweep.threads": Rule(
        lambda value: value == "auto" or whole(as_whole(value)) >= 1,
        "must be auto (the CPUs divided by the jobs at once) or a whole number of at least 1",
    ),
    "trainer.deterministic": Rule(
        lambda value: isinstance(value, bool) or value == "warn", "must be true, false or warn"
    ),
    "trainer.profiler": Rule(
        lambda value: (
            value is None or names_path(value) or (isinstance(value, DictConfig) and "_target_" in value)
        ),
        "must be null, simple, advanced, pytorch, or a profiler of your own with _target_",
    ),
}
GROUPS = (
    *("env", "head", "alpha", "target_entropy", "actor", "critic", "encoder", "torso"),
    *("value_head", "pessimism", "target_network", "optimizer"),
    *("replay", "collector", "trainer", "logger", "callbacks", "paths"),
)


# Keys whose number the config passes on to others, in their place or by ${...}.
COUNTS = (
    *("seed", "total_env_steps", "steps_per_epoch", "eval_episodes", "eval_envs", "eval_seed"),
    *("eval_max_steps", "learning_starts", "num_envs", "batch_size", "log_every_n_env_steps", "threads"),
)


def make_whole(cfg: DictConfig) -> None:
    """Write whole numbers as such, where somebody wrote 1e5."""
    for key in COUNTS:
        cfg[key] = as_whole(cfg[key])


def allowed_packages(cfg: DictConfig) -> list[str]:
    """The packages that `cfg` allows for its objects and for its env. Raises ConfigError for no list."""
    rule, of_env = RULES["allowed_prefixes"], cfg.env.get("allowed_prefixes", [])
    require(rule.holds(cfg.allowed_prefixes), "allowed_prefixes", cfg.allowed_prefixes, rule.told)
    require(rule.holds(of_env), "env.allowed_prefixes", of_env, rule.told)
    return [*cfg.allowed_prefixes, *of_env]


def check_values(cfg: DictConfig) -> None:
    """Raise ConfigError for a key that no constructor would check; call it before anything is built."""
    for group in GROUPS:
        value = cfg.get(group)
        built = group not in ("collector", "logger", "callbacks", "paths")
        ok = isinstance(value, DictConfig) and (not built or isinstance(value.get("_target_"), str))
        require(ok, group, value, f"must name an option of conf/{group}")
    require(isinstance(cfg.get("sweep"), DictConfig), "sweep", cfg.get("sweep"), "must have the keys of conf")
    for key, rule in RULES.items():
        value = OmegaConf.select(cfg, key)
        require(rule.holds(value), key, value, rule.told)
    for group in ("logger", "callbacks"):
        for key, entry in cfg[group].items():
            ok = entry is None or (isinstance(entry, DictConfig) and "_target_" in entry)
            require(ok, f"{group}.{key}", entry, "must be null, or have a _target_ and its arguments")
    _check_partial(cfg)


def _check_partial(cfg: DictConfig) -> None:
    """`_partial_: true` is for a head, which is built once the action space is known."""
    for group in GROUPS:
        value = cfg[group].get("_partial_", group == "head")
        told = f"must be {'true' if group == 'head' else 'false, or left out'}"
        require(value is (group == "head"), f"{group}._partial_", value, told)
