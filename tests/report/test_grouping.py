"""Which runs belong together, and how a group is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.report.folders import AUTO, FIXED, config

from sac_lightning.core.errors import ConfigError
from sac_lightning_report.grouping import Grouping, group_runs, option_names
from sac_lightning_report.runs import Curves, Run

OPTIONS = option_names(Path(__file__).parents[2] / "conf")


def runs(*configs: dict[str, Any]) -> list[Run]:
    return [Run(str(at), Path(str(at)), each, {}, Curves(), "done") for at, each in enumerate(configs)]


def labels(found: Grouping) -> list[tuple[str, str, int]]:
    return [(group.env_id, group.label, len(group.runs)) for group in found.groups]


def fixed(value: float) -> dict[str, Any]:
    return {"_target_": FIXED, "value": value}


def test_runs_that_differ_in_seed_and_place_alone_are_one_group() -> None:
    found = group_runs(runs(*(config(s, paths={"run_dir": str(s)}, tags=[s]) for s in range(3))), [], OPTIONS)
    assert labels(found) == [("Pendulum-v1", "all runs", 3)]
    assert found.keys == ()


def test_group_of_keys_is_named_by_its_option_and_by_what_else_differs() -> None:
    auto = {"_target_": AUTO, "init": 1.0}
    found = group_runs(
        runs(*(config(seed, alpha=alpha) for alpha in (fixed(0.1), fixed(0.2), auto) for seed in (0, 1))),
        [],
        OPTIONS,
    )
    names = ["alpha=fixed value=0.1", "alpha=fixed value=0.2", "alpha=auto"]
    assert labels(found) == [("Pendulum-v1", name, 2) for name in names]
    assert found.groups[0].settings == ("alpha=fixed", "alpha.value=0.1")
    assert found.keys == ("alpha", "alpha.value")


def test_key_that_repeats_another_is_redundant() -> None:
    found = group_runs(runs(*(config(seed, lr=lr) for lr in (1e-3, 3e-4) for seed in (0, 1))), [], OPTIONS)
    assert [group.label for group in found.groups] == ["lr=0.001", "lr=0.0003"]
    assert found.redundant == ("actor.lr",)


def test_keys_of_a_random_search_all_count() -> None:
    found = group_runs(
        runs(config(lr=1e-3, tau=0.1), config(lr=2e-3, tau=0.3), config(lr=3e-3, tau=0.2)), [], OPTIONS
    )
    assert [group.label for group in found.groups][:2] == ["lr=0.001 tau=0.1", "lr=0.002 tau=0.3"]


def test_key_that_somebody_typed_counts_even_where_another_splits_the_runs_alike() -> None:
    some = runs(
        *(config(seed, tau=tau, gamma=1 - tau, lr=lr) for tau, lr in ((1, 5), (2, 6)) for seed in (0, 1))
    )
    assert group_runs(some, [], OPTIONS).groups[0].label == "lr=5"
    typed = [replace(run, summary={"overrides": ["lr=5", "++tau=1", "seed=0"]}) for run in some]
    found = group_runs(typed, [], OPTIONS)
    assert found.groups[0].label == "lr=5 tau=1"
    assert found.redundant == ("gamma", "actor.lr")


def test_envs_are_never_mixed_and_each_is_grouped_by_its_own_differences() -> None:
    found = group_runs(
        runs(
            *(config(0, "CartPole-v1", alpha=fixed(value), total_env_steps=5) for value in (0.1, 0.2)),
            *(config(seed, "Pendulum-v1", alpha=fixed(0.5)) for seed in (0, 1)),
        ),
        [],
        OPTIONS,
    )
    assert labels(found) == [
        ("CartPole-v1", "alpha.value=0.1", 1),
        ("CartPole-v1", "alpha.value=0.2", 1),
        ("Pendulum-v1", "all runs", 2),
    ]
    by_lr = group_runs(runs(config(0, "CartPole-v1"), config(0, "Pendulum-v1")), ["lr"], OPTIONS)
    assert labels(by_lr) == [("CartPole-v1", "lr=0.0003", 1), ("Pendulum-v1", "lr=0.0003", 1)]


def test_named_keys_alone_make_the_groups() -> None:
    some = runs(
        *(config(seed, lr=lr, alpha=fixed(value)) for seed in (0, 1) for lr in (1, 2) for value in (3, 4))
    )
    assert labels(group_runs(some, ["alpha.value"], OPTIONS)) == [
        ("Pendulum-v1", "alpha.value=3", 4),
        ("Pendulum-v1", "alpha.value=4", 4),
    ]
    assert group_runs(some, ["seed", "lr"], OPTIONS).groups[0].label == "seed=0 lr=1"
    assert len(group_runs(some, ["alpha", "env"], OPTIONS).groups) == 2


def test_key_that_only_some_runs_have_splits_them() -> None:
    some = runs(config(), config(alpha={"_target_": FIXED, "value": 0.2, "extra": None}))
    assert [group.label for group in group_runs(some, [], OPTIONS).groups] == ["all runs", "alpha.extra=null"]


def test_unknown_key_is_refused_with_its_neighbours() -> None:
    with pytest.raises(
        ConfigError, match=r"by=alpha\.valu: is in no run's config\. Did you mean alpha\.value"
    ):
        group_runs(runs(config()), ["alpha.valu"], OPTIONS)


def test_every_rule_is_named_as_one_types_it() -> None:
    assert OPTIONS["alpha", AUTO] == "auto"
    assert OPTIONS["target_entropy", "sac_lightning.entropy.HeadDefault"] == "auto"
    assert OPTIONS["target_entropy", "sac_lightning.entropy.MaxRatio"] == "max_ratio"
    assert OPTIONS["obs", "sac_lightning.networks.RunningObs"] == "running"


def test_part_that_both_networks_share_is_named_once() -> None:
    def with_torso(name: str) -> dict[str, Any]:
        torso = {"_target_": f"sac_lightning.networks.{name}", "activation": "relu"}
        shared = config(torso=torso)
        return {**shared, "actor": {**shared["actor"], "torso": torso}, "critic": {"torso": torso}}

    found = group_runs(runs(with_torso("Mlp"), with_torso("LayerNorm")), [], OPTIONS)
    assert [group.label for group in found.groups] == ["torso=mlp", "torso=layer_norm"]
    assert found.redundant == ("actor.torso", "critic.torso")


def test_group_inside_a_group_is_named_by_its_option() -> None:
    kinds = ("RawObs", "RunningObs")
    some = (config(normalization={"obs": {"_target_": f"sac_lightning.networks.{kind}"}}) for kind in kinds)
    found = group_runs(runs(*some), [], OPTIONS)
    assert [group.label for group in found.groups] == ["normalization.obs=none", "normalization.obs=running"]


def test_class_of_no_option_is_named_by_itself() -> None:
    own = {"_target_": "my_package.MyRule"}
    found = group_runs(runs(config(), config(alpha=own)), [], OPTIONS)
    assert [group.label for group in found.groups] == ["alpha=fixed", "alpha=my_rule"]
