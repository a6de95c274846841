"""Trains while one undocumented part of a library has another name, for each part in the given modules.

python renaming.py FOLDER MODULE...        prints one JSON object: what each run left, by the part's name
"""

import json
import logging
import math
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
import torch

import sac_lightning.private as door
from sac_lightning import ActorConfig, CriticConfig, ReplayDataModule, SACModule
from sac_lightning.envs import EnvConfig
from sac_lightning.training.callbacks import LastCheckpoint

SKIPPING = {"name": "gymnasium.wrappers.MaxAndSkipObservation", "skip": 2}


class Kept(logging.Handler):
    """Keeps what the package warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def renamed(name: str) -> Iterator[None]:
    """Within the block, an attribute of objects has another name in its whole library."""
    library, attribute = name.partition(".")[0], name.rpartition(".")[2]
    rename_everywhere(library, attribute, f"{attribute}_of_tomorrow")
    try:
        yield
    finally:
        rename_everywhere(library, f"{attribute}_of_tomorrow", attribute)


def rename_everywhere(library: str, old: str, new: str) -> None:
    """Renames an attribute in every class and function of a library that is loaded."""
    for cls in {each for module in modules(library) for each in classes(module)}:
        namespace = vars(cls)
        for value in list(namespace.values()):
            for function in functions(value):
                function.__code__ = with_name(function.__code__, old, new)
        if old in namespace and not isinstance(namespace[old], types.MemberDescriptorType):
            setattr(cls, new, namespace[old])
            delattr(cls, old)
        annotations = namespace.get("__annotations__", {})
        if old in annotations:
            annotations[new] = annotations.pop(old)


def modules(library: str) -> list[types.ModuleType]:
    names = [each for each in sys.modules if each.partition(".")[0] == library]
    return [sys.modules[each] for each in names if sys.modules[each] is not None]


def classes(module: types.ModuleType) -> list[type]:
    library = module.__name__.partition(".")[0]
    found = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in found if each.__module__.partition(".")[0] == library]


def functions(value: Any) -> list[types.FunctionType]:
    """The functions of a class's attribute: its own, a property's, and those that a decorator keeps."""
    parts = [getattr(value, part, None) for part in ("fget", "fset", "__func__")]
    found = [each for each in (value, *parts) if isinstance(each, types.FunctionType)]
    kept = [cell.cell_contents for each in found for cell in each.__closure__ or () if cell.cell_contents]
    inner = [functions(each) for each in kept if isinstance(each, types.FunctionType)]
    return [*found, *(each for several in inner for each in several)]


def with_name(code: types.CodeType, old: str, new: str) -> types.CodeType:
    consts = tuple(with_name(c, old, new) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    names = tuple(new if name == old else name for name in code.co_names)
    return code.replace(co_names=names, co_consts=consts)


def fit(folder: Path, vectorization: str, ckpt_path: Path | None = None) -> dict[str, Any]:
    """Trains, evaluates and saves a checkpoint; says what is left."""
    wrappers = [] if vectorization == "async" else [SKIPPING]
    env = EnvConfig(id="Pendulum-v1", vectorization=vectorization, wrappers=wrappers)
    data = ReplayDataModule(
        env,
        num_envs=2,
        total_env_steps=80 if ckpt_path else 40,
        steps_per_epoch=40,
        learning_starts=20,
        batch_size=8,
        eval_episodes=1,
        eval_envs=1,
        eval_max_steps=5,
        journal_dir=folder / "replay",
    )
    small: dict[str, Any] = {"hidden_sizes": (16, 16)}
    actor, critic = ActorConfig(**small), CriticConfig(**small)
    module = SACModule(*data.specs, actor=actor, critic=critic, compile=False)
    trainer = pl.Trainer(
        max_epochs=data.max_epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[LastCheckpoint(folder / "checkpoints")],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, ckpt_path=None if ckpt_path is None else str(ckpt_path))
    experience: Any = data.experience
    return {
        "env_steps": int(module.env_steps),
        "updates": int(module.grad_steps),
        "evaluated": math.isfinite(float(trainer.callback_metrics["eval/return_mean"])),
        "saved": (folder / "checkpoints" / "last.ckpt").is_file(),
        "guarantee": experience.guarantee,
    }


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    kept, found = Kept(), {}
    logging.getLogger("sac_lightning").addHandler(kept)
    for module in names:
        kept.messages.clear()
        whole = folder / module
        found[f"{module}, nothing renamed"] = {**fit(whole, "sync"), "warned": list(kept.messages)}
        for number, api in enumerate(resolve_name(f"sac_lightning.private.{module}").PRIVATE_APIS):
            if api.attribute == "max_steps":  # a Trainer's documented attribute has the same name
                continue
            kept.messages.clear()
            door._reported.clear()
            for cache in (each for each in vars(resolve_name(f"sac_lightning.private.{module}")).values()):
                getattr(cache, "cache_clear", lambda: None)()
            vectorization = "async" if "AsyncVectorEnv" in api.name else "sync"
            with renamed(api.name):
                left = fit(folder / f"{module}{number}", vectorization)
                found[api.name] = {**left, "warned": list(kept.messages)}
                if api.attribute == "reset_restart_stage":
                    try:
                        fit(whole, vectorization, whole / "checkpoints" / "last.ckpt")
                    except door.MissingApi as error:
                        found[api.name]["resuming"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
