"""Every launcher runs the same two jobs to the same two results, in the same places."""

import os
from pathlib import Path

import psutil
import pytest
import yaml
from omegaconf import OmegaConf
from tests.cli.conftest import TINY, Server, everything, start
from tests.cli.sweeps import assert_same_result, summary

from sac_lightning.cli.sweep import Shares
from sac_lightning.errors import ConfigError

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
FREE = [each for each in TINY if not each.startswith("threads=")]
SWEEP = ("-m", "seed=0,1", "callbacks.plots=null", "hydra.sweep.dir=sweep", *FREE)


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
    process = start("train.py", *SWEEP, f"launcher={launcher}", cwd=tmp_path, env=process_env)
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
    assert layout(sweep) == layout(one_after_another)
    left = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]
    assert not psutil.wait_procs(left, timeout=20)[1]


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
