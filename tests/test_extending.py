"""docs/extending.md quotes examples/thermostat, whose parts are trained from the outside, each and all."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sac_lightning.core.hardware import has_compiler

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "thermostat"
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^`((?:src|conf)/[\w/.]+)`\n\n```\w+\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
# Where a checkpoint says which class each group has.
PARTS = {
    "encoder=symlog": ("critic.encoder", "Symlog"),
    "torso=residual": ("critic.torso", "Residual"),
    "value_head=huber": ("critic.value_head", "HuberValue"),
    "pessimism=partly_min": ("critic.pessimism", "PartlyMin"),
    "target_network=half_life": ("critic.target_network", "HalfLife"),
    "optimizer=warm_up": ("actor.optimizer", "WarmUp"),
    "normalization/obs=centred": ("obs_normalization", "Centred"),
    "normalization/reward=largest_return": ("reward_normalization", "LargestReturn"),
    "head=constant_std": ("head", "ConstantStd"),
    "alpha=halving": ("temperature", "Halving"),
    "target_entropy=width": ("temperature.target_entropy", "Width"),
    "replay=recent": ("", "RecentReplay"),
}
TINY = (
    *("debug=fast", "threads=1", "device=cpu", "logger=csv", "eval_episodes=1"),
    *("total_env_steps=60", "learning_starts=20", "steps_per_epoch=30", "log_every_n_env_steps=10"),
)


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    folder: Path

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = torch.load(self.folder / "checkpoints/last.ckpt", weights_only=True)
        return content

    def kind(self, path: str) -> str:
        """The class of the part at `path` of the checkpoint's hyperparameters."""
        described = self.content()["hyper_parameters"]
        for key in path.split("."):
            described = described[key]
        return str(described["kind"])


