"""Run the entropy lab: train the small agents, draw every figure, write the page and the documents' numbers.

    python lab.py                          everything, in minutes on two cores
    python lab.py only=a,d                 some experiments
    python lab.py budget=0.1 out=quick     a quick look
    python lab.py measure=false            figures, page and documents from the CSVs that are there

Arguments:
    seed=0         the first seed of every experiment: the same seed gives the same files
    only=null      null: all experiments; or some of their letters, such as a,d
    budget=1.0     a share of the training, above 0; less than 1 is no basis for a conclusion
    jobs=auto      the number of processes side by side, one thread each; auto: one per core, at most two
    measure=true   false: no training
    out=docs       where figures/, lab/ and lab.html are written, and the documents whose numbers are renewed
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sac_lightning.core.errors import ConfigError, as_whole, did_you_mean, number, require, whole

if TYPE_CHECKING:
    from entropy_lab.experiment import Experiment
    from entropy_lab.outputs import Outputs

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
ARGUMENTS = ("seed", "only", "budget", "jobs", "measure", "out")
# More would be quicker, but the times in the documents are for two.
MOST_JOBS = 2


@dataclass(frozen=True)
class Options:
    """The arguments of the command, checked; see the module's docstring."""

    seed: int
    only: tuple[str, ...] | None
    budget: float
    jobs: int
    measure: bool
    out: Path

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Options":
        """Read `key=value` arguments. Raises ConfigError for a mistake."""
        given: dict[str, str] = {}
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if not equals or key not in ARGUMENTS:
                near = did_you_mean(key, ARGUMENTS) or f" Known are {', '.join(ARGUMENTS)}."
                raise ConfigError(key, value, f"is no argument of the lab.{near}")
            given[key] = value
        seed, budget = _number(given.get("seed", "0")), _number(given.get("budget", "1"))
        require(whole(seed) >= 0, "seed", seed, "must be a whole number of at least 0")
        require(0.0 < number(budget) <= 1.0, "budget", budget, "must be a number in (0, 1]")
        jobs = _number(given.get("jobs", "auto"))
        require(
            jobs == "auto" or whole(jobs) >= 1, "jobs", jobs, "must be auto or a whole number of at least 1"
        )
        measure = given.get("measure", "true")
        require(measure in ("true", "false"), "measure", measure, "must be true or false")
        only, out = given.get("only", "null"), given.get("out", "docs")
        require(bool(out), "out", out, "must name a folder")
        return cls(
            seed=int(seed),
            only=None if only == "null" else tuple(letter.strip() for letter in only.split(",")),
            budget=float(budget),
            jobs=min(MOST_JOBS, os.cpu_count() or 1) if jobs == "auto" else int(jobs),
            measure=measure == "true",
            out=Path(out).expanduser(),
        )


def main() -> None:
    """Run the command; exit with 0 done, 1 failed, 2 a mistake in the arguments, 130 interrupted."""
    sys.exit(command(sys.argv[1:]))


def command(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status; a mistake is one line on stderr."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return DONE
    try:
        return _run(Options.parse(arguments))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        return INTERRUPTED


def _number(text: str) -> Any:
    """`text` as a number if it is one; 1e3 is a whole number."""
    try:
        return as_whole(float(text))
    except ValueError:
        return text


def _run(options: Options) -> int:
    from entropy_lab.outputs import Outputs
    from entropy_lab.runner import EXPERIMENTS, JobFailed

    chosen, outputs = _chosen(options.only, EXPERIMENTS), Outputs(options.out)
    if options.measure:
        _make_folders(outputs)
        try:
            _measure(chosen, outputs, options)
        except JobFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED
    for each in chosen:
        path = outputs.csv(each)
        require(path.exists(), "measure", "false", f"there is no {path}: run with measure=true")
        outputs.draw(each)
        print(outputs.figure(each))
    for path in outputs.write_texts(EXPERIMENTS):
        print(path)
    return DONE


def _chosen(only: tuple[str, ...] | None, experiments: "Sequence[Experiment]") -> "list[Experiment]":
    known = [each.letter for each in experiments]
    allowed = f"must be letters of {', '.join(known)}, such as only=a,d"
    require(only is None or set(only) <= set(known), "only", ",".join(only or ()), allowed)
    return [each for each in experiments if only is None or each.letter in only]


def _make_folders(outputs: "Outputs") -> None:
    """Before minutes of training whose rows could not be written."""
    try:
        outputs.make_folders()
    except OSError as error:
        advice = f"cannot be written ({error.strerror}): name another folder"
        raise ConfigError("out", outputs.folder, advice) from None


def _measure(chosen: "list[Experiment]", outputs: "Outputs", options: Options) -> None:
    from entropy_lab.runner import run

    began = time.monotonic()
    count = sum(len(each.jobs(options.seed, options.budget)) for each in chosen)
    print(f"{len(chosen)} experiments, {count} jobs, {options.jobs} side by side", flush=True)
    with closing(run(chosen, options.seed, options.budget, options.jobs)) as jobs:
        for i, finished in enumerate(jobs, start=1):
            elapsed = time.monotonic() - began
            left = elapsed / finished.done - elapsed
            label = f"{finished.experiment.letter}  {finished.job.label}"
            print(f"{i:3}/{count}  {label:<38} {_clock(elapsed)}, about {_clock(left)} left", flush=True)
            if finished.table is not None:
                finished.table.write(outputs.csv(finished.experiment))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    main()
