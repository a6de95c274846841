"""A sweep: which folder it has, how its jobs share the machine, and how they are started."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sac_lightning.cli.launchers import check_launcher, is_pool, left_behind
from sac_lightning.cli.launching import Launched, LauncherFailed, launch_all
from sac_lightning.cli.paths import quoted
from sac_lightning.cli.status import DONE, FAILED, MISTAKE
from sac_lightning.cli.stopping import Interruption
from sac_lightning.cli.sweepfolder import SweepFolder, told_apart
from sac_lightning.core.errors import ConfigError, as_whole, require, whole
from sac_lightning.core.files import write_atomically
from sac_lightning.core.hardware import resolve_threads

Jobs = Sequence[Sequence[str]]
# Overrides that a sweep adds to its jobs.
ADDED = ("sweep.at_once", "sweep.threads", "callbacks.pruner")
EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"


@dataclass(frozen=True)
class Shares:
    """How many jobs run side by side, and the CPU threads of each."""

    at_once: int
    threads: int

    @classmethod
    def of(cls, asked: DictConfig, jobs: int) -> "Shares":
        """`asked` is the config's `sweep`. Raises ConfigError for values that cannot be meant."""
        cpus = resolve_threads("auto")
        at_once = {"auto": cpus, "all": jobs}.get(asked.at_once, as_whole(asked.at_once))
        allowed = "must be auto (one job for each CPU), all, or a whole number of at least 1"
        require(whole(at_once) >= 1, "sweep.at_once", asked.at_once, allowed)
        at_once = max(1, min(int(at_once), jobs))
        threads = max(1, cpus // at_once) if asked.threads == "auto" else as_whole(asked.threads)
        allowed = "must be auto (the CPUs divided by the jobs at once) or a whole number of at least 1"
        require(whole(threads) >= 1, "sweep.threads", asked.threads, allowed)
        return cls(at_once, int(threads))


class Multirun:
    """What Hydra hands to a sweeper, made ready for the jobs of one sweep."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = context, task, config
        require(isinstance(config.sweep.resume, bool), "sweep.resume", config.sweep.resume, "true or false")
        check_launcher(config)

    def parse(self, arguments: Iterable[str]) -> list[Override]:
        """`arguments` as Hydra reads them."""
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        self._leave_out_of_names(overrides)
        return overrides

    def _leave_out_of_names(self, overrides: Iterable[Override]) -> None:
        """A folder named by `override_dirname` must be found again by sweep.resume=true."""
        keys = [each.key_or_group for each in overrides if not told_apart([str(each.input_line)])]
        names = self.config.hydra.job.config.override_dirname
        excluded = dict.fromkeys([*names.exclude_keys, *keys, *ADDED])
        self._tell_jobs(f"{EXCLUDED}=[{','.join(map(quoted, excluded))}]")

    def share(self, jobs: int) -> Shares:
        """Divide the machine among `jobs`, and let each job and the launcher know."""
        shares = Shares.of(self.config.sweep, jobs)
        self._tell_jobs(f"sweep.at_once={shares.at_once}", f"sweep.threads={shares.threads}")
        self.config.sweep.at_once, self.config.sweep.threads = shares.at_once, shares.threads
        return shares

    def open_folder(self, identity: dict[str, Any]) -> SweepFolder:
        """The sweep's folder, new or gone on with. Raises ConfigError for one that cannot be used."""
        hydra = self.config.hydra
        given = any(each.startswith("hydra.sweep.dir=") for each in hydra.overrides.hydra)
        named = Path(str(hydra.sweep.dir)).absolute()
        resume = bool(self.config.sweep.resume)
        found = None if given or not resume else SweepFolder.newest(named.parent, identity)
        folder = found or SweepFolder(named)
        folder.begin(identity, resume)
        # Workers elsewhere have another clock and another working directory.
        self._tell_jobs(f"hydra.sweep.dir={quoted(str(folder.path))}")
        with read_write(hydra):
            hydra.sweep.dir = str(folder.path)
        text = OmegaConf.to_yaml(self.config)
        write_atomically(folder.path / "multirun.yaml", lambda file: file.write_text(text, encoding="utf-8"))
        return folder

    def subfolder(self, number: int, overrides: Sequence[str]) -> str:
        """Job `number`'s folder within the sweep's. Raises what Hydra does for a job that is not legal."""
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

    def launch(self, jobs: Jobs, first: int, paths: Sequence[Path]) -> int:
        """Run `jobs`, numbered from `first`, in `paths` to their ends; FAILED if the launcher itself did.

        MISTAKE if a job was not begun, because its folder holds something else. Raises KeyboardInterrupt
        after Ctrl-C, once the jobs have stopped in good order.
        """
        launched = [
            Launched(first + place, *each) for place, each in enumerate(zip(jobs, paths, strict=True))
        ]
        if not is_pool(self.config.hydra.launcher):  # jobs of submitit go on without it
            try:
                return self._launch(launched)
            except LauncherFailed as error:
                print(f"error: the launcher failed: {error}", file=sys.stderr)
                return FAILED
        with Interruption(Path(str(self.config.hydra.sweep.dir))) as interruption:
            return launch_all(partial(self._launch, interruption=interruption), launched)

    def _launch(self, jobs: Sequence[Launched], interruption: Interruption | None = None) -> int:
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task, config=self.config
        )
        try:
            returned = launcher.launch([job.overrides for job in jobs], initial_job_idx=jobs[0].number)
        except Exception as error:  # a worker that died, a cluster that does not answer
            if interruption is not None and interruption.asked:
                raise KeyboardInterrupt from None
            raise LauncherFailed(" ".join(str(error).split())) from None
        finally:
            left_behind()
        if interruption is not None and interruption.asked:
            raise KeyboardInterrupt
        refused = [each for each in returned if each.status != JobStatus.COMPLETED]
        for each in refused:
            print(f"error: {' '.join(str(each._return_value).split())}", file=sys.stderr)
        return MISTAKE if refused else DONE

    def _tell_jobs(self, *overrides: str) -> None:
        with read_write(self.config.hydra):
            self.config.hydra.overrides.hydra.extend(overrides)


def combinations(overrides: Iterable[Override]) -> list[list[str]]:
    """Every combination of the values of `a=1,2 b=x,y`, the last argument changing fastest."""
    jobs: list[list[str]] = [[]]
    for override in overrides:
        jobs = [[*job, value] for job in jobs for value in _values(override)]
    return jobs


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        told = "has no end of values: list them (a,b,c), or search with hparams_search=optuna"
        raise ConfigError(key, str(override.input_line).partition("=")[2], told)
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
