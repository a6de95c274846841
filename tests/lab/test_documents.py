"""The documents: numbers out of the CSVs, functions that exist, two languages that say the same."""

import importlib
import re
from pathlib import Path

import pytest
from tests.report.test_untrusted import HOSTILE
from tests.report.test_write import Reader

from entropy_lab.experiment import Table, cell
from entropy_lab.outputs import LANGUAGES, Outputs, Section, page, read_numbers
from entropy_lab.runner import EXPERIMENTS
from entropy_lab.texts import IN_STORY, MARKED, Story, fill_document, fill_story, written

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTPUTS = Outputs(DOCS)
QUOTING = [each.document for each in LANGUAGES]
LINKED = re.compile(r"\[`([\w.]+)`\]\(\.\./(src/sac_lightning/[\w/]+\.py)\)")


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_numbers_are_those_of_the_experiments_tables() -> None:
    expected = {}
    for each in EXPERIMENTS:
        found = each.numbers(Table.read(OUTPUTS.csv(each)))
        expected |= {f"{each.letter}.{key}": float(cell(float(value))) for key, value in found.items()}
    assert read_numbers(OUTPUTS.numbers) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", QUOTING)
def test_every_quoted_number_is_the_csvs(name: str) -> None:
    known = OUTPUTS.known()
    quoted = MARKED.findall(text_of(name))
    assert len(quoted) > 50
    assert [q for q in quoted if written(known, q[0], q[1]) != q[2]] == []


@pytest.mark.parametrize("name", QUOTING)
def test_measured_decimals_stand_between_marks_only(name: str) -> None:
    # Left over are what a formula or a setting says: 0.98 · log n, 0.5 · log n, α = 0.2, ε = 0.1, 1 → 0.01.
    bare = re.sub(r"```.*?```", "", MARKED.sub("", text_of(name)), flags=re.DOTALL)
    assert set(re.findall(r"\d+\.\d+", bare)) <= {"0.98", "0.5", "0.2", "0.1", "0.01"}


def test_both_languages_quote_the_same_numbers_functions_and_figures_in_the_same_order() -> None:
    ours, theirs = (re.split(r"^## ", text_of(name), flags=re.MULTILINE)[1:] for name in QUOTING)
    assert len(ours) == len(theirs) == 9
    for one, other in zip(ours, theirs, strict=True):
        assert sorted(MARKED.findall(one)) == sorted(MARKED.findall(other))
        assert LINKED.findall(one) == LINKED.findall(other)
        assert re.findall(r"\((figures/\w+\.png)\)", one) == re.findall(r"\((figures/\w+\.png)\)", other)


@pytest.mark.parametrize("name", ["algorithm.md", *QUOTING])
def test_every_named_function_exists_where_the_link_leads(name: str) -> None:
    linked = LINKED.findall(text_of(name))
    assert len(linked) >= 10
    for dotted, path in linked:
        module = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        inside = f"sac_lightning.{dotted}".removeprefix(f"{module}.")
        assert inside != f"sac_lightning.{dotted}", f"{dotted} is not in {path}"
        thing = importlib.import_module(module)
        for part in inside.split("."):
            thing = getattr(thing, part)


@pytest.mark.parametrize("name", ["algorithm.md", *QUOTING])
def test_every_linked_file_is_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text_of(name))
    assert [each for each in links if "://" not in each and not (DOCS / each).exists()] == []


def test_algorithm_has_the_losses_in_their_order() -> None:
    source = (ROOT / "src/sac_lightning/algorithm/losses.py").read_text(encoding="utf-8")
    of_critic = "soft_value", "critic_target", "critic_loss", "clipped_critic_loss"
    ours = (*of_critic, "actor_loss", "entropy_penalty", "alpha_loss")
    assert sorted(ours, key=lambda name: source.index(f"def {name}(")) == list(ours)
    in_order = [dotted for dotted, _ in LINKED.findall(text_of("algorithm.md")) if "losses." in dotted]
    assert in_order == [f"algorithm.losses.{name}" for name in ours]
    methods = ("critic_loss", "actor_loss", "temperature_loss")
    sac = (ROOT / "src/sac_lightning/algorithm/sac.py").read_text(encoding="utf-8")
    assert sorted(methods, key=lambda name: sac.index(f"def {name}(")) == list(methods)
    put_to_networks = [f"algorithm.sac.SAC.{name}" for name in methods]
    linked = [dotted for dotted, _ in LINKED.findall(text_of("algorithm.md"))]
    assert [dotted for dotted in linked if dotted in put_to_networks] == put_to_networks


