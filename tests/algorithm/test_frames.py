"""How far it is from Lightning's `training_step` to the equation of the critic's loss."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

# Without the type checker, whose wrappers stand between.
RAISES = """
    import json, sys, traceback
    sys.path.insert(0, sys.argv[1])
    import torch
    from sac_lightning import ReplayDataModule
    from sac_lightning.networks import ScalarValue
    from tasks import fit

    # A target of another size than the mini-batch: the subtraction in the loss raises.
    ScalarValue.target = lambda self, reward, *rest: torch.zeros(len(reward) + 1)
    ScalarValue.target_mean = lambda self, target: torch.zeros(())
    try:
        fit(ReplayDataModule("Pendulum-v1", total_env_steps=40, steps_per_epoch=40, learning_starts=20))
    except RuntimeError as error:
        frames = [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    names = [name for _, name in frames]
    print(json.dumps([each for each in frames[names.index("training_step"):] if "sac_lightning" in each[0]]))
"""


def test_an_error_in_the_critic_loss_is_four_frames_and_three_files_from_training_step() -> None:
    line = [sys.executable, "-c", textwrap.dedent(RAISES), str(Path(__file__).parents[1])]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    frames = json.loads(ran.stdout.splitlines()[-1])
    names = ["training_step", "update", "critic_loss", "critic_loss"]
    assert [name for _, name in frames] == names
    files = ["module.py", "sac.py", "sac.py", "losses.py"]
    assert [Path(file).name for file, _ in frames] == files
