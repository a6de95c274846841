"""The keys of conf/train.yaml that no constructor takes, and the groups that a run needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig

from sac_lightning.errors import as_whole, number, require


class Rule(NamedTuple):
    """What a value must be, as a test and as a sentence."""

    holds: Callable[[Any], bool]
    told: str


def _texts(value: Any) -> bool:
    return isinstance(value, ListConfig | list) and all(isinstance(item, str) for item in value)


RULES = {
    "allowed_prefixes": Rule(_texts, "must be a list of packages, e.g. [my_package]"),
    "tags": Rule(_texts, "must be a list of words, e.g. [baseline,night]"),
    "lr": Rule(lambda value: 0.0 < number(value) < 1.0, "must be a number in (0, 1)"),
    "resume": Rule(lambda value: value is None or isinstance(value, str), "must be the folder of a run"),
}
GROUPS = (
    *("env", "head", "alpha", "target_entropy", "actor", "critic"),
    *("replay", "collector", "trainer", "logger", "callbacks", "paths"),
)


# Keys whose number the config passes on to others, in their place or by ${...}.
COUNTS = (
    *(
        "seed",
        "total_env_steps",
        "steps_per_epoch",
        "eval_episodes",
        "eval_envs",
        "learning_starts",
        "num_envs",
    ),
    *("batch_size", "log_every_n_env_steps", "threads"),
)


def make_whole(cfg: DictConfig) -> None:
    """Write whole numbers as such, where somebody wrote 1e5."""
    for key in COUNTS:
        cfg[key] = as_whole(cfg[key])


def check_values(cfg: DictConfig) -> None:
    """Raise ConfigError for a key that no constructor would check; call it before anything is built."""
    for key, rule in RULES.items():
        require(rule.holds(cfg[key]), key, cfg[key], rule.told)
    for group in GROUPS:
        value = cfg.get(group)
        require(isinstance(value, DictConfig), group, value, f"must name an option of conf/{group}")
