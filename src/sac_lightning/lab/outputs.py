"""What the lab leaves on disk: a CSV and a figure for each experiment, the numbers, the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from sac_lightning.core.files import write_atomically
from sac_lightning.lab.experiment import Experiment
from sac_lightning.lab.page import LANGUAGES, Section, page
from sac_lightning.lab.quoted import Known, fill_document, fill_story, read_numbers, write_numbers
from sac_lightning.lab.stories_en import STORIES as ENGLISH
from sac_lightning.lab.stories_zh_tw import STORIES as CHINESE
from sac_lightning.lab.story import Story
from sac_lightning.lab.table import Table

STORIES = dict(zip((each.code for each in LANGUAGES), (ENGLISH, CHINESE), strict=True))
QUOTING = ("questions.md", "questions.zh-TW.md")


@dataclass(frozen=True)
class Outputs:
    """Files below one folder, `docs` in a checkout."""

    folder: Path

    def make_folders(self) -> None:
        """What the files lie in; an OSError where that cannot be written."""
        for name in ("lab", "figures"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder / name):
                pass

    def csv(self, experiment: Experiment) -> Path:
        """The experiment's table."""
        return self.folder / "lab" / f"{experiment.stem}.csv"

    def figure(self, experiment: Experiment) -> Path:
        """The figure drawn from it."""
        return self.folder / "figures" / f"{experiment.stem}.png"

    @property
    def numbers(self) -> Path:
        """All numbers that texts may quote, read from the tables."""
        return self.folder / "lab" / "numbers.csv"

    @property
    def discrete(self) -> Path:
        """Numbers of the benchmark of discrete targets, which takes longer than the lab."""
        return self.folder.parent / "benchmarks" / "results" / "discrete_targets_summary.csv"

    @property
    def page(self) -> Path:
        """Everything on one page."""
        return self.folder / "lab.html"

    def known(self) -> dict[str, float]:
        """Every number there is."""
        return read_numbers(self.numbers) | read_numbers(self.discrete)

    def draw(self, experiment: Experiment) -> None:
        """The experiment's figure and numbers, from its CSV alone."""
        table = Table.read(self.csv(experiment))
        experiment.draw(table, self.figure(experiment))
        found = {f"{experiment.letter}.{key}": float(v) for key, v in experiment.numbers(table).items()}
        others = {
            key: value
            for key, value in read_numbers(self.numbers).items()
            if not key.startswith(f"{experiment.letter}.")
        }
        write_numbers(self.numbers, dict(sorted((others | found).items())))

    def write_texts(self, experiments: Sequence[Experiment]) -> list[Path]:
        """The page of all experiments that have a table, and the documents' numbers; the files written."""
        known = self.known()
        sections = [self._section(each, known) for each in experiments if self.csv(each).exists()]
        text = page(sections)
        write_atomically(self.page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        documents = [self.folder / name for name in QUOTING if (self.folder / name).exists()]
        return [self.page, *(path for path in documents if fill_document(path, known))]

    def _section(self, experiment: Experiment, known: Known) -> Section:
        letter = experiment.letter
        told = {
            code: Story(*(fill_story(part, known) for part in stories[letter]))
            for code, stories in STORIES.items()
        }
        return Section(letter, self.figure(experiment).read_bytes(), told)