def command(script: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join((str(ROOT / "src"), str(EXAMPLE / "src")))
    env = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"}
    line = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def train(cwd: Path, *arguments: str, conf: Path = EXAMPLE / "conf") -> Run:
    given = {argument.partition("=")[0] for argument in arguments}
    tiny = (argument for argument in TINY if argument.partition("=")[0] not in given)
    line = ("--config-dir", str(conf), *tiny, *arguments)
    done = command("train.py", *line, f"hydra.run.dir={cwd / 'run'}", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return Run(cwd / "run")


@pytest.fixture(scope="module")
def all_parts(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("all"), "experiment=own_parts")


def test_every_quoted_file_is_the_files_own_text() -> None:
    for name, block in QUOTED:
        text = (EXAMPLE / name).read_text(encoding="utf-8")
        assert (
            text.partition('"""\n\n')[2].strip() == block if name.endswith(".py") else text.strip() == block
        )


def test_every_part_of_the_example_is_quoted_and_every_group_has_one() -> None:
    quoted = {name for name, _ in QUOTED}
    sources = {path.name for path in (EXAMPLE / "src/thermostat").glob("*.py")} - {"__init__.py", "env.py"}
    assert {Path(name).name for name in quoted if name.endswith(".py")} == sources
    options = {"conf/" + key.replace("=", "/") + ".yaml" for key in PARTS}
    assert {name for name in quoted if name.endswith(".yaml")} == options
    groups = {key.partition("=")[0] for key in PARTS}
    listed = set(re.findall(r"^\| \[?`([\w/]+)`", TEXT, re.MULTILINE)) - {"env"}
    assert listed == groups
    swapped = {path for path in groups if (ROOT / "conf" / path).is_dir()}
    assert swapped == groups


def test_the_page_lists_every_option_that_ships() -> None:
    for group, _, _, ships in re.findall(
        r"^\| \[`([\w/]+)`\](\S+) \| (.*?) \| .* \| (.*?) \|$", TEXT, re.MULTILINE
    ):
        if "](" not in ships:
            there = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
            assert set(re.findall(r"`(\w+)`", ships)) == there


def test_all_parts_train_at_once(all_parts: Run) -> None:
    summary = json.loads((all_parts.folder / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"], summary["resume"]) == ("done", 60, "exact")
    for option, (path, kind) in PARTS.items():
        if path and option != "alpha=halving":  # its own run: it has no target entropy
            assert all_parts.kind(path) == kind
    config = yaml.safe_load((all_parts.folder / "config.yaml").read_text())
    assert config["replay"]["_target_"] == "thermostat.replay.RecentReplay"
    weights = all_parts.content()["state_dict"]
    assert weights["sac.normalize_obs.statistics.count"] == 60.0
    assert weights["sac.normalize_reward.statistics.value"] > 1.0  # moved from where it began
    evaluated = command(
        "eval.py", "run=run", "episodes=1", "allowed_prefixes=[thermostat]", cwd=all_parts.folder.parent
    )
    assert evaluated.returncode == 0, evaluated.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run for each part, all of one process."""
    folder = tmp_path_factory.mktemp("alone")
    script = folder / "all.py"
    script.write_text(
        "import sys\nfrom sac_lightning.cli.train import command\n"
        f"for option in {list(PARTS)}:\n"
        "    run = 'hydra.run.dir=' + option.replace('/', '_').replace('=', '_')\n"
        f"    conf = ['--config-dir', {str(EXAMPLE / 'conf')!r}, 'env=thermostat']\n"
        f"    sys.argv[1:] = [*conf, *{TINY}, option, run]\n"
        "    assert command() == 0\n"
    )
    done = command(str(script), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("option", PARTS)
def test_each_part_trains_alone(option: str, alone: Path) -> None:
    run = Run(alone / re.sub("[/=]", "_", option))
    path, kind = PARTS[option]
    if path:
        assert run.kind(path) == kind
    else:
        assert yaml.safe_load((run.folder / "config.yaml").read_text())["replay"]["_target_"].endswith(kind)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"]) == ("done", 60)


def test_all_parts_continue_to_the_bit(all_parts: Run, tmp_path: Path) -> None:
    train(tmp_path, "experiment=own_parts", "total_env_steps=30")
    more = (f"resume={tmp_path / 'run'}", "total_env_steps=60", "allowed_prefixes=[thermostat]")
    done = command("train.py", *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content, expected = Run(tmp_path / "run").content(), all_parts.content()
    assert content["state_dict"].keys() == expected["state_dict"].keys()
    for name, value in expected["state_dict"].items():
        assert torch.equal(content["state_dict"][name], value), name
    assert content["lr_schedulers"] == expected["lr_schedulers"]


@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
def test_all_parts_compile(all_parts: Run, tmp_path: Path) -> None:
    run = train(tmp_path, "experiment=own_parts", "compile=true")
    assert "could not compile" not in (run.folder / "train.log").read_text()
    weights, expected = run.content()["state_dict"], all_parts.content()["state_dict"]
    # The same run but for the order of sums in float32.
    for name in ("sac.actor.output.weight", "sac.critic.output.weight", "sac.log_alpha"):
        torch.testing.assert_close(weights[name], expected[name], rtol=1e-3, atol=1e-3)


def test_a_mistake_is_told_as_the_page_shows(tmp_path: Path) -> None:
    (line, message) = re.findall(r"^    \$ (python train\.py .*)\n    (error: .*)$", TEXT, re.MULTILINE)[0]
    done = command(
        *(word.replace("examples/", f"{ROOT}/examples/") for word in line.split()[1:]), cwd=tmp_path
    )
    assert (done.returncode, done.stderr.strip()) == (2, message)
    assert list(tmp_path.iterdir()) == []


def test_a_part_for_one_network_alone(tmp_path: Path) -> None:
    (block,) = re.findall(r"^    ```yaml\n(.*?)\n    ```$", TEXT, re.MULTILINE | re.DOTALL)
    conf = tmp_path / "conf" / "experiment"
    conf.mkdir(parents=True)
    (conf / "mine.yaml").write_text(re.sub("^    ", "", block, flags=re.MULTILINE))
    run = train(tmp_path, "experiment=mine", "allowed_prefixes=[thermostat]", conf=tmp_path / "conf")
    assert (run.kind("critic.torso"), run.kind("actor.torso")) == ("Residual", "Mlp")


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"\n\n```python\n(from sac_lightning import .*?)```", TEXT, re.DOTALL)[:1]
    assert "module = SACModule(" in program
    script = tmp_path / "program.py"
    script.write_text(f"{program}\nprint(module.critic_config.value_head, data.replay.window)\n")
    done = command(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "HuberValue(delta=1.0) 5000"


def test_every_link_of_the_page_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = link.partition("#")
        file = ROOT / "docs" / path if path else ROOT / "docs" / "extending.md"
        assert file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, (
                link
            )
