"""`replay=mixed`: what a run takes from an earlier one, and what config.yaml says of it."""

import json
from pathlib import Path

import yaml
from tests.cli.conftest import TINY, Command, everything, mistake

RUN = (*TINY, "env=cartpole", "callbacks.plots=null")


def test_a_run_takes_half_of_its_batches_from_an_earlier_one(train: Command, tmp_path: Path) -> None:
    assert train(*RUN, "hydra.run.dir=old").code == 0
    there = everything(tmp_path)
    line = mistake(train(*TINY, "env=pendulum", "replay=mixed", "replay.data=[old]", "hydra.run.dir=new"))
    assert line.startswith(
        f"replay.data={tmp_path / 'old'}: the observations of that run are ObsSpec(shape=(4,)"
    )
    assert everything(tmp_path) == there
    mix = ("replay=mixed", "replay.data=[old]", "replay.offline_steps=5")
    line = mistake(train(*RUN, *mix, "normalization/obs=running"))
    assert line.startswith("replay.offline_steps=5: must be 0 with normalization")
    mix = ("replay=mixed", "replay.data=[old]", "replay.offline_steps=35")
    ended = train(*RUN, *mix, "hydra.run.dir=new")
    assert ended.code == 0, ended.err
    config = yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())["replay"]
    assert config["data"] == [str(tmp_path / "old")] and len(config["sha256"][0]) == 64
    assert json.loads((tmp_path / "new" / "summary.json").read_text())["grad_steps"] == 35 + 40
    log = (tmp_path / "new" / "train.log").read_text()
    assert "prior data: 60 transitions of" in log and "prior data: 35 of 35 offline updates" in log
    # Whoever wrote a saved config must know the data.
    text = (tmp_path / "new" / "config.yaml").read_text()
    without = {**yaml.safe_load(text), "replay": {**config, "sha256": None}}
    (tmp_path / "new" / "config.yaml").write_text(yaml.safe_dump(without))
    assert mistake(train("resume=new", "total_env_steps=70")).startswith("replay.sha256=None: a saved config")
    (tmp_path / "new" / "config.yaml").write_text(text)
    # The earlier run goes on, and its data are others then.
    assert train("resume=old", "total_env_steps=70").code == 0
    typed = json.loads((tmp_path / "old" / "summary.json").read_text())["overrides"]
    assert {"env=cartpole", "total_env_steps=70"} <= set(typed) and "resume=old" not in typed
    line = mistake(train("resume=new", "total_env_steps=70"))
    assert line.startswith(f"replay.data={tmp_path / 'old'}: is not what it was: its sha256 is ")
