"""A mistake in the configuration ends with 2 and one line before any env is made, and leaves nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import ROOT, TINY, Command, everything, mistake

# arguments: what the line begins with, and what else it must hold.
MISTAKES = {
    "env=gym env.id=Pendulm-v1": ("env.id=Pendulm-v1: ", "Did you mean Pendulum-v1"),
    "env.id=cartpole": ("env.id=cartpole: ", "Did you mean CartPole-v1?"),
    "head=categorical": ("head=categorical: is for Discrete", "Box of 1", "use head=auto"),
    "env=cartpole head=tanh_normal": ("head=tanh_normal: is for bounded Box", "Discrete(2)"),
    "alpha=fixed alpha.value=-1": ("alpha.value=-1: must be a number in [0, 1e9]",),
    "alpha=fixed alpha.value=abc": ("alpha.value=abc: must be a number",),
    "alpha=anneal alpha.start=0": ("alpha.start=0: must be a number above 0 for the exponential shape",),
    "alpha=anneal alpha.start=abc": ("alpha.start=abc: must be a number in [0, 1e9]",),
    "alpha.init=abc": ("alpha.init=abc: must be a number in (0, 1e9]",),
    "alpha.foo=1": ("Could not override 'alpha.foo'",),
    "alpha.value=0.1": ("Could not override 'alpha.value'", "It is a key of alpha=fixed."),
    "critic.num_critic=3": ("Could not override 'critic.num_critic'", "Did you mean num_critics?"),
    "env.max_steps=3": ("Could not override 'env.max_steps'", "Did you mean max_episode_steps"),
    "env=cartpole target_entropy=neg_dim": ("target_entropy=-1: no policy", "(0, 0.6931]"),
    "target_entropy=constant target_entropy.nats=5": ("target_entropy=5: no policy", "(-inf, 0.6931]"),
    "target_entropy=constant target_entropy.nats=abc": ("target_entropy.nats=abc: must be a finite number",),
    "target_entropy=constant": ("target_entropy.nats=???: must be given",),
    "target_entropy=max_ratio target_entropy.ratio=0": (
        "target_entropy.ratio=0: must be a number in (0, 1]",
    ),
    "target_entropy=sigma target_entropy.sigma=-1": ("target_entropy.sigma=-1: must be a number above 0",),
    "target_entropy=schedule target_entropy.start=0 target_entropy.end=2": (
        "target_entropy.end=2: no policy of the TanhNormal head",
        "(-inf, 0.6931]",
    ),
    "target_entropy=schedule target_entropy.start=0": ("target_entropy.end=???: must be given",),
    "target_entropy=tes": ("target_entropy.start=None: continuous actions have no usual start",),
    "target_entropy=tes target_entropy.factor=1": ("target_entropy.factor=1: must be a number in (0, 1)",),
    "env=cartpole alpha.per_dim=true": ("alpha.per_dim=True: needs independent", "this is categorical"),
    "alpha.per_dim=1": ("alpha.per_dim=1: must be true or false",),
    "alpha.critic=other": ("alpha.critic=other: must be one of same, fixed, none",),
    "alpha.critic=fixed": ("alpha.critic_value=None: must be a number in [0, 1e9] for alpha.critic=fixed",),
    "alpha.units=metres": ("alpha.units=metres: must be one of unit_box, env",),
    "callbacks.entropy.evaluations=0": ("callbacks.entropy.evaluations=0: must be a whole number",),
    "total_env_steps=10": ("total_env_steps=10: must be at least learning_starts=20",),
    "critic.optimizer={_target_:sac_lightning.optim.Adam,betas:[1,2]}": ("critic.optimizer.betas=",),
    "precision=16": ("precision=16: must be one of 32-true, bf16-mixed",),
    "precision=16-mixed": ("precision=16-mixed: must be one of 32-true, bf16-mixed",),
    "resume=/nonexistent": ("resume=/nonexistent: is no run",),
    "gama=0.9": ("Could not override 'gama'", "Did you mean gamma?"),
    "alpha=autoo": ("Could not find 'alpha/autoo'", "anneal auto fixed"),
    "alhpa=auto": ("Could not override 'alhpa'", "Did you mean alpha?"),
    "actor=null": ("actor=null: must be one of mlp",),
    "actor=5": ("actor=5: must be one of mlp",),
    "actor.lr=5": ("actor.lr=5: must be a number in (0, 1)",),
    "actor.lr=abc": ("actor.lr=abc: must be a number in (0, 1)",),
    "actor.hidden_sizes=[]": ("actor.hidden_sizes=[]: must be a list of one or more whole numbers",),
    "actor.hidden_sizes=64": ("actor.hidden_sizes=64: must be a list",),
    "actor.hidden_sizes=[a]": ("actor.hidden_sizes=['a']: must be a list",),
    "torso.activation=[relu]": ("torso.activation=['relu']: must be one of relu, elu, silu, tanh",),
    "torso=null": ("torso=null: must be one of batch_norm, batch_renorm, flash, layer_norm, mlp",),
    "critic.torso=mlp": ("critic.torso=mlp: must be an object of Torso",),
    "critic.torso.activation=tanh": (
        "critic.torso.activation: stands in the group torso: set torso.act",
        "conf/experiment/crossq.yaml",
    ),
    "actor.optimizer.max_grad_norm=1": (
        "actor.optimizer.max_grad_norm: ",
        "for actor alone",
        "conf/experiment/crossq.yaml",
    ),
    "alpha.target_entropy.nats=1": ("alpha.target_entropy.nats: ", "set target_entropy.nats"),
    "pessimism=truncated": ("pessimism=Truncated: needs quantiles: value_head=quantile",),
    "pessimism=truncated value_head=quantile value_head.quantiles=2": (
        "pessimism=Truncated: needs at least 3 quantiles; value_head.quantiles=2",
    ),
    "pessimism=random_subset pessimism.subset=3": (
        "critic.num_critics=2: must be a whole number of at least 3 for pessimism RandomSubset",
    ),
    "actor.entropy_penalty=0.5": ("actor.entropy_penalty=0.5: is for discrete actions", "TanhNormal"),
    "critic.q_clip=0.5": ("critic.q_clip=0.5: is for discrete actions", "TanhNormal"),
    "env=cartpole critic.q_clip=0.5 value_head=hl_gauss": ("critic.q_clip=0.5: needs value_head=scalar",),
    "target_network=joint_polyak": ("target_network=JointPolyak: needs critics with batch statistics",),
    "torso=layer_norm torso.dropout=0.01": ("torso=LayerNorm: drops features", "set critic.torso"),
    "torso=simba actor.hidden_sizes=[64,32]": ("actor.hidden_sizes=[64, 32]: must be equal numbers",),
    "target_network=none": ("target_network=NoTargetNetwork: needs critics with batch", "torso=batch_norm"),
    "normalization/obs=yes": ("Could not find 'normalization/obs/yes'", "none running"),
    "normalization/obs=null": ("normalization/obs=null: must be one of none, running",),
    "normalization=running": ("normalization: is chosen by normalization/obs=, normalization/reward=",),
    "normalization=5": ("normalization=5: is chosen by normalization/obs=, normalization/reward=",),
    "value_head=categorical value_head.low=9": (
        "value_head.high=5.0: must be a number above value_head.low=9",
    ),
    "optimizer._target_=abc": ("optimizer._target_=abc: must lie under", "allowed_prefixes"),
    "optimizer.eps=0": ("optimizer.eps=0: must be a number in (0, 1)",),
    "optimizer=adamw optimizer.weight_decay=2": ("optimizer.weight_decay=2: must be a number in [0, 1]",),
    "actor.optimizer={_target_:sac_lightning.optim.Adam,eps:0}": ("actor.optimizer.eps=0: must be a number",),
    "actor._target_=os.system": ("actor._target_=os.system: must lie under", "allowed_prefixes"),
    "alpha._target_=sac_lightning.no.Thing": ("alpha._target_=sac_lightning.no.Thing: ", "No module"),
    "critic.num_critics=1": ("critic.num_critics=1: must be a whole number of at least 2",),
    "critic.num_critics=abc": ("critic.num_critics=abc: must be a whole number",),
    "head=tanh_normal head.log_std_min=abc": ("head.log_std_min=abc: ", "log_std_max=2.0"),
    "collector=overlap collector.collect_steps=2": ("collector.collect_steps=2: must be 1 with overlap",),
    "gamma=auto env=gym env.id=CliffWalking-v1": ("gamma=auto: needs an env with a time limit",),
    "collector.noise_hold_max=0": ("collector.noise_hold_max=0: must be a whole number from 1 to 1000",),
    "collector.overlap=sometimes": ("collector.overlap=sometimes: must be true or false",),
    "collector=ray collector.overlap=true": ("collector.overlap=True: must be false with collector=ray",),
    "collector=ray devices=2": ("collector.actors=4: must be 0 with several devices",),
    "collector=ray env.vectorization=async": ("env.vectorization=async: must be sync with collector=ray",),
    "collector=ray collector.address=here": ("collector.address=here: must be HOST:PORT",),
    "collector.address=127.0.0.1:6379": ("collector.address=127.0.0.1:6379: must be HOST:PORT", "=ray"),
    "collector.actors=-1": ("collector.actors=-1: must be a whole number of at least 0",),
    "collector.collect_steps=0": ("collector.collect_steps=0: must be a whole number of at least 1",),
    "module.seed=5": ("module.seed=5: follows from another key of the config: set that one",),
    "data.batch_size=5": ("data.batch_size=5: follows from another key of the config: set that one",),
    "module._target_=os.system": ("module._target_=os.system: must lie under", "allowed_prefixes"),
    "data._target_=sac_lightning.SACModule": (
        "data._target_=sac_lightning.SACModule: must be a ReplayDataMo",
    ),
    "+data.foo=1": ("data=sac_lightning.ReplayDataModule: ", "'foo'"),
    "replay=mixed": ("replay.data=???: must be given",),
    "replay=mixed replay.data=[]": ("replay.data=[]: must name at least one run",),
    "replay=mixed replay.data=runs": (
        "replay.data=runs: must be a list of runs, .npz and .parquet files, and minari:ID",
    ),
    "replay.capacity=0": ("replay.capacity=0: must be a whole number of at least 1, or null",),
    "num_envs=2 replay.capacity=1": ("replay.capacity=1: must be a whole number of at least num_envs=2",),
    "replay.capacity=1.5": ("replay.capacity=1.5: must be a whole number",),
    "+trainer.gradient_clip_val=1": ("trainer.gradient_clip_val=1: clip", "optimizer.max_grad_norm"),
    "+trainer.accumulate_grad_batches=2": ("trainer.accumulate_grad_batches=2: use a larger batch_size=",),
    "trainer.accelerator=cpu": ("trainer.accelerator: use device=",),
    "trainer.max_step=100": ("Could not override 'trainer.max_step'", "Did you mean max_steps"),
    "+trainer.max_step=100": ("trainer=pytorch_lightning.Trainer: ", "Did you mean max_steps"),
    "callbacks.early_stopping.patience=3": (
        "Could not override 'callbacks.early_stopping.patience'",
        "It is a key of callbacks=early_stopping.",
    ),
    "callbacks.plots.every_n_epoch=3": (
        "Could not override 'callbacks.plots.every_n_epoch'",
        "Did you mean every_n_epochs?",
    ),
    "callbacks.best.monitor=eval/return": (
        "Could not override 'callbacks.best.monitor'. To append to your config use "
        "+callbacks.best.monitor=eval/return.",
    ),
    "+trainer.devices=2": ("trainer.devices=2: use devices=",),
    "devices=abc": ("devices=abc: must be a whole number of at least 1",),
    "devices=0": ("devices=0: must be a whole number of at least 1",),
    "devices=2 num_envs=3": ("num_envs=3: must be a multiple of devices=2, which share it equally",),
    "devices=2 num_envs=2 batch_size=33": ("batch_size=33: must be a multiple of devices=2",),
    "devices=2 num_envs=2 compile=true": ("compile=True: must be false with several devices",),
    "+trainer.foo=1": ("trainer=pytorch_lightning.Trainer: ", "'foo'"),
    "trainer.max_time=abc": ("trainer.max_time=abc: must be DD:HH:MM:SS",),
    "trainer.profiler=no": ("trainer=pytorch_lightning.Trainer: ", "simple"),
    "+env.kwargs.gravity=1": ("env.kwargs.gravity=1: Pendulum-v1 takes g",),
    "env=gym": ("env.id=???: must be given",),
    "env.action_mask=info": ("env.action_mask=info: is for choices; the declared actions are a Box of 1",),
    "replay=lap": ("value_head=ScalarValue: must learn by the Huber loss with replay=lap",),
    "random_shift=-1": ("random_shift=-1: must be a whole number of pixels in [0, 100]",),
    "encoder=cnn encoder.shared=true critic.encoder={_target_:sac_lightning.networks.Flat}": (
        "encoder.shared=True: needs the same encoder for actor and critics",
    ),
    "env.imports=[os]": ("env.imports=os: only gymnasium, sac_lightning may be imported",),
    "eval_episodes=0 callbacks=early_stopping callbacks.early_stopping.stopping_threshold=1": (
        "eval_episodes=0: callbacks.early_stopping watches eval/return_mean",
    ),
    "env.wrappers=[{name:NormalizeObservation}]": (
        "env.wrappers=NormalizeObservation: keeps running statistics",
        "leave it out and set normalization/obs=running",
    ),
    "callbacks=early_stopping": ("callbacks.early_stopping.stopping_threshold=???: must be given",),
    "callbacks.plots.every_n_epochs=0": ("callbacks.plots.every_n_epochs=0: must be a whole number",),
    "logger=wandb logger.wandb.mode=sometimes": ("logger.wandb.mode=sometimes: must be one of auto",),
    "task_name=../../elsewhere": ("task_name=../../elsewhere: must be text that names a folder",),
    "task_name=/tmp/elsewhere": ("task_name=/tmp/elsewhere: must be text that names a folder",),
    "alpha=auto,fixed": ("Ambiguous value for argument 'alpha=auto,fixed'", "--multirun"),
}
# Every top-level key with a value out of range and one of another type, and the sentence both get.
TOP_LEVEL = {
    "seed": (("-1", "1.5", "abc"), "must be a whole number of at least 0"),
    "total_env_steps": (("0", "abc"), "must be a whole number of at least 1"),
    "steps_per_epoch": (("0", "abc"), "must be a whole number of at least 1"),
    "eval_episodes": (("-1", "abc"), "must be a whole number of at least 0"),
    "eval_seed": (("-1", "1.5", "abc"), "must be a whole number of at least 0"),
    "eval_max_steps": (("0", "2.5", "abc"), "must be a whole number of at least 1, or null: no limit"),
    "eval_envs": (("0", "abc"), "must be a whole number of at least 1"),
    "learning_starts": (("-1", "abc"), "must be a whole number of at least 0"),
    "num_envs": (("0", "abc"), "must be a whole number of at least 1"),
    "devices": (("0", "abc"), "must be a whole number of at least 1"),
    "batch_size": (("0", "abc", "2.5", "true"), "must be a whole number of at least 1"),
    "utd_ratio": (("0", "abc"), "must be a number above 0"),
    "actor_delay": (("0", "1.5", "abc"), "must be a whole number of at least 1"),
    "random_shift": (("-1", "1.5"), "must be a whole number of pixels in [0, 100]"),
    "reset_every": (("0", "abc"), "must be a whole number of at least 1"),
    "gamma": (("1.5", "abc", "nan"), "must be a number in [0, 1)"),
    "tau": (("0", "abc"), "must be a number in (0, 1]"),
    "lr": (("-1", "abc"), "must be a number in (0, 1)"),
    "log_every_n_env_steps": (("0", "abc"), "must be a whole number of at least 1"),
    "print_config": (("yes",), "must be true or false"),
    "device": (("tpu", "5"), "must be auto, cpu, cuda or cuda:N"),
    "threads": (("0", "1.5"), "must be auto or a whole number of at least 1"),
    "compile": (("maybe", "5"), "must be auto, true or false"),
    "precision": (("64", "[1]"), "must be one of 32-true, bf16-mixed"),
    "tags": (("notalist", "[1]"), "must be a list of words"),
    "allowed_prefixes": (("os", "5"), "must be a list of packages"),
    "task_name": (("5", "[a]", "null"), "must be text that names a folder"),
}


def without(key: str) -> list[str]:
    return [argument for argument in TINY if not argument.startswith((f"{key}=", "logger="))]


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistake_is_told_in_one_line_before_any_env_is_made(
    arguments: str, train: Command, tmp_path: Path
) -> None:
    begins, *holds = MISTAKES[arguments]
    line = mistake(train(*TINY, *arguments.split(" "), makes_envs=False))
    assert line.startswith(begins)
    assert all(part in line for part in holds), line
    assert all((ROOT / file).is_file() for file in re.findall(r"conf/[\w/]+\.yaml", line)), line
    assert everything(tmp_path) == set()


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (values, _) in TOP_LEVEL.items() for value in values]
)
def test_top_level_key_names_what_it_allows(key: str, value: str, train: Command, tmp_path: Path) -> None:
    line = mistake(train(*without(key), f"{key}={value}", makes_envs=False))
    assert line.startswith(f"{key}=")
    assert TOP_LEVEL[key][1] in line
    assert everything(tmp_path) == set()


def test_every_top_level_key_of_the_config_is_in_the_table() -> None:
    lines = (ROOT / "conf" / "train.yaml").read_text().splitlines()
    keys = {line.partition(":")[0] for line in lines if line and line[0].isalpha()} - {"defaults"}
    assert keys - {"resume", "sweep"} == set(TOP_LEVEL)


def test_buffer_larger_than_the_memory_is_a_mistake_before_it_is_allocated(
    train: Command, tmp_path: Path
) -> None:
    line = mistake(train(*TINY, "replay.capacity=1000000000000"))  # a trillion transitions
    assert line.startswith("replay.capacity=1000000000000: needs ")
    assert "use at most" in line
    assert everything(tmp_path) == set()


def test_mistake_in_a_sweep_leaves_the_other_job_whole(train: Command, tmp_path: Path) -> None:
    ended = train("-m", "gamma=1.5,0.9", *TINY)
    assert ended.code == 2
    assert "error: gamma=1.5: must be a number in [0, 1)" in ended.err
    (sweep,) = (tmp_path / "multirun" / "Pendulum-v1").iterdir()
    seen = [json.loads((sweep / job / "summary.json").read_text()) for job in ("0", "1")]
    assert [each["status"] for each in seen] == ["failed", "done"]
    assert seen[0]["error"] == "ConfigError: gamma=1.5: must be a number in [0, 1), or auto"
    assert "Traceback" in (sweep / "0" / "train.log").read_text()


def test_process_with_a_mistake_ends_with_2_and_never_makes_its_env(
    tmp_path: Path, process_env: dict[str, str]
) -> None:
    cwd, marker = tmp_path / "cwd", tmp_path / "made"
    cwd.mkdir()
    named = ["env=gym", "env.id=Marker-v0", "env.imports=[faulty_envs]", "env.allowed_prefixes=[faulty_envs]"]
    line = [sys.executable, str(ROOT / "train.py"), "debug=fast", *named, "batch_size=0"]
    env = {**process_env, "MARKER": str(marker)}
    ended = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"error: batch_size=0: must be a whole number of at least 1{os.linesep}"
    assert ended.stdout == ""
    assert not marker.exists()
    assert everything(cwd) == set()
