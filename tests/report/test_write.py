"""The written report: all runs, failed ones with their reasons, on a page that needs nothing else."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from tests.report.folders import AUTO, FIXED, config, make_run, metrics, scored

from sac_lightning.core.errors import ConfigError
from sac_lightning_report import option_names, write_report
from sac_lightning_report.figures import SERIES, VARIABLES

FIGURES = ("learning_curve", "final_score", "area", "improvement", "alpha", "entropy")
OPTIONS = option_names(Path(__file__).parents[2] / "conf")
TRAIN = {"train/alpha": 0.2, "train/entropy": 0.5, "train/target_entropy": -1.0}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six jobs, two rules × three seeds; the fifth failed after one evaluation. With its report."""
    folder = tmp_path_factory.mktemp("sweep")
    for number in range(6):
        rule, seed = divmod(number, 3)
        cfg = config(seed, alpha={"_target_": (FIXED, AUTO)[rule]})
        points = {1000: 10.0 * rule + seed, 2000: 100.0 * (rule + 1) + seed}
        typed = {"overrides": [f"alpha={('fixed', 'auto')[rule]}", f"seed={seed}"]}
        if number == 4:
            table = metrics({1000: 7.0}, **TRAIN)
            make_run(folder / "4", cfg, table, "failed", error="EnvError: <the arm> | broke", **typed)
        else:
            make_run(folder / str(number), cfg, metrics(points, **TRAIN), **typed)
    write_report([folder], folder, options=OPTIONS)
    return folder


