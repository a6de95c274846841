"""Names, overrides and errors may come from anybody: they show as text, and lead nowhere else."""

import json
import re
from pathlib import Path

import pytest
from tests.report.folders import config, make_run, metrics, scored
from tests.report.test_write import Reader

from sac_lightning.core.errors import ConfigError
from sac_lightning_report import write_report

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "picture": "<img src=x onerror=alert(1)>",
    "attribute": "\"' onmouseover='alert(1)",
    "entity": "&lt;b&gt; &amp;",
    "markdown": "![x](http://evil/x.png) [y](http://evil) `z` **bold** | $x$",
    "close": "</code></td></svg></style><script>x</script>",
}


ALL = " ".join(HOSTILE.values())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Reader]:
    """Markdown and page over runs that hold these texts wherever text can be."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, value in enumerate(("plain", ALL)):
        summary = {"status": "done", "overrides": [f"+note={value}"], "seed": ALL}
        run = folder / "runs" / f"{number}{ALL.replace('/', '_')}"
        make_run(run, config(number, env_id=ALL, note=value), metrics({1000: 1.0, 2000: 3.0 + number}))
        (run / "summary.json").write_text(json.dumps(summary))
    make_run(folder / "runs" / "f", config(3, env_id=ALL), None, "failed", error=f"Error: {ALL}")
    make_run(folder / "runs" / "g", config(4, env_id=ALL, **{ALL: 1}), None, ALL)
    written = write_report([folder / "runs"], folder / "out")
    return written.markdown.read_text(), Reader(written.html.read_text())


def test_page_shows_them_as_text(report: tuple[str, Reader]) -> None:
    _, shown = report
    assert not {"script", "img", "a", "iframe", "b"} & set(shown.tags)
    assert shown.loads == []
    flat = " ".join(" ".join(shown.texts).split())
    assert all(flat.count(hostile) >= 8 for hostile in HOSTILE.values())


def test_markdown_shows_them_as_text(report: tuple[str, Reader]) -> None:
    text, _ = report
    code = re.findall(r"with (`` .*? ``)", text)  # code shows as it is
    for each in code:
        text = text.replace(each, "")
    assert len(code) == 1
    assert "<" not in text
    assert "](http://evil" not in text
    assert "**bold" not in text
    assert "&lt;b&gt;" not in text
    assert "&amp;lt;b&amp;gt;" in text
    assert " `z`" not in text
    assert "| $x$" not in text


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    for number, env_id in enumerate(("../../up", "a/b", "a_b", "x" * 300 + "$\\frac")):
        scored(tmp_path / "runs" / str(number), config(0, env_id=env_id), [1.0, float(number)])
    before = set(tmp_path.rglob("*"))
    written = write_report([tmp_path / "runs"], tmp_path / "out")
    made = [path for path in tmp_path.rglob("*") if path not in before]
    assert all(path == tmp_path / "out" or path.is_relative_to(tmp_path / "out") for path in made)
    pictures = [path.name for path in made if path.name.startswith("learning_curve")]
    assert len(pictures) == 4  # two envs never share one
    text = written.markdown.read_text()
    assert all(f"(report/{name})" in text for name in pictures)


def test_report_follows_no_link(tmp_path: Path) -> None:
    runs, victim = tmp_path / "runs", tmp_path / "victim"
    scored(runs / "0", config(0), [1.0, 2.0])
    victim.mkdir()
    (victim / "learning_curve-mine.png").touch()
    (runs / "report").symlink_to(victim)
    with pytest.raises(ConfigError, match="its report is a link"):
        write_report([runs], runs)
    (runs / "report").unlink()
    for name in (".report.html.tmp", "report.html", ".report.md.tmp", "report.md"):
        (runs / name).symlink_to(victim / "text")
    (victim / "text").write_text("mine")
    write_report([runs], runs)
    assert (victim / "text").read_text() == "mine"
    assert (victim / "learning_curve-mine.png").exists()
    assert not (runs / "report.html").is_symlink()


@pytest.mark.parametrize("content", ["[" * 100_000, '{"status": ' + "9" * 10_000 + "}", "[1]", '"text"'])
def test_summary_that_cannot_be_meant_is_damaged(tmp_path: Path, content: str) -> None:
    scored(tmp_path / "0", config(0), [1.0, 2.0])
    run = make_run(tmp_path / "1", config(1), metrics({1000: 1.0}))
    (run / "summary.json").write_text(content)
    written = write_report([tmp_path], tmp_path)
    assert "summary.json is damaged" in written.markdown.read_text()
