"""Every leaf of the composed config with every odd value: what a run that begins makes of it.

Prints for each walk a JSON list of [key, value, answer]; the answer is null where the value is accepted, the
message of an error that commands report in one line, and "CRASH …" for anything else.
"""

import gc
import json
import logging
import math
import pickle
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import omegaconf.base
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.run import trainer_of
from sac_lightning.cli.train import config_dir
from sac_lightning.core.errors import ConfigError

ODD: tuple[Any, ...] = (
    *(-1, 0, 1.5, 1e30, math.nan, math.inf),
    *("", "abc", None, True, [], {"a": 1}),
)


# Where the Trainer, loggers and callbacks have the last word; they take longer to make than all the rest.
WATCHED = ("trainer", "logger", "callbacks", "paths", "task_name", "tags")


def keys(node: Any, path: str = "") -> Iterator[str]:
    """The dotted keys of everything in a config: leaves, and the mappings that hold them."""
    for key in node:
        here = f"{path}.{key}" if path else str(key)
        yield here
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from keys(value, here)


def answer(config: DictConfig, key: str) -> str | None:
    """What the start of a run says of `config`, whose `key` is odd."""
    try:
        made = plan(config)
        if key.split(".", maxsplit=1)[0] in WATCHED:
            trainer_of(made, 1)
    except (ConfigError, OmegaConfBaseException) as error:
        return str(error)
    except Exception as error:
        return f"CRASH {type(error).__name__}: {error}"
    return None


def walk(composed: DictConfig, prefixes: str) -> list[list[str | None]]:
    """Of the keys under `prefixes`, a list with commas; "" is all."""
    saved = pickle.dumps(composed)  # read again for each value: a sixth of the time of a deepcopy
    refused = answer(pickle.loads(saved), "trainer")
    assert refused is None, refused
    found = []
    for key in keys(composed):
        for value in ODD if key.startswith(tuple(prefixes.split(","))) else ():
            config = pickle.loads(saved)
            OmegaConf.update(config, key, value, merge=False)
            found.append([key, repr(value), answer(config, key)])
    return found


def main(run_dir: str, *walks: str) -> None:
    """Each walk: its prefixes and its overrides, with spaces between."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    gc.set_threshold(100_000, 20, 100)  # collecting garbage took a fifth of the time
    # The same few interpolations are parsed some 300,000 times; a parse tree is only read.
    omegaconf.base.parse = cache(omegaconf.base.parse)
    found = {}
    with initialize_config_dir(config_dir(), version_base="1.3"):
        for each in walks:
            prefixes, *overrides = each.split(" ")
            composed = compose("train", overrides=[f"paths.run_dir={run_dir}", *overrides])
            found[each] = walk(composed, prefixes)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
