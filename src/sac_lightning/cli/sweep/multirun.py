"""A sweep from its command line to its exit status: shares of the machine, folders, launch."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sac_lightning.cli.command_line import DONE, FAILED, MISTAKE, SweepEnded, quoted
from sac_lightning.cli.sweep.jobs import Job, defining_overrides, exit_status_of, open_folder, print_table
from sac_lightning.cli.sweep.pool import Interruption, LauncherFailed, launch_all
from sac_lightning.core.errors import ConfigError, as_whole, one_line, require, whole
from sac_lightning.core.fields import BOOL
from sac_lightning.core.files import write_atomically
from sac_lightning.core.hardware import resolve_threads
from sac_lightning.private.hydra import refusal

# Launchers whose jobs end with them, and where an exception of one job ends the others.
POOLS = ("JoblibLauncher", "RayLauncher")
# Overrides that a sweep adds to its jobs.
ADDED = ("sweep.at_once", "sweep.threads", "callbacks.pruner")


class Shares(NamedTuple):
    """How many jobs run side by side, and the CPU threads of each."""

    at_once: int
    threads: int

    @classmethod
    def of(cls, asked: DictConfig, jobs: int) -> "Shares":
        """Divide the CPUs. Raises ConfigError for a value of `asked`, the config's `sweep`, out of range."""
        cpus = resolve_threads("auto")
        at_once = asked.at_once
        at_once = cpus if at_once == "auto" else jobs if at_once == "all" else as_whole(at_once)
        allowed = "must be auto (one job for each CPU), all, or a whole number of at least 1"
        require(whole(at_once) >= 1, "sweep.at_once", asked.at_once, allowed)
        at_once = max(1, min(int(at_once), jobs))
        threads = max(1, cpus // at_once) if asked.threads == "auto" else as_whole(asked.threads)
        allowed = "must be auto (the CPUs divided by the jobs at once) or a whole number of at least 1"
        require(whole(threads) >= 1, "sweep.threads", asked.threads, allowed)
        return cls(at_once, int(threads))


def run_grid(multirun: "Multirun", arguments: list[str]) -> list[dict[str, Any]]:
    """Run every combination of the arguments' values, and return the summaries of all jobs.

    Raises ConfigError before any job, SweepEnded afterwards unless all jobs are done.
    """
    overrides = combinations(multirun.parse(arguments))
    multirun.share(len(overrides))
    places = [multirun.subfolder(number, each) for number, each in enumerate(overrides)]
    if len(set(places)) < len(places):
        allowed = "must differ from job to job: use ${hydra.job.num} or ${hydra.job.override_dirname} in it"
        raise ConfigError("hydra.sweep.subdir", places[0], allowed)
    folder = multirun.open_folder({"jobs": [defining_overrides(each) for each in overrides]})
    jobs = [Job(number, each, folder / places[number]) for number, each in enumerate(overrides)]
    try:
        code = multirun.launch(jobs)
    finally:
        print_table(jobs, folder)
    code = max(code, exit_status_of(jobs))
    if code != DONE:
        raise SweepEnded(code)
    return [job.summary for job in jobs]


def combinations(overrides: Iterable[Override]) -> list[list[str]]:
    """Return every combination of the values of `a=1,2 b=x,y`, the last argument changing fastest."""
    jobs: list[list[str]] = [[]]
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
        else:
            allowed = "has no end of values: list them (a,b,c), or search with hparams_search=optuna"
            raise ConfigError(key, str(override.input_line).partition("=")[2], allowed)
        jobs = [[*job, f"{key}={value}"] for job in jobs for value in values]
    return jobs


class Multirun:
    """Prepares and launches the jobs of one sweep with what Hydra gives to a sweeper."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = context, task, config
        launcher = config.hydra.launcher
        target = str(launcher.get("_target_", ""))
        self.is_pool = target.endswith(POOLS)
        BOOL.check("sweep.resume", config.sweep.resume)
        require(config.devices == 1, "devices", config.devices, "must be 1 in a sweep (-m)")
        if target.endswith("SlurmLauncher") and shutil.which("srun") is None:
            allowed = "needs SLURM, and srun is not found here; launcher=submitit_local runs jobs here"
            raise ConfigError("launcher", "submitit", allowed)
        # hydra/launcher=joblib: its own number of workers counts. launcher=joblib refers to sweep.at_once.
        if "n_jobs" in launcher and not OmegaConf.is_interpolation(launcher, "n_jobs"):
            config.sweep.at_once = launcher.n_jobs if launcher.n_jobs > 0 else "auto"

    def parse(self, arguments: Iterable[str]) -> list[Override]:
        """Return `arguments` as Hydra reads them."""
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        # A folder named by `override_dirname` must be found again by sweep.resume=true.
        keys = [each.key_or_group for each in overrides if not defining_overrides([str(each.input_line)])]
        names = self.config.hydra.job.config.override_dirname
        excluded = ",".join(map(quoted, dict.fromkeys([*names.exclude_keys, *keys, *ADDED])))
        self._add_to_jobs(f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]")
        return overrides

    def share(self, jobs: int) -> Shares:
        """Divide the machine among `jobs`, and pass the shares to each job and to the launcher."""
        shares = Shares.of(self.config.sweep, jobs)
        self._add_to_jobs(f"sweep.at_once={shares.at_once}", f"sweep.threads={shares.threads}")
        self.config.sweep.at_once, self.config.sweep.threads = shares
        return shares

    def open_folder(self, identity: dict[str, Any]) -> Path:
        """Return the sweep's folder, new or continued. Raises ConfigError for one that cannot be used."""
        hydra = self.config.hydra
        given = any(each.startswith("hydra.sweep.dir=") for each in hydra.overrides.hydra)
        new = Path(str(hydra.sweep.dir)).absolute()
        folder = open_folder(new if given else None, new, identity, bool(self.config.sweep.resume))
        # Workers elsewhere have another clock and another working directory.
        self._add_to_jobs(f"hydra.sweep.dir={quoted(str(folder))}")
        with read_write(hydra):
            hydra.sweep.dir = str(folder)
        text = OmegaConf.to_yaml(self.config)
        write_atomically(folder / "multirun.yaml", lambda file: file.write_text(text, encoding="utf-8"))
        return folder

    def subfolder(self, number: int, overrides: Sequence[str]) -> str:
        """Return job `number`'s folder in the sweep's. Raises what Hydra does for a job that is not legal."""
        composed = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed), read_write(composed.hydra):
            composed.hydra.job.id, composed.hydra.job.num = str(number), number
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(composed)
        try:
            subdir = str(OmegaConf.select(composed, "hydra.sweep.subdir"))
        finally:
            HydraConfig.instance().cfg = before
        inside = ".." not in Path(subdir).parts and not Path(subdir).is_absolute()
        require(inside, "hydra.sweep.subdir", subdir, "must name a folder within the sweep's, without '..'")
        return subdir

    def launch(self, jobs: Sequence[Job]) -> int:
        """Run `jobs`, whose numbers are consecutive, to their ends.

        Returns FAILED if the launcher itself failed, MISTAKE if a job's folder contains something else.
        Raises KeyboardInterrupt after Ctrl-C, once the jobs have saved a checkpoint.
        """
        if not self.is_pool:  # jobs of submitit continue without it
            try:
                return self._launch(jobs)
            except LauncherFailed as error:
                print(f"error: the launcher failed: {error}", file=sys.stderr)
                return FAILED
        with Interruption(Path(str(self.config.hydra.sweep.dir))) as interruption:
            return launch_all(partial(self._launch, interruption=interruption), jobs)

    def _launch(self, jobs: Sequence[Job], interruption: Interruption | None = None) -> int:
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task, config=self.config
        )
        try:
            returned = launcher.launch([job.overrides for job in jobs], initial_job_idx=jobs[0].number)
        except Exception as error:  # a worker that died, a cluster that does not answer
            if interruption is not None and interruption.asked:
                raise KeyboardInterrupt from None
            raise LauncherFailed(one_line(error)) from None
        finally:
            ray = sys.modules.get("ray")
            if ray is not None and ray.is_initialized():  # a local cluster, or one that was joined
                ray.shutdown()
        if interruption is not None and interruption.asked:
            raise KeyboardInterrupt
        refused = [each for each in returned if each.status != JobStatus.COMPLETED]
        for each in refused:
            print(f"error: {refusal(each)}", file=sys.stderr)
        return MISTAKE if refused else DONE

    def _add_to_jobs(self, *overrides: str) -> None:
        with read_write(self.config.hydra):
            self.config.hydra.overrides.hydra.extend(overrides)