class Reader(HTMLParser):
    """The text of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        loading = ("src", "href", "xlink:href", "data", "srcset")
        self.loads += [
            str(value) for name, value in attrs if name in loading and not str(value).startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_all_six_jobs_are_listed_and_why_one_failed(sweep: Path) -> None:
    text = (sweep / "report.md").read_text()
    assert text.startswith("# 6 runs: 5 done, 1 failed\n")
    _, _, after = text.partition("## All runs")
    assert re.findall(r"^\| (\d) \| (\w+)", after, re.MULTILINE) == [
        (str(number), "failed" if number == 4 else "done") for number in range(6)
    ]
    assert "| 4 | failed | alpha=auto | EnvError: &lt;the arm> \\| broke |" in text
    page = Reader((sweep / "report.html").read_text())
    assert page.texts.count("EnvError: <the arm> | broke") == 1
    assert {*"012345"} <= set(page.texts)


def test_best_group_is_named_as_it_was_typed_and_failed_runs_do_not_count(sweep: Path) -> None:
    text = (sweep / "report.md").read_text()
    # The two auto runs that are done end at 200 and 202: mean 201, above all three fixed ones.
    assert "201.0, interquartile mean of 2 runs, with `alpha=auto`." in text
    assert "| alpha=auto | 2 of 3 | 1 | 201.0 | 201.0 |" in text
    assert "| alpha=fixed | 3 | – | 101.0 [100.0, 102.0] |" in text
    assert "Highest score, not shown to be the best group: final score 201.0" in text
    assert "Two runs in a group are not enough to decide whether it is better than alpha=fixed." in text
    assert "two runs give no 95 % interval: a group needs at least three." in text


def test_page_loads_nothing_and_is_well_formed(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    page = Reader(text)
    assert page.loads == []
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert "url(http" not in text
    assert "<code>scipy.stats.bootstrap</code>" in text and "&lt;code&gt;" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == len(FIGURES)
    assert text.count("<figure>") == text.count("</figure>") == len(FIGURES)


def test_every_table_scrolls_by_itself_and_every_figure_has_a_title(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    assert text.count("<table") == text.count('<div class="scroll"><table') > 2
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", text)
    titles = ("Learning curves", "Final score", "Area under the curve", "How often the first scores higher")
    titles += ("Temperature α", "Entropy and its target")
    shown = Reader(text).texts
    assert [title for title in titles if f"{title}, Pendulum-v1" not in shown] == []


def test_page_has_both_colour_schemes_and_its_figures_follow_them(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    assert "prefers-color-scheme: dark" in text
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", drawings)) >= {
        "--ink",
        "--grid",
        "--series-0",
        "--series-1",
    }
    assert re.findall(r"(?:stroke|fill): #(?!none)\w+", drawings) == []
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", text)) <= set(re.findall(r"(--[a-z0-9-]+):", text))


def test_light_page_shows_the_colours_of_the_pngs(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    series = [VARIABLES[colour] for colour in SERIES]
    assert [re.findall(rf"{name}: (#\w+);", light) for name in series] == [[colour] for colour in SERIES]
    assert all(len(re.findall(rf"{name}: #\w+;", dark)) == 1 for name in VARIABLES.values())


def test_figures_are_whole_pngs_that_markdown_shows(sweep: Path) -> None:
    text = (sweep / "report.md").read_text()
    for name in FIGURES:
        path = f"report/{name}-Pendulum-v1.png"
        assert f"]({path})" in text
        with Image.open(sweep / path) as image:
            image.load()
            assert min(image.size) > 400
            assert len(image.convert("L").resize((200, 200)).getcolors()) > 10
    assert len(list((sweep / "report").glob("*.png"))) == len(FIGURES)


def test_numbers_are_written_unrounded(sweep: Path) -> None:
    with (sweep / "report" / "groups.csv").open(newline="") as file:
        best = next(csv.DictReader(file))
    assert (best["group"], best["runs"], best["counted"]) == ("alpha=auto", "3", "2")
    assert (float(best["final_iqm"]), best["final_iqm_low"]) == (201.0, "")
    assert float(best["area_mean"]) == 106.0  # ((10 + 200)/2 + (12 + 202)/2) / 2
    with (sweep / "report" / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert [run["final_score"] for run in runs] == ["100.0", "101.0", "102.0", "200.0", "", "202.0"]
    assert runs[4]["reason"] == "EnvError: <the arm> | broke"


def report(folder: Path, *by: str) -> str:
    return write_report([folder], folder, by).markdown.read_text()


def test_one_run_has_a_score_and_no_interval(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(), [1.0, 2.0, 4.0])
    text = report(tmp_path)
    assert "| all runs | 1 | – | 4.000 | 4.000 | 2.250 |" in text  # (1.5 + 3) / 2 = 2.25
    assert "Pendulum-v1: one run per group, so there is no interval." in text
    assert not (tmp_path / "report" / "improvement-Pendulum-v1.png").exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([9, 8, 7, 9, 8], [1, 2, 3, 1, 2], "probability 1.00 [1.00, 1.00]: it is better."),
        ([9, 8, 7], [1, 2, 3], "probability 1.00 [1.00, 1.00]: it is better, though 3 runs are few."),
        ([4, 3, 2], [1, 2, 3], "so these runs do not show which is better."),
        # The middle three of five: (0 + 0 + 90)/3 = 30 is above 20, but three runs of five lose every pair.
        (
            [0, 0, 0, 90, 90],
            [20] * 5,
            "0.40 [0.00, 0.80]: the interval contains 0.5, so these runs do not show",
        ),
        ([5], [1, 2], "One run in a group is not enough to decide whether it is better than lr=2."),
        ([5, 6], [1, 2, 3], "Two runs in a group are not enough to decide whether it is better than lr=2."),
    ],
)
def test_best_group_is_called_better_only_where_the_interval_says_so(
    ours: list[float], theirs: list[float], said: str, tmp_path: Path
) -> None:
    for lr, scores in ((1, ours), (2, theirs)):
        for seed, score in enumerate(scores):
            scored(tmp_path / f"{lr}-{seed}", config(seed, lr=lr), [0.0, score])
    text = report(tmp_path)
    first = next(line for line in text.splitlines() if "`lr=1`" in line)
    assert said in first
    is_better = "it is better" in said and "whether" not in said
    assert first.startswith(
        "Best group: " if is_better else "Highest score, not shown to be the best group: "
    )
    assert ('class="groups crowned"' in (tmp_path / "report.html").read_text()) == is_better


def test_no_group_is_best_where_a_seed_failed_or_a_third_group_may_be_as_good(tmp_path: Path) -> None:
    for lr, scores in ((1, [9, 8, 7]), (2, [1, 2, 3])):
        for seed, score in enumerate(scores):
            scored(tmp_path / f"{lr}-{seed}", config(seed, lr=lr), [0.0, score])
    make_run(tmp_path / "2-3", config(3, lr=2), metrics({1000: 1.0}), "failed", error="it broke")
    text = report(tmp_path)
    assert "Highest score, not shown to be the best group: final score 8.000" in text
    assert "but seeds of lr=2 failed: among those that ended, it is better." in text
    # Beside the first in the interval, though not in rank: its scores lie apart.
    for seed, score in enumerate([-20, 9, 9]):
        scored(tmp_path / f"3-{seed}", config(seed, lr=3), [0.0, score])
    assert "higher than one of lr=3 with probability" in report(tmp_path)


def test_figures_of_the_report_before_are_gone(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(), [1.0, 2.0])
    scored(tmp_path / "1", config(lr=0.1), [1.0, 2.0])
    report(tmp_path)
    assert (tmp_path / "report" / "improvement-Pendulum-v1.png").exists()
    report(tmp_path, "env")
    assert not (tmp_path / "report" / "improvement-Pendulum-v1.png").exists()


def test_runs_of_different_lengths_are_noted(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(0), [1.0, 2.0])
    scored(tmp_path / "1", config(1), [1.0, 2.0, 6.0])
    text = report(tmp_path)
    assert "the last evaluations are at 2,000 to 3,000 env steps" in text
    assert "| all runs | 2 | – | 4.000 | 4.000 |" in text


def test_group_without_a_done_run_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(0), [1.0, 2.0])
    make_run(tmp_path / "1", config(1), metrics({1000: 90.0}), status=None)  # beside a done one: not counted
    make_run(tmp_path / "2", config(0, lr=0.1), metrics({1000: 50.0}), status="interrupted")
    text = report(tmp_path)
    assert "| lr=0.0003 | 1 of 2 | – | 2.000 |" in text
    assert "no run is done, so unfinished ones are shown up to where they are: lr=0.1." in text


def test_pruned_trial_is_no_result_however_high_its_score(tmp_path: Path) -> None:
    make_run(tmp_path / "0", config(0, lr=0.1), metrics({1000: 90.0}), status="pruned")
    scored(tmp_path / "1", config(0, lr=0.2), [1.0, 2.0])
    text = report(tmp_path)
    assert "# 2 runs: 1 done, 1 pruned" in text
    assert "| 0 | pruned | lr=0.1 | ended early by the search |" in text
    best = next(line for line in text.splitlines() if "final score" in line and "`lr=0.2`" in line)
    assert "2.000" in best
    assert "| lr=0.1 | 0 of 1 | – | – |" in text


def test_runs_without_any_evaluation_are_listed(tmp_path: Path) -> None:
    make_run(tmp_path / "0", config(0), "env_steps,eval/return_mean\n100,\n", "failed", error="it broke")
    text = report(tmp_path)
    assert "# 1 run: 1 failed" in text
    assert "| 0 | failed | – | it broke |" in text
    assert "No run has a score yet" in (tmp_path / "report.html").read_text()


def test_job_that_failed_before_it_had_a_config_is_listed_by_what_was_typed(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(0), [1.0, 2.0])
    make_run(
        tmp_path / "1",
        status="failed",
        error="gamma=2: no",
        overrides=["gamma=2", "seed=1"],
        env_id="Pendulum-v1",
    )
    text = report(tmp_path)
    assert "| 1 | failed | gamma=2 | gamma=2: no |" in text
    assert "| all runs | 1 | – | 2.000 |" in text


def test_runs_with_no_common_metric_are_a_mistake_before_anything_is_written(tmp_path: Path) -> None:
    make_run(tmp_path / "a", config(), "env_steps,eval/return_mean\n100,1\n")
    make_run(tmp_path / "b", config(), "env_steps,loss\n100,1\n")
    message = "its runs share no metric: a has eval/return_mean; b has loss"
    with pytest.raises(ConfigError, match=message):
        report(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_runs_with_partly_different_metrics_are_reported_and_the_gaps_noted(tmp_path: Path) -> None:
    make_run(tmp_path / "a", config(0), metrics({1000: 1.0, 2000: 3.0}, **TRAIN))
    make_run(tmp_path / "b", config(1), metrics({1000: 1.0, 2000: 5.0}))
    text = report(tmp_path)
    assert "Not all runs log the same metrics: b without train/alpha; its figures show the others." in text
    assert "| all runs | 2 | – | 4.000 | 4.000 |" in text


def test_metric_that_no_run_has_is_no_gap(tmp_path: Path) -> None:
    for name in ("a", "b"):  # as with alpha=fixed, which has no target entropy
        make_run(tmp_path / name, config(), metrics({1000: 1.0}, **{"train/alpha": 0.2}))
    assert "Not all runs log the same metrics" not in report(tmp_path)


def test_many_groups_are_all_in_the_table_and_the_best_are_drawn(tmp_path: Path) -> None:
    for number in range(12):
        scored(
            tmp_path / str(number),
            config(0, lr=0.001 * (number + 1), note=f"$x_{number}$"),
            [0.0, float(number)],
        )
    text = report(tmp_path)
    assert "the figures show the best 7 groups; the table has all." in text
    assert len(re.findall(r"^\| lr=0\.\d+ note=\\\$x_\d+\\\$ \| 1 \|", text, re.MULTILINE)) == 12


def test_folder_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    scored(tmp_path / "0", config(), [1.0])
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"out=.*file: cannot be written"):
        write_report([tmp_path], tmp_path / "file")
