"""What is imported when: PyTorch and Lightning take seconds, and not every command needs them."""

import subprocess
import sys
from pathlib import Path

import pytest

import sac_lightning


@pytest.mark.parametrize("module", ["cli.train", "cli.sweep.multirun", "cli.report"])
def test_a_command_begins_without_pytorch(module: str) -> None:
    told = f"import sys, sac_lightning.{module}; print([m for m in ('torch', 'scipy') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_public_names_are_there_when_asked_for() -> None:
    assert {*sac_lightning.__all__} <= {*dir(sac_lightning)}
    for name in sac_lightning.__all__:
        assert getattr(sac_lightning, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'SACmodule'"):
        _ = sac_lightning.SACmodule


# Our own modules see `sys`, `os` and `signal` as they are on a system without POSIX.
ELSEWHERE = """
import builtins, os, signal, sys, types
from importlib import import_module
from pkgutil import walk_packages
import gymnasium, hydra, joblib, matplotlib, psutil, pytorch_lightning, torch, wandb, yaml

posix = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
lacking = {
    "os": {"O_NOFOLLOW", "O_NONBLOCK", "fork", "geteuid", "getuid", "register_at_fork", "sched_getaffinity"},
    "signal": {"SIGKILL", "SIGHUP", "SIGALRM", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait"},
    "sys": set(),
}

class Seen(types.ModuleType):
    def __getattr__(self, name):
        if name in lacking[self.__name__]:
            raise AttributeError(name)
        return getattr(sys.modules[self.__name__], name)

seen = {name: Seen(name) for name in lacking}
seen["sys"].platform = "win32"
locking = types.ModuleType("msvcrt")
locking.LK_NBLCK, locking.locking = 2, lambda handle, mode, length: None
sys.modules["msvcrt"] = locking
real = builtins.__import__

def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    ours = str((globals or {}).get("__name__")).startswith(("sac_lightning", "hydra_plugins.sac"))
    if ours and name in posix:
        raise ImportError(name)
    is_seen = ours and name in seen and not fromlist
    return seen[name] if is_seen else real(name, globals, locals, fromlist, level)

builtins.__import__ = guarded
import sac_lightning, sac_lightning_report
for package in (sac_lightning, sac_lightning_report):
    for each in walk_packages(package.__path__, package.__name__ + "."):
        import_module(each.name)
from sac_lightning.cli.train import command
code = command()
"""


def test_a_run_needs_nothing_that_posix_systems_alone_have(tmp_path: Path) -> None:
    tiny = (
        "debug=fast",
        "threads=1",
        "logger=csv",
        "eval_episodes=1",
        "total_env_steps=60",
        "hydra.run.dir=run",
    )
    line = [
        sys.executable,
        "-c",
        f"{ELSEWHERE}sys.exit(code)",
        *tiny,
        "learning_starts=20",
        "steps_per_epoch=30",
    ]
    ran = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert '"status": "done"' in (tmp_path / "run" / "summary.json").read_text()
