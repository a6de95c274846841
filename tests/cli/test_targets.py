"""What `_target_` may name: every name in reach is tried; none is a function or of another kind."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import gymnasium
import hydra.utils
import pytest
import pytorch_lightning
import torch.hub
import torch.utils.collect_env  # noqa: F401 - one of the gadgets
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

import sac_lightning
from sac_lightning.cli.config import resolved
from sac_lightning.cli.targets import (
    KINDS,
    KINDS_OF_ENTRIES,
    check_saved,
    check_saved_target,
    check_target,
    kind_of,
)
from sac_lightning.core.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
PLACES = (*KINDS, *(f"{group}.x" for group in KINDS_OF_ENTRIES), "callbacks.x.argument", "env.kwargs.x")
HERE = Path(__file__).parent
# Each runs a program or leads to something that does; the last four are names of our own or of Lightning.
GADGETS = (
    *("torch.utils.collect_env.run", "torch.hub.load", "torch.load", "torch.hub.os.system"),
    *("torch.fx.graph_module._exec_with_source", "torch.utils.cpp_extension.load_inline", "builtins.exec"),
    *("gymnasium.make", "gymnasium.envs.registration.load_env_creator", "subprocess.run"),
    *("pytorch_lightning.Trainer.fit", "pytorch_lightning.callbacks.model_checkpoint.os.system"),
    *("sac_lightning.cli.rundir.os.system", "sac_lightning.core.checkpoint.torch.load"),
)


def saved(at: str, target: Any, arguments: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Check the config.yaml of a run's folder with that object `at` a key."""
    config = OmegaConf.create({})
    OmegaConf.update(config, at, {"_target_": target, **arguments}, force_add=True)
    check_saved(config, HERE, [])


