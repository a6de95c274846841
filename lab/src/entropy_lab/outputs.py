"""Write what the lab leaves on disk: a CSV and a figure for each experiment, the numbers, the page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from entropy_lab.chinese import CHINESE
from entropy_lab.english import ENGLISH
from entropy_lab.experiment import Experiment, Rows, Table
from entropy_lab.texts import Known, Story, fill_document, fill_story
from sac_lightning.core.files import write_atomically
from sac_lightning_report.pages import template_environment

LANGUAGES = (ENGLISH, CHINESE)
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """One experiment on the page: its letter, its figure as PNG, its story by the code of each language."""

    letter: str
    figure: bytes
    stories: Mapping[str, Story]

    @property
    def figure_base64(self) -> str:
        """The figure for a data URL."""
        return base64.b64encode(self.figure).decode()


@dataclass(frozen=True)
class Outputs:
    """The files below one folder, `docs` in a checkout."""

    folder: Path

    def make_folders(self) -> None:
        """Make the folders. Raises OSError where they cannot be written."""
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
        """The numbers of the benchmark of discrete targets, which takes longer than the lab."""
        return self.folder.parent / "benchmarks" / "results" / "discrete_targets_summary.csv"

    @property
    def page(self) -> Path:
        """All experiments on one page."""
        return self.folder / "lab.html"

    def known(self) -> dict[str, float]:
        """Read all numbers."""
        return read_numbers(self.numbers) | read_numbers(self.discrete)

    def draw(self, experiment: Experiment) -> None:
        """Write the experiment's figure and its numbers, from its CSV alone."""
        table = Table.read(self.csv(experiment))
        experiment.draw(table, self.figure(experiment))
        own = f"{experiment.letter}."
        found = {f"{own}{key}": float(value) for key, value in experiment.numbers(table).items()}
        others = {key: value for key, value in read_numbers(self.numbers).items() if not key.startswith(own)}
        rows: Rows = [{"name": name, "value": value} for name, value in sorted((others | found).items())]
        Table.of(rows).write(self.numbers)

    def write_texts(self, experiments: Sequence[Experiment]) -> list[Path]:
        """Write the page and the numbers in the documents. Return the files that were written."""
        known = self.known()
        sections = [self.section(each, known) for each in experiments if self.csv(each).exists()]
        text = page(sections)
        write_atomically(self.page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        documents = [self.folder / each.document for each in LANGUAGES]
        return [self.page, *(path for path in documents if path.exists() and fill_document(path, known))]

    def section(self, experiment: Experiment, known: Known) -> Section:
        """Return the experiment's part of the page, with `known` numbers in its stories."""
        letter = experiment.letter
        stories = {each.code: fill_story(each.stories[letter], known) for each in LANGUAGES}
        return Section(letter, self.figure(experiment).read_bytes(), stories)


def page(sections: Sequence[Section]) -> str:
    """Return the whole page, in English where scripts are off. All texts are escaped."""
    template = template_environment(TEMPLATES).get_template("lab.html")
    return template.render(languages=LANGUAGES, sections=sections)


def read_numbers(path: Path) -> dict[str, float]:
    """Read a table of columns `name` and `value`; empty where there is no file."""
    if not path.exists():
        return {}
    table = Table.read(path)
    return dict(zip((row["name"] for row in table.rows), table.column("value").tolist(), strict=True))
