"""No value of a config is accepted and means nothing, and none ends in another error than a ConfigError."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import IMPORTABLE, TINY, Command, everything, mistake

# Which keys of which config are given every odd value: of the default one all.
WALKS = (
    "",
    "alpha alpha=fixed",
    "alpha alpha=anneal alpha.shape=linear",
    "collector,head collector=overlap head=tanh_normal",
    "head env=gym env.id=CartPole-v1 head=normal",
    "callbacks.early_stopping callbacks=early_stopping callbacks.early_stopping.stopping_threshold=-160",
    "logger.tensorboard logger=tensorboard",
    "target_entropy target_entropy=constant target_entropy.nats=-1",
    "target_entropy target_entropy=sigma",
    "target_entropy target_entropy=max_ratio target_entropy.ratio=0.5",
    "target_entropy,env env=cartpole target_entropy=eps_peaked",
    "target_entropy target_entropy=schedule target_entropy.start=0 target_entropy.end=-1",
    "target_entropy target_entropy=tes target_entropy.start=0",
    "optimizer optimizer=adamw",
    "torso,target_network torso=batch_norm target_network=none",
    "torso torso=layer_norm",
    "torso,target_network torso=batch_renorm target_network=joint_polyak",
    "torso torso=simba_v2",
    "encoder encoder=cnn",
    "encoder encoder=multi",
    "value_head value_head=hl_gauss",
    "value_head,pessimism value_head=quantile pessimism=truncated",
    "pessimism,critic pessimism=mean",
    "pessimism pessimism=random_subset",
    "replay replay=prioritized",
    "replay,value_head replay=lap value_head=scalar_huber",
    "replay replay=her env=bit_flipping",
    "normalization normalization/obs=running normalization/reward=return_variance",
)
TEXT_OR_NULL = {"'abc'", "None"}
CLIP, NONE, NOTHING = {"1.5", "None"}, {"None"}, {"[]"}
# What really means something. Null takes an entry of loggers and callbacks away.
MEANT = {
    "task_name": {"'abc'"},
    "tags": NOTHING,
    "seed": {"0"},
    "learning_starts": {"0"},
    "utd_ratio": {"1.5"},
    "gamma": {"0"},
    "compile": {"True"},
    "resume": TEXT_OR_NULL,  # whether there is such a run is seen before the plan
    "sweep.resume": {"True"},
    "allowed_prefixes": NOTHING,
    "eval_episodes": {"0"},
    "eval_seed": {"0"},
    "eval_max_steps": NONE,
    "reset_every": NONE,
    "random_shift": {"0"},
    "env.render_mode": NONE,
    "env.action": NONE,
    "env.action_mask": NONE,
    "encoder.shared": {"True"},
    "print_config": {"True"},
    "env.kwargs.g": {"-1", "0", "1.5", "1e+30", "inf", "None"},  # a number, and the env's own to judge
    "env.wrappers": NOTHING,
    "env.max_episode_steps": NONE,
    "env.critic_only": NOTHING,
    "env.imports": NOTHING,
    "env.allowed_prefixes": NOTHING,
    "head._partial_": {"True"},
    "module._partial_": {"True"},
    "alpha.init": {"1.5"},
    "alpha.min": {"0"},
    "alpha.max": CLIP,
    "alpha.per_dim": {"True"},
    "alpha.critic_value": NONE,
    "actor.entropy_penalty": NONE,
    "critic.q_clip": NONE,
    "optimizer.max_grad_norm": CLIP,
    "optimizer.lr_schedule": NONE,
    "optimizer.lr_final_ratio": {"0"},
    "replay.gamma": {"0"},
    "replay.capacity": NONE,
    "collector.iterations_per_batch": NONE,
    "collector.overlap": {"True"},
    "collector.actors": {"0"},
    "collector.address": NONE,
    "collector.deterministic": {"True"},
    "trainer.max_time": NONE,
    "trainer.deterministic": {"True"},
    "trainer.profiler": NONE,
    **{f"logger.{name}": NONE for name in ("csv", "wandb")},
    "logger.csv.path": {"'abc'"},
    "logger.wandb.project": {"'abc'"},
    "logger.wandb.dir": {"'abc'"},
    **{f"logger.wandb.{key}": TEXT_OR_NULL for key in ("entity", "name", "group", "job_type", "id", "notes")},
    "logger.wandb.tags": NOTHING,
    "logger.wandb.log_model": {"True"},
    "logger.wandb.video_every": NONE,
    "logger.wandb.histograms": NONE,
    **{f"callbacks.{name}": NONE for name in ("progress", "plots", "entropy", "best", "last")},
    "callbacks.progress.live": {"True"},
    "callbacks.plots.dir": {"'abc'"},
    "callbacks.best.dirpath": {"'abc'"},
    "callbacks.last.dirpath": {"'abc'"},
    "paths.run_dir": {"'abc'"},
}
# In the other walks, of the keys that the default config does not have.
MEANT_THERE = {
    "alpha.value": {"0", "1.5"},
    "env.action_mask": {"'abc'", "None"},
    "encoder.padding": {"0"},
    "replay.share": {"0"},
    "alpha.start": {"0", "1.5"},
    "alpha.end": {"0", "1.5"},
    "head.log_std_min": {"-1", "0", "1.5"},
    "head.log_std_max": {"-1", "0", "1.5"},
    "callbacks.early_stopping": NONE,
    "callbacks.early_stopping.monitor": {"''", "'abc'"},  # Lightning names the metrics that there are
    "callbacks.early_stopping.stopping_threshold": {"-1", "0", "1.5", "1e+30", "inf", "None"},
    "callbacks.early_stopping.patience": {"-1", "0"},
    "callbacks.early_stopping.check_finite": {"True"},
    "callbacks.early_stopping.check_on_train_epoch_end": {"None", "True"},
    "logger.tensorboard": NONE,
    "logger.tensorboard.save_dir": {"''", "'abc'"},
    "logger.tensorboard.name": {"''", "'abc'", "None"},
    "logger.tensorboard.version": {"-1", "0", "''", "'abc'", "None"},
    "logger.tensorboard.default_hp_metric": {"True"},
    "target_entropy.nats": {"-1", "0"},
    "target_entropy.start": {"-1", "0"},
    "target_entropy.end": {"-1", "0"},
    "target_entropy.floor": {"-1", "None"},
    "target_entropy.mean_within": {"1.5"},
    "target_entropy.deviation": {"1.5"},
    "optimizer.weight_decay": {"0"},
    "torso.momentum": {"0"},
    "torso.dropout": {"0"},
    "torso.warm_up": {"0"},
    "torso.shift": {"1.5"},
    "value_head.delta": {"1.5"},
    "value_head.sigma": {"1.5"},
    "pessimism.drop": {"0"},
    "value_head.low": {"-1", "0", "1.5"},
    "value_head.high": {"-1", "0", "1.5"},
    "replay.alpha": {"0"},
    "replay.beta": {"0"},
    "normalization.obs.clip": {"1.5"},
    "normalization.obs.eps": {"1.5"},
    "normalization.reward.eps": {"1.5"},
    "normalization.reward.g_max": CLIP,
}
Answers = dict[str, list[tuple[str, str, str | None]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, process_env: dict[str, str]) -> Answers:
    """The answer to every odd value: a process without the type checks of tests, for people type anything."""
    folder = tmp_path_factory.mktemp("odd")
    command = [sys.executable, str(IMPORTABLE / "odd_values.py"), str(folder / "run"), *WALKS]
    env = {**process_env, "WANDB_MODE": "offline"}
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=590)
    assert ended.returncode == 0, ended.stderr
    assert everything(folder) == set()  # a plan writes nothing
    found: Answers = json.loads(ended.stdout)
    return found


def test_the_walk_goes_everywhere(answers: Answers) -> None:
    assert len({key for key, _, _ in answers[""]}) > 100
    assert all(len(found) >= 12 for found in answers.values())


@pytest.mark.parametrize("walk", WALKS)
def test_every_odd_value_is_refused_in_one_line(walk: str, answers: Answers) -> None:
    crashed = [each for each in answers[walk] if each[2] is not None and each[2].startswith("CRASH")]
    assert crashed == []


@pytest.mark.parametrize("walk", WALKS)
def test_only_values_with_a_meaning_are_accepted(walk: str, answers: Answers) -> None:
    accepted: dict[str, set[str]] = {}
    for key, value, answer in answers[walk]:
        if answer is None:
            accepted.setdefault(key, set()).add(value)
    if walk == "":
        assert accepted == MEANT
    for key, values in accepted.items():
        assert values <= {**MEANT, **MEANT_THERE}[key], key


# What people type first, and what they are shown instead.
TYPED = {
    "alpha=0.2": ("alpha=0.2: must be one of anneal, auto, fixed", "alpha=fixed alpha.value=0.2"),
    "alpha=auto_0.1": ("Could not find 'alpha/auto_0.1'", "alpha=auto alpha.init=0.1"),
    "alpha=auto target_entropy=-3": ("target_entropy=-3: ", "target_entropy=constant target_entropy.nats=-3"),
    "alpha.target_entropy=0.2": (
        "alpha.target_entropy=0.2: ",
        "target_entropy=constant target_entropy.nats=0.2",
    ),
    "alpha.target_entropy=auto": (
        "alpha.target_entropy=auto: must be an object of TargetEntropyRule: target_entropy=constant",
    ),
    "env=HalfCheetah-v5": ("Could not find 'env/HalfCheetah-v5'", "env=gym env.id=HalfCheetah-v5"),
    "head._partial_=false": ("head._partial_=False: must be true",),
    "head._partial_=5": ("head._partial_=5: must be true",),
    "alpha._partial_=true": ("Could not override 'alpha._partial_'",),
    "+alpha._partial_=true": ("alpha._partial_=True: must be false, or left out",),
    "paths.run_dir=3": ("paths.run_dir=3: must be the name of a folder",),
    "logger.csv.path=": ("logger.csv.path=: must be the name of a file",),
    "callbacks.last.dirpath=": ("callbacks.last.dirpath=: must be the name of a folder",),
    "callbacks.progress.live=sometimes": ("callbacks.progress.live=sometimes: must be true or false",),
    "callbacks.best=5": ("callbacks.best=5: must be null, or have a _target_",),
    "trainer.deterministic=abc": ("trainer.deterministic=abc: must be true, false or warn",),
    "sweep.at_once=abc": ("sweep.at_once=abc: must be auto",),
    "sweep.threads=0": ("sweep.threads=0: must be auto",),
    "utd_ratio=1e30": ("utd_ratio=1e+30: must be a number above 0 and at most 1000",),
    "alpha.init=1e30": ("alpha.init=1e+30: must be a number in (0, 1e9]",),
    "env.kwargs.g=nan": ("env.kwargs.g=nan: must not be NaN",),
    "env.kwargs.g=heavy": ("env.kwargs.g=heavy: must be a number, as the env's own 10 is",),
    "resume=": ("resume=: must be the folder of a run",),
    "callbacks=early_stopping callbacks.early_stopping.stopping_threshold=high": (
        "callbacks.early_stopping.stopping_threshold=high: must be a number or null",
    ),
    "env=gym env.id=Pendulum-v1 head=tanh_normal head.log_std_min=low": ("head.log_std_min=low: ",),
}


@pytest.mark.parametrize("arguments", TYPED)
def test_what_people_type_is_answered_in_one_line_before_any_env_is_made(
    arguments: str, train: Command, tmp_path: Path
) -> None:
    begins, *holds = TYPED[arguments]
    line = mistake(train(*TINY, *arguments.split(" "), makes_envs=False))
    assert line.startswith(begins)
    assert all(part in line for part in holds), line
    assert everything(tmp_path) == set()