def modules() -> Iterator[ModuleType]:
    """Those of this package, of Lightning's callbacks and loggers, and what this process has imported."""
    for package in (sac_lightning, pytorch_lightning.callbacks, pytorch_lightning.loggers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    roots = (
        "sac_lightning",
        "pytorch_lightning",
        "gymnasium",
        "torch.utils",
        "torch.hub",
        "torch.serialization",
    )
    for name, module in list(sys.modules.items()):
        if name.startswith(roots) and isinstance(module, ModuleType):
            yield module


def names() -> list[str]:
    """The dotted names of everything in them, of what they import, and of methods of their classes."""
    found = set()
    for module in modules():
        for name, value in list(vars(module).items()):
            found.add(f"{module.__name__}.{name}")
            if isinstance(value, ModuleType) and value.__name__ in ("os", "subprocess", "torch", "shutil"):
                found |= {f"{module.__name__}.{name}.{each}" for each in ("system", "run", "load", "rmtree")}
            if inspect.isclass(value) and value.__module__.startswith(("sac_lightning", "pytorch_lightning")):
                found |= {f"{module.__name__}.{name}.{each}" for each in vars(value) if each[0] != "_"}
    return sorted(found)


@pytest.fixture(scope="module")
def accepted() -> dict[str, list[str]]:
    """By place in the config, all names that a file may give there."""
    every = names()
    assert len(every) > 10_000
    return {path: [name for name in every if _is_accepted(path, name)] for path in PLACES}


def _is_accepted(path: str, name: str) -> bool:
    try:
        check_saved_target(path, name, HERE, [])
    except ConfigError:
        return False
    return True


def test_all_names_that_a_file_may_give_are_classes_of_their_kind(accepted: dict[str, list[str]]) -> None:
    for path, targets in accepted.items():
        kind = kind_of(path)
        assert bool(targets) == (kind is not None), path
        for target in targets:
            if target == "sac_lightning.heads.head_for":
                continue
            found = hydra.utils.get_object(target.removesuffix(".for_action"))
            assert inspect.isclass(found), target
            assert kind is not None
            assert issubclass(found, kind), (path, target)
            assert found.__module__.startswith(("sac_lightning", "pytorch_lightning"))
            assert (
                path != "logger.x"
                or issubclass(found, (CSVLogger, TensorBoardLogger))
                or found.__module__.startswith("sac_lightning")
            )


def test_every_target_of_the_packaged_configs_may_stand_in_a_file(accepted: dict[str, list[str]]) -> None:
    seen = set()
    for file in CONF.rglob("*/*.yaml"):
        group = ".".join(file.relative_to(CONF).parent.parts)
        content = yaml.safe_load(file.read_text()) or {}
        content = content.get("env", content) if group == "env" else content
        entries = {f"{group}.x": each for each in content.values() if isinstance(each, dict)}
        for path, entry in {group: content, **entries}.items():
            # MLflow's server is named by the file, so a run that is resumed asks for it: logger=mlflow.
            if "_target_" in entry and not group.startswith("hydra") and "MLFlow" not in entry["_target_"]:
                assert kind_of(path) is not None, path
                saved(path, entry["_target_"])
                seen.add(entry["_target_"])
    assert len(seen) > 45


def test_every_object_of_a_composed_config_may_stand_in_a_file() -> None:
    choices = ("encoder=cnn", "torso=batch_norm", "optimizer=adamw", "replay=prioritized")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("train", overrides=[f"paths.run_dir={HERE}", "env=gym", "env.id=X", *choices])
    config = OmegaConf.create(resolved(composed))
    assert config.critic.torso._target_ == "sac_lightning.networks.BatchNorm"
    assert config.module == {"_target_": "sac_lightning.SACModule", "_partial_": True}
    assert config.data == {"_target_": "sac_lightning.ReplayDataModule"}
    assert config.alpha.optimizer._target_ == "sac_lightning.optim.AdamW"
    check_saved(config, HERE, [])


def test_no_argument_of_an_accepted_class_leads_out_of_the_folder(accepted: dict[str, list[str]]) -> None:
    tried = 0
    for path in ("callbacks.x", "logger.x", "trainer"):
        for target in {hydra.utils.get_object(name) for name in accepted[path]}:
            named = f"{target.__module__}.{target.__qualname__}"
            ours = named.startswith("sac_lightning")
            for name in inspect.signature(target).parameters:
                is_place = any(part in name for part in ("dir", "path", "folder", "root", "journal"))
                if ours and not is_place:
                    continue
                if target is pytorch_lightning.Trainer:
                    named = "pytorch_lightning.Trainer"
                outside = ("/elsewhere", "~/x", "file:///x", "../x", "${paths.run_dir}/../../x")
                for text in (
                    *outside,
                    *(["elsewhere"] if is_place and name.endswith(("dir", "path")) else []),
                ):
                    tried += 1
                    with pytest.raises(ConfigError, match="leads out of"):
                        saved(path, named, {name: text})
    assert tried > 500


@pytest.mark.parametrize("gadget", GADGETS)
def test_a_group_of_the_user_s_own_names_classes_of_this_project_alone(gadget: str) -> None:
    saved("torso_of_critics", "sac_lightning.networks.Simba")
    with pytest.raises(ConfigError, match=r"torso_of_critics\._target_="):
        saved("torso_of_critics", gadget)
    with pytest.raises(ConfigError, match=r"tags\[0\]\._target_="):
        check_saved(OmegaConf.create({"tags": [{"_target_": gadget}]}), HERE, [])


@pytest.mark.parametrize("gadget", GADGETS)
@pytest.mark.parametrize("path", PLACES)
def test_function_is_refused_in_files_and_on_the_command_line(path: str, gadget: str) -> None:
    with pytest.raises(ConfigError, match="_target_="):
        saved(path, gadget)
    for allowed in (
        ("sac_lightning", "pytorch_lightning", "torch", "gymnasium"),
        (gadget.partition(".")[0],),
    ):
        with pytest.raises(ConfigError, match="_target_="):
            check_target(path, gadget, allowed)


@pytest.mark.parametrize(
    "target", [5, None, "", ".", "torch..load", "sac_lightning", ["sac_lightning.entropy.Fixed"]]
)
def test_target_that_is_no_dotted_path_is_refused(target: Any) -> None:
    with pytest.raises(ConfigError):
        saved("alpha", target)
    with pytest.raises(ConfigError):
        check_target("alpha", target, ("sac_lightning", "torch"))


def test_class_of_another_group_is_refused() -> None:
    for path, target in (
        ("callbacks.x", "sac_lightning.entropy.Fixed"),
        ("alpha", "sac_lightning.heads.TanhNormal"),
        ("head", "sac_lightning.entropy.Fixed"),
        ("env", "sac_lightning.training.module.SACModule"),
        ("logger.x", "sac_lightning.training.callbacks.PlotCallback"),
        ("actor.torso", "sac_lightning.networks.Flat"),
        ("critic.optimizer", "sac_lightning.networks.Mlp"),
        ("replay", "sac_lightning.replay.Journal"),
        ("normalization.obs", "sac_lightning.networks.ReturnVariance"),
    ):
        with pytest.raises(ConfigError, match=r"must be a \w+ class of "):
            check_target(path, target, ("sac_lightning",))


def test_gymnasium_is_no_source_of_objects() -> None:
    assert gymnasium.Env  # the import that the walk needs
    with pytest.raises(ConfigError, match=r"allowed_prefixes=\[gymnasium\]"):
        saved("env", "gymnasium.Env")
