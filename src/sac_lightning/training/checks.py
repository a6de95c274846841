"""Checks of arguments and of the Trainer before anything runs."""

from typing import Any

from sac_lightning.collect.evaluation import check_max_steps
from sac_lightning.core.errors import as_whole, require, whole

PRECISIONS = ("32-true", "bf16-mixed")


def check_count(key: str, value: float) -> int:
    """Returns `value` as an int. Raises ConfigError unless it is a count."""
    count: int = as_whole(value)
    require(whole(count) >= 1, key, count, "must be a whole number of at least 1")
    return count


def check_trainer(precision: Any, world_size: int) -> None:
    """Raise ConfigError for a Trainer's precision or device count that this module does not support."""
    require(precision in PRECISIONS, "precision", precision, f"must be one of {', '.join(PRECISIONS)}")
    require(world_size == 1, "devices", world_size, "must be one device; several are not supported")


def check_overlap(overlap: Any, collect_steps: int) -> None:
    """Raise ConfigError unless the collector's envs may step while updates run."""
    require(isinstance(overlap, bool), "overlap", overlap, "must be true or false")
    require(
        not overlap or collect_steps == 1,
        "collect_steps",
        collect_steps,
        "must be 1 with overlap: one step of the envs is under way while the updates of an iteration run",
    )


def check_counts(data: Any) -> None:
    """Raise ConfigError unless the counts of a data module are whole numbers that are large enough."""
    counts = ("total_env_steps", "steps_per_epoch", "num_envs", "collect_steps", "batch_size", "eval_envs")
    for least, keys in ((1, counts), (0, ("eval_episodes", "eval_seed", "learning_starts", "seed"))):
        for key in keys:
            value = getattr(data, key)
            require(whole(value) >= least, key, value, f"must be a whole number of at least {least}")
    check_max_steps("eval_max_steps", data.eval_max_steps)
