"""`-m` without a search: every combination, to the end of the last job."""

from typing import Any

from sac_lightning.cli.results import JobResult, tell, worst
from sac_lightning.cli.status import DONE, SweepEnded
from sac_lightning.cli.sweep import Multirun, combinations
from sac_lightning.cli.sweepfolder import told_apart
from sac_lightning.core.errors import ConfigError


def run_grid(multirun: Multirun, arguments: list[str]) -> list[dict[str, Any]]:
    """The summaries of all jobs. Raises SweepEnded unless all are done, ConfigError before any begins."""
    jobs = combinations(multirun.parse(arguments))
    multirun.share(len(jobs))
    places = [multirun.subfolder(number, job) for number, job in enumerate(jobs)]
    if len(set(places)) < len(places):
        told = "must differ from job to job: use ${hydra.job.num} or ${hydra.job.override_dirname} in it"
        raise ConfigError("hydra.sweep.subdir", places[0], told)
    folder = multirun.open_folder({"jobs": [told_apart(job) for job in jobs]})

    paths = [folder.path / place for place in places]

    def results() -> list[JobResult]:
        named = enumerate(zip(jobs, paths, strict=True))
        return [JobResult.read(number, job, path) for number, (job, path) in named]

    try:
        code = multirun.launch(jobs, 0, paths)
    finally:
        tell(results(), folder.path)
    code = max(code, worst(results()))
    if code != DONE:
        raise SweepEnded(code)
    return [result.summary for result in results()]
