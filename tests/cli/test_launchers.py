"""Every launcher runs the same two jobs to the same two results, in the same places."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from omegaconf import OmegaConf
from tests.cli.conftest import TINY, Server, everything, start
from tests.cli.sweeps import assert_same_result, summary

from sac_lightning.cli.sweep.multirun import Shares
from sac_lightning.core.errors import ConfigError

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
RAY = (sys.executable, "-m", "ray.scripts.scripts")
FREE = [*(each for each in TINY if not each.startswith("threads=")), "threads=auto"]
WITNESS = (
    *("+callbacks.witness._target_=witness.Threads", "+callbacks.witness.file=${paths.run_dir}/threads"),
    "allowed_prefixes=[witness]",
)
SWEEP = ("-m", "seed=0,1", "callbacks.plots=null", "hydra.sweep.dir=sweep", *WITNESS, *FREE)


def layout(sweep: Path) -> set[str]:
    """What the jobs have left; segments of the replay journal have random names."""
    found = {path for job in ("0", "1") for path in everything(sweep / job) if "segment-" not in path}
    return {path for path in found if "tmp" not in path}


@pytest.fixture(scope="module")
def one_after_another(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """The sweep of launcher=basic, each job with as many threads as it has beside another."""
    cwd = tmp_path_factory.mktemp("basic")
    ended = server.call("train", cwd, (*SWEEP, "launcher=basic", f"sweep.threads={max(1, CPUS // 2)}"))
    assert ended.code == 0, ended.err
    return cwd / "sweep"


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_two_jobs_side_by_side_end_as_one_after_another(
    launcher: str, one_after_another: Path, tmp_path: Path, process_env: dict[str, str]
) -> None:
    # Under submitit one job is preempted, after its first batch.
    preempt = {"PREEMPT": "1"} if launcher == "submitit_local" else {}
    env = {**process_env, **preempt}
    process = start("train.py", *SWEEP, f"launcher={launcher}", cwd=tmp_path, env=env)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    sweep = tmp_path / "sweep"
    table = out[out.rindex("overrides") :]
    for job in ("0", "1"):
        assert_same_result(sweep / job, one_after_another / job)
        assert summary(sweep / job)["status"] == "done"
        assert f"seed={job}" in table
        config = yaml.safe_load((sweep / job / "config.yaml").read_text())
        assert config["threads"] == max(1, CPUS // 2)  # two jobs share the CPUs
        resumed = "resuming at 30 env steps" in (sweep / job / "train.log").read_text()
        assert resumed == (preempt.get("PREEMPT") == job)
        assert (sweep / job / "threads").read_text() == str(max(1, CPUS // 2))
    assert layout(sweep) == layout(one_after_another)
    left = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]
    assert not psutil.wait_procs(left, timeout=20)[1]


@pytest.fixture
def ray_cluster(process_env: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """A running cluster of two CPUs: its address, and the environment of those who join it."""
    env = {**process_env, "RAY_AUTH_MODE": "disabled"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # the paths of its sockets must be short
        head = ("--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--block")
        rest = ("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={place}")
        line = [*RAY, "start", *head, *rest]
        cluster = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"127.0.0.1:{port}", env
        finally:
            cluster.terminate()
            cluster.wait(timeout=30)


@pytest.mark.slow
def test_running_ray_cluster_is_joined_and_left_alive(
    ray_cluster: tuple[str, dict[str, str]], one_after_another: Path, tmp_path: Path
) -> None:
    address, env = ray_cluster

    def status() -> int:
        asked = [*RAY, "status", f"--address={address}"]
        return subprocess.run(asked, env=env, capture_output=True, timeout=60, check=False).returncode

    ends = time.monotonic() + 60.0
    while status() != 0:
        assert time.monotonic() < ends, "the cluster does not answer"
    joined = ("launcher=ray", f"hydra.launcher.ray.init.address={address}")
    process = start("train.py", *SWEEP, *joined, f"sweep.threads={max(1, CPUS // 2)}", cwd=tmp_path, env=env)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    for job in ("0", "1"):
        assert_same_result(tmp_path / "sweep" / job, one_after_another / job)
    assert status() == 0


# Stand-ins for SLURM's programs: an array's jobs run one after another, on this machine.
SBATCH = """#!/bin/sh
cp "$1" "$SLURM_SEEN"
for task in 0 1; do
    SLURM_JOB_ID=7$task SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 \\
    SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here \\
    sh "$SLURM_SEEN" >"$SLURM_SEEN.$task" 2>&1
done >/dev/null 2>&1 &
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
    case "$1" in --output|--error) shift ;; esac
    shift
done
exec "$@"
"""


def test_slurm_gets_an_array_with_the_time_the_cpus_and_the_signal(
    one_after_another: Path, tmp_path: Path, process_env: dict[str, str]
) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", "#!/bin/sh\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    env = {**process_env, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{process_env['PATH']}"}
    env["SLURM_SEEN"] = str(tmp_path / "script.sh")
    asked = ("launcher=submitit", f"sweep.threads={max(1, CPUS // 2)}", "hydra.launcher.partition=night")
    process = start("train.py", *SWEEP, *asked, cwd=tmp_path, env=env)
    _, err = process.communicate(timeout=180)
    script = (tmp_path / "script.sh").read_text()
    assert process.returncode == 0, err
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    wanted = {"time=1440", f"cpus-per-task={max(1, CPUS // 2)}", "partition=night", "array=0-1%2"}
    assert wanted <= options, options
    assert any(each.startswith("signal=USR2@") for each in options)
    for job in ("0", "1"):
        assert_same_result(tmp_path / "sweep" / job, one_after_another / job)


def shares(at_once: object, threads: object, jobs: int) -> Shares:
    return Shares.of(OmegaConf.create({"at_once": at_once, "threads": threads}), jobs)


def test_jobs_side_by_side_share_the_cpus() -> None:
    assert shares(1, "auto", jobs=6) == Shares(1, CPUS)
    assert shares("auto", "auto", jobs=1) == Shares(1, CPUS)
    assert shares("auto", "auto", jobs=10 * CPUS) == Shares(CPUS, 1)
    assert shares("all", "auto", jobs=10 * CPUS) == Shares(10 * CPUS, 1)  # never less than one thread
    assert shares(2, 3, jobs=6) == Shares(2, 3)
    assert shares(8, "auto", jobs=2) == Shares(2, max(1, CPUS // 2))  # there are only two


@pytest.mark.parametrize(("at_once", "threads"), [(0, 1), ("some", 1), (1.5, 1), (1, 0), (1, "many")])
def test_shares_that_cannot_be_are_refused(at_once: object, threads: object) -> None:
    with pytest.raises(ConfigError, match=r"sweep\.(at_once|threads)="):
        shares(at_once, threads, jobs=2)
