"""sac_lightning's whole loop, as `python train.py logger=csv` runs it, held between segments.

Progress, the CSV log and the checkpoint of every epoch are on; evaluations and pictures are off, since
what stands beside us makes none.
"""

import argparse
import sys
import tempfile

from sac_lightning.cli.train import command


def overrides(arguments: argparse.Namespace, folder: str) -> list[str]:
    """What a user would type, and one callback more."""
    return [
        "env=gym",
        f"env.id={arguments.env}",
        "logger=csv",
        f"compile={arguments.compile}",
        f"precision={arguments.precision}",
        f"threads={arguments.threads}",
        f"learning_starts={arguments.learning_starts}",
        "total_env_steps=10000000",
        "replay.capacity=100000",
        "callbacks.plots=null",
        "callbacks.best=null",
        "+trainer.limit_val_batches=0",
        f"+callbacks.segments={{_target_:segments.Segments,learning_starts:{arguments.learning_starts}}}",
        "allowed_prefixes=[segments]",
        f"hydra.run.dir={folder}",
        *arguments.overrides,
    ]


def main() -> None:
    """Trains until the command to quit, in a temporary run folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--learning-starts", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--overrides", nargs="*", default=[], help="more arguments of train.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [sys.argv[0], *overrides(arguments, folder)]
        sys.exit(command())


if __name__ == "__main__":
    main()
