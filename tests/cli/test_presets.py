"""The presets of published algorithms: the numbers of their papers, on any env with a Box of actions.

And what may be typed beside them: a part of another class, or `resume=`.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from tests.cli.conftest import TINY, Command, mistake

from sac_lightning.cli.assemble import plan
from sac_lightning.cli.config import drop_settings_of_replaced_parts, resolved
from sac_lightning.cli.targets import check_saved, leaves
from sac_lightning.cli.train import config_dir
from sac_lightning.core.errors import ConfigError
from tasks import trainer_for

COMMON = {
    "env.id": "HalfCheetah-v5",
    "total_env_steps": 1_000_000,
    "gamma": 0.99,
    "tau": 0.005,
    "utd_ratio": 1,
    "actor_delay": 1,
    "batch_size": 256,
    "learning_starts": 5000,
    "lr": 3e-4,
    "replay.n_step": 1,
    "critic.num_critics": 2,
    "critic.hidden_sizes": [256, 256],
    "actor.hidden_sizes": [256, 256],
    "optimizer.betas": [0.9, 0.999],
    "alpha.optimizer.betas": [0.9, 0.999],
    "optimizer.lr_schedule": None,
    "alpha.init": 1.0,
    "collector.noise_hold_max": 1,
}
BINS = {"value_head.bins": 101, "value_head.low": -5.0, "value_head.high": 5.0}
HIGH_UTD = {"utd_ratio": 20, "actor_delay": 20, "pessimism.subset": 2}
# What each paper says: its sections and appendices, and its authors' code where they leave it open.
PUBLISHED: dict[str, dict[str, Any]] = {
    "sac_2018": {"learning_starts": 1000},
    "redq": {**HIGH_UTD, "critic.num_critics": 10},
    "droq": {
        **HIGH_UTD,
        "critic.torso._target_": "sac_lightning.networks.LayerNorm",
        "critic.torso.dropout": 0.01,
        "actor.torso._target_": "sac_lightning.networks.Mlp",
    },
    "tqc": {
        "learning_starts": 256,
        "critic.num_critics": 5,
        "critic.hidden_sizes": [512, 512, 512],
        "value_head.quantiles": 25,
        "pessimism.drop": 2,
    },
    "crossq": {
        "lr": 1e-3,
        "actor_delay": 3,
        "optimizer.betas": [0.5, 0.999],
        "critic.hidden_sizes": [2048, 2048],
        "torso.momentum": 0.99,
        "torso.eps": 0.001,
        "torso.warm_up": 100_000,
        "target_network._target_": "sac_lightning.networks.NoTargetNetwork",
    },
    "simba_v2": {
        **BINS,
        "lr": 1e-4,
        "gamma": "auto",
        "utd_ratio": 2,
        "optimizer.lr_schedule": "linear",
        "optimizer.lr_final_ratio": 0.5,  # 5e-5
        "alpha.init": 0.01,
        "head.log_std_min": -10.0,
        "torso.shift": 3.0,
        "normalization.reward.g_max": 5.0,
        "actor.hidden_sizes": [128],
        "critic.hidden_sizes": [512] * 2,
    },
    "xqc": {
        **BINS,
        "gamma": "auto",
        "utd_ratio": 2,
        "actor_delay": 3,
        "optimizer.lr_schedule": "linear",
        "optimizer.lr_final_ratio": 0.1,  # 3e-5
        "alpha.init": 0.01,
        "head.log_std_min": -10.0,
        "torso.momentum": 0.99,
        "torso.eps": 0.001,
        "normalization.reward.g_max": None,
        "actor.hidden_sizes": [256] * 4,
        "critic.hidden_sizes": [512] * 4,
    },
    "flash_sac": {
        **BINS,
        "tau": 0.01,
        "actor_delay": 2,
        "batch_size": 512,
        "learning_starts": 10_000,
        "optimizer.lr_schedule": "cosine",
        "optimizer.lr_final_ratio": 0.5,  # 1.5e-4
        "alpha.init": 0.01,
        "head.log_std_min": -10.0,
        "torso.eps": 1e-5,
        "normalization.reward.g_max": 5.0,
        "actor.hidden_sizes": [128] * 2,
        "critic.hidden_sizes": [256] * 2,
        "collector.noise_hold_max": 16,
    },
}
# ½ log(2πe · 0.15²) for each action dimension
FLASH = 0.5 * math.log(2 * math.pi * math.e * 0.15**2)
TARGET_ENTROPY = {"redq": -0.5, "simba_v2": -0.5, "xqc": -0.5, "flash_sac": FLASH}
GIVEN_WAY = (
    *("gamma", "tau", "utd_ratio", "batch_size", "learning_starts", "lr", "replay.n_step"),
    *("critic.hidden_sizes", "actor.hidden_sizes", "optimizer.lr_schedule", "collector.noise_hold_max"),
)
SMALL = (
    *("learning_starts=8", "total_env_steps=12", "steps_per_epoch=12", "eval_episodes=0", "batch_size=4"),
    *("env=pendulum", "compile=false", "device=cpu", "threads=1"),
)


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return compose("train", overrides=["paths.run_dir=unused", *overrides])


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_preset_has_the_published_numbers(preset: str) -> None:
    config = composed(f"experiment={preset}")
    for key, value in {**COMMON, **PUBLISHED[preset]}.items():
        found: Any = OmegaConf.select(config, key, throw_on_missing=True)
        found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        assert found == value, key


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_preset_learns_on_another_env(preset: str, tmp_path: Path) -> None:
    full = composed(f"experiment={preset}")
    narrow = (f"{each}.hidden_sizes={[8] * len(full[each].hidden_sizes)}" for each in ("actor", "critic"))
    made = plan(composed(f"experiment={preset}", *SMALL, *narrow, f"paths.run_dir={tmp_path}"))
    module = made.module()
    before = module.sac.critic.output.weight.clone()
    trainer_for(made.datamodule).fit(module, made.datamodule)
    # 12 - 8 = 4 env steps with updates
    assert int(module.grad_steps) == 4 * PUBLISHED[preset].get("utd_ratio", 1)
    assert bool((module.sac.critic.output.weight != before).any())
    # Pendulum has one action dimension
    assert float(module.sac.target_entropy) == pytest.approx(TARGET_ENTROPY.get(preset, -1.0))


OURS = ("discrete_rules", "fast")


def test_every_preset_is_here() -> None:
    there = {file.stem for file in (Path(config_dir()) / "experiment").glob("*.yaml")}
    assert there == {*PUBLISHED, *OURS}


@pytest.mark.parametrize("preset", OURS)
def test_a_preset_of_ours_can_be_planned(preset: str, tmp_path: Path) -> None:
    made = plan(composed(f"experiment={preset}", f"paths.run_dir={tmp_path}"))
    assert made.datamodule.total_env_steps == made.config.total_env_steps


def test_fast_is_crossq_with_smaller_critics_and_a_clip() -> None:
    fast, crossq = (OmegaConf.to_container(composed(f"experiment={name}")) for name in ("fast", "crossq"))
    assert fast["critic"].pop("hidden_sizes") == [256, 256]
    assert crossq["critic"].pop("hidden_sizes") == [2048, 2048]
    assert fast["optimizer"].pop("max_grad_norm") == 100
    assert crossq["optimizer"].pop("max_grad_norm") is None
    assert fast == crossq


# An env's settings must fit other choices of the groups that they are about.
CHOICES = ("alpha=fixed", "replay=prioritized", "optimizer=adamw"), ("alpha=anneal",)


@pytest.mark.parametrize(
    "env",
    [
        *("bipedal_walker", "cartpole", "lunar_lander", "lunar_lander_continuous"),
        *("mountain_car_continuous", "pendulum"),
    ],
)
def test_an_env_s_settings_fit_every_choice_and_give_way_to_a_preset(env: str) -> None:
    for choices in CHOICES:
        plan(composed(f"env={env}", *choices))
    named = composed(f"env={env}", "gamma=0.5", "utd_ratio=3")
    assert (named.gamma, named.utd_ratio, named.replay.gamma) == (0.5, 3, 0.5)
    preset = composed("experiment=sac_2018", f"env={env}")
    assert {key: OmegaConf.select(preset, key) for key in GIVEN_WAY} == {
        key: {**COMMON, **PUBLISHED["sac_2018"]}[key] for key in GIVEN_WAY
    }


@pytest.mark.parametrize("env", ["bipedal_walker", "lunar_lander_continuous", "minatar"])
def test_the_parts_of_an_env_give_way_to_a_preset_and_both_to_the_command_line(env: str) -> None:
    own, preset = composed(f"env={env}"), composed("experiment=sac_2018")
    assert own.target_entropy != preset.target_entropy
    for part in ("torso", "target_entropy"):
        assert composed("experiment=sac_2018", f"env={env}")[part] == preset[part]
    for above in ((), ("experiment=sac_2018",), ("experiment=xqc",)):
        named = composed(f"env={env}", *above, "torso=simba", "target_entropy=neg_dim")
        assert named.torso._target_ == "sac_lightning.networks.Simba"
        assert named.target_entropy == {"_target_": "sac_lightning.entropy.NegDim"}


LEFT = re.compile(
    r"env\.|total_env_steps|eval_max_steps|encoder|random_shift|normalization\.obs|replay|alpha\.init"
)


@pytest.mark.parametrize(
    "file", sorted((Path(config_dir()) / "env").glob("*.yaml")), ids=lambda file: file.stem
)
def test_all_settings_of_an_env_give_way_but_those_that_the_preset_names(file: Path) -> None:
    preset, both = (
        dict(leaves(OmegaConf.to_container(composed("experiment=sac_2018", *env))))
        for env in ((), (f"env={file.stem}",))
    )
    differ = {key for key in {*preset, *both} if preset.get(key) != both.get(key)}
    assert {key for key in differ if not LEFT.match(key)} == set()
    assert both["replay.n_step"] == 1


def swaps() -> Iterator[tuple[str, list[str]]]:
    """Every preset and every env, with the options of the groups of which its own file says something."""
    conf = Path(config_dir())
    for file in sorted([*conf.glob("experiment/*.yaml"), *conf.glob("env/*.yaml")]):
        said = yaml.safe_load(file.read_text())
        inner = said.pop("normalization", {})
        groups = [*sorted(set(said) - {"env"}), *(f"normalization/{each}" for each in inner)]
        options = [f"{group}={path.stem}" for group in groups for path in (conf / group).glob("*.yaml")]
        if options and file.stem != "gym":  # which has no env.id
            yield f"{file.parent.name}={file.stem}", options


def refusal(config: DictConfig) -> str:
    try:
        plan(config)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("chosen", "options"), swaps())
def test_a_part_of_another_class_takes_the_place_of_a_preset_s_with_its_settings(
    chosen: str, options: list[str]
) -> None:
    for option in options:
        with initialize_config_dir(config_dir(), version_base="1.3"):
            config = compose("train", ["paths.run_dir=unused", chosen, option], return_hydra_config=True)
        hydra = config.hydra
        OmegaConf.set_struct(config, False)
        del config.hydra
        drop_settings_of_replaced_parts(config, hydra)
        # It may be refused, such as value_head=scalar, of which no quantile can be dropped.
        assert "unexpected keyword" not in refusal(config), option


def test_a_preset_for_numbers_trains_with_the_head_of_another_action_space(train: Command) -> None:
    for head in ("auto", "categorical"):
        parts = ("env=cartpole", f"head={head}", "target_entropy=auto")
        ended = train(*TINY, "experiment=simba_v2", *parts)
        assert ended.code == 0, ended.err


def test_what_is_typed_or_stands_in_the_option_s_own_file_stays_a_mistake(
    train: Command, tmp_path: Path
) -> None:
    typed = mistake(train(*TINY, "experiment=xqc", "alpha=fixed", "alpha.init=1"))
    assert "unexpected keyword argument 'init'" in typed
    own = tmp_path / "conf" / "alpha" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: sac_lightning.entropy.Fixed\nvaleu: 0.1\n")
    line = mistake(train("--config-dir", str(tmp_path / "conf"), *TINY, "experiment=xqc", "alpha=mine"))
    assert "unexpected keyword argument 'valeu'. Did you mean value?" in line


def test_a_preset_with_other_parts_trains_and_writes_what_it_used(train: Command, tmp_path: Path) -> None:
    parts = ("alpha=fixed", "head=auto", "normalization/reward=none", "target_network=polyak")
    ended = train(*TINY, "experiment=xqc", *parts, f"hydra.run.dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["alpha"] == {
        "_target_": "sac_lightning.entropy.Fixed",
        "value": 0.2,
        **{"critic": "same", "critic_value": None, "units": "unit_box"},
    }
    assert saved["normalization"]["reward"] == {"_target_": "sac_lightning.networks.RawReward"}
    assert saved["critic"]["value_head"]["bins"] == 101


@pytest.mark.parametrize("preset", [*PUBLISHED, *OURS])
def test_the_config_of_a_preset_s_run_may_stand_in_a_file(preset: str, tmp_path: Path) -> None:
    config = composed(f"experiment={preset}", f"paths.run_dir={tmp_path}")
    check_saved(OmegaConf.create(resolved(config)), tmp_path, [])


def test_a_run_with_another_torso_for_the_critics_alone_is_resumed(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(*TINY, "experiment=droq", f"hydra.run.dir={run}").code == 0
    ended = train(f"resume={run}", "total_env_steps=90")
    assert ended.code == 0, ended.err
    assert json.loads((run / "summary.json").read_text())["env_steps"] == 90
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["critic"]["torso"]["dropout"] == saved["torso_of_critics"]["dropout"] == 0.01
