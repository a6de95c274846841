"""A process that runs one command after the other, so that a hundred of them start Python once.

Each line of stdin is a JSON object: module, arguments, cwd, makes_envs, hides (packages that it shall not
find). Each line of stdout answers: code, out, err. It is a process of its own because the tests' own one
checks every annotation of the package, and what people type at a command line has any type.
"""

import json
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, TextIO

import gymnasium as gym
import omegaconf.base

REAL_MAKE = gym.make
# All commands parse the same interpolations; a parse tree is only read.
omegaconf.base.parse = cache(omegaconf.base.parse)


def refuse(*arguments: Any, **options: Any) -> None:
    """Stands for `gymnasium.make` where no env may be made."""
    raise AssertionError("an env was made")


@contextmanager
def captured(texts: dict[str, str]) -> Any:
    """Everything written to the two output streams, also by code that is not Python's."""
    files = {number: tempfile.TemporaryFile("w+") for number in (1, 2)}  # noqa: SIM115 - open as long as the streams are
    kept = {number: os.dup(number) for number in files}
    for number, file in files.items():
        os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        for (number, file), name in zip(files.items(), ("out", "err"), strict=True):
            (sys.stdout, sys.stderr)[number - 1].flush()
            os.dup2(kept[number], number)
            os.close(kept[number])
            file.seek(0)
            texts[name] = file.read()
            file.close()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run one command."""
    os.chdir(request["cwd"])
    sys.argv = [f"{request['module']}.py", *request["arguments"]]
    gym.make = REAL_MAKE if request["makes_envs"] else refuse
    texts: dict[str, str] = {}
    hidden = {name: sys.modules.get(name) for name in request["hides"]}
    sys.modules.update(dict.fromkeys(hidden))
    with captured(texts):
        try:
            code = import_module(f"sac_lightning.cli.{request['module']}").command()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    for name, module in hidden.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module
    return {"code": code, **texts}


def serve(replies: TextIO) -> None:
    """Until stdin is closed."""
    for line in sys.stdin:
        replies.write(json.dumps(answer(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as replies:
        serve(replies)
