"""Run the jobs of all experiments, some side by side, each on one thread."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass

from entropy_lab import (
    expectation,
    gradients,
    old_data,
    schedules,
    squashed,
    targets,
    thermostat,
    two_peaks,
)
from entropy_lab.experiment import Experiment, Job, Rows, Table

EXPERIMENTS = (
    thermostat.EXPERIMENT,
    targets.EXPERIMENT,
    schedules.EXPERIMENT,
    squashed.EXPERIMENT,
    gradients.EXPERIMENT,
    two_peaks.EXPERIMENT,
    expectation.EXPERIMENT,
    old_data.EXPERIMENT,
)


class JobFailed(Exception):
    """A job of an experiment ended with an error; the message is one line."""

    def __init__(self, experiment: Experiment, job: Job, error: BaseException) -> None:
        text = " ".join(str(error).split())
        super().__init__(f"{experiment.letter}, {job.label}: {type(error).__name__}: {text}")


@dataclass(frozen=True)
class Finished:
    """A job that has ended, the share of all work now done, and its experiment's table if complete."""

    experiment: Experiment
    job: Job
    done: float
    table: Table | None


def run(
    experiments: Sequence[Experiment], seed: int, budget: float, side_by_side: int
) -> Generator[Finished]:
    """Run all jobs, the longest first, so that no core idles at the end. Raises JobFailed at the first error.

    Neither the order nor `side_by_side` changes a table: every job has its own random generators.
    """
    planned = [(each, list(each.jobs(seed, budget))) for each in experiments]
    work = [(each, i, job) for each, jobs in planned for i, job in enumerate(jobs)]
    work.sort(key=lambda item: -item[2].seconds)
    whole = sum(job.seconds for _, _, job in work)
    rows: dict[str, dict[int, Rows]] = {each.letter: {} for each in experiments}
    sizes = {each.letter: len(jobs) for each, jobs in planned}
    done = 0.0
    with closing(_answers([job for _, _, job in work], min(side_by_side, len(work)))) as answers:
        for at, answer in answers:
            experiment, i, job = work[at]
            try:
                rows[experiment.letter][i] = answer()
            except Exception as error:
                raise JobFailed(experiment, job, error) from error
            done += job.seconds
            own = rows[experiment.letter]
            complete = len(own) == sizes[experiment.letter]
            table = Table.of([row for i in sorted(own) for row in own[i]]) if complete else None
            yield Finished(experiment, job, done / whole, table)


def _answers(jobs: Sequence[Job], side_by_side: int) -> Generator[tuple[int, Callable[[], Rows]]]:
    """The index of each job that has ended, and a function that returns its rows or raises its error."""
    if side_by_side == 1:
        one_thread()
        yield from ((i, job.run) for i, job in enumerate(jobs))
        return
    # Spawned, not forked: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(side_by_side, mp_context=context, initializer=one_thread) as pool:
        try:
            with _ignoring_interrupts():
                futures: dict[Future[Rows], int] = {pool.submit(job.run): i for i, job in enumerate(jobs)}
            for future in as_completed(futures):
                yield futures[future], future.result
        except BaseException:  # nobody waits for the rest
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started here ignore Ctrl-C: their parent ends them, without a traceback from each."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def one_thread() -> None:
    """Use one thread: more threads than cores slow each other down, and small networks gain nothing.

    Freed memory is kept, for eager updates.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    import torch

    from sac_lightning.core.hardware import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