def test_every_figure_is_in_the_documents_and_readme_leads_to_them() -> None:
    for name in QUOTING:
        shown = set(re.findall(r"\(figures/(\w+)\.png\)", text_of(name)))
        assert shown == {each.stem for each in EXPERIMENTS}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(docs/{name})" in readme for name in (*QUOTING, "algorithm.md", "lab.html"))


@pytest.mark.parametrize("name", QUOTING)
def test_every_question_has_a_formula_a_function_a_figure_and_a_correction(name: str) -> None:
    sections = re.split(r"^## ", text_of(name), flags=re.MULTILINE)[1:]
    assert [text.partition(". ")[0] for text in sections] == list("123456789")
    for part in ("```\n", r"\.\./src/\w+", r"!\[.+\]\(figures/\w+\.png\)", r"\*\*(Where|常見說法)"):
        assert [text[:40] for text in sections if not re.search(part, text)] == []


def test_page_is_complete_and_needs_nothing_from_outside() -> None:
    page = text_of("lab.html")
    assert page.count("data:image/png;base64,") == len(EXPERIMENTS)
    headings = [heading for language in LANGUAGES for heading in language.headings]
    assert all(page.count(f"<dt>{heading}</dt>") == len(EXPERIMENTS) for heading in headings)
    assert re.findall(r'(?:src|href)="(https?:[^"]+)"', page) == []
    text = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    assert "{" not in text  # no number left unfilled


def test_stories_of_both_languages_quote_the_same_numbers() -> None:
    quoted = [
        {letter: sorted(IN_STORY.findall(" ".join(story))) for letter, story in language.stories.items()}
        for language in LANGUAGES
    ]
    assert quoted[0] == quoted[1]
    assert sum(len(each) for each in quoted[0].values()) > 30


def test_numbers_are_written_as_the_documents_write_them(tmp_path: Path) -> None:
    known = {"x.a": -1234.5, "x.b": 2.84e5, "x.c": -0.0004}
    assert written(known, "x.a", ".1f") == "−1234.5"
    assert written(known, "x.b", ".1e") == "2.8·10^5"
    assert written(known, "x.c", ".2f") == "0.00"
    story = fill_story(Story("α", "α is {x.a .0f}.", "", ""), known)
    assert story == ("α", "α is −1234.", "", "")
    document = tmp_path / "d.md"
    document.write_text("x <!--lab x.a .0f-->old<!--/lab--> y", encoding="utf-8")
    assert fill_document(document, known)
    assert document.read_text(encoding="utf-8") == "x <!--lab x.a .0f-->−1234<!--/lab--> y"
    assert not fill_document(document, known)


@pytest.mark.parametrize("hostile", HOSTILE.values())
def test_page_shows_text_as_text(hostile: str) -> None:
    stories = dict.fromkeys((each.code for each in LANGUAGES), Story(hostile, hostile, hostile, hostile))
    shown = Reader(page([Section("a", b"", stories)]))
    assert shown.tags.count("script") == 1  # its own
    assert shown.tags.count("img") == 1
    flat = " ".join(shown.texts)
    assert flat.count(hostile) >= 8


def test_page_is_the_one_that_the_command_writes() -> None:
    """`python lab.py measure=false` with the committed tables and figures gives the committed page."""
    known = OUTPUTS.known()
    sections = [OUTPUTS.section(each, known) for each in EXPERIMENTS]
    assert page(sections) == text_of("lab.html")
