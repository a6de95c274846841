"""Numbers and pictures of README and docs/speed.md come from the committed CSVs, from the same rows."""

import csv
import json
import math
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "benchmarks"))

from campaign_page import POINTS, PUBLISHED, at, curves_of  # noqa: E402
from throughput_tables import csv_of, ratios, read_speeds  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")
SPEED = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").replace("−", "-")
FAMILY = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")
SWEEPS = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
SB3, SBX = "stable-baselines3 fp32", "sbx (JAX) fp32"
ENVS = ("Pendulum-v1", "HalfCheetah-v5")


def rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def line(text: str, begins: str) -> str:
    """The one row of a table that begins so."""
    (found,) = (each for each in text.splitlines() if each.startswith(f"| {begins}"))
    return found


def test_pendulum_s_returns_are_those_of_the_csv() -> None:
    table = {int(row["seed"]): float(row["return_mean"]) for row in rows("learning_pendulum.csv")}
    returns = [table[seed] for seed in range(5)]
    published = f"{', '.join(f'{value:.1f}' for value in returns)}: mean {statistics.mean(returns):.1f}"
    assert published in line(README, "Pendulum-v1, 5,000 env steps, seeds 0 to 4")
    assert {row["episodes"] for row in rows("learning_pendulum.csv")} == {"100"}


def test_the_first_picture_ends_where_the_table_does() -> None:
    curves = rows("learning_pendulum_curves.csv")
    for row in rows("learning_pendulum.csv"):
        (last,) = (
            each for each in curves if (each["seed"], each["env_steps"]) == (row["seed"], row["env_steps"])
        )
        assert float(last["return_mean"]) == pytest.approx(float(row["return_mean"]), abs=0.05)


def test_returns_of_solved_envs_are_those_of_the_csv() -> None:
    found = rows("learning_solved.csv")
    assert {each["episodes"] for each in found} == {"100"}
    for env in dict.fromkeys(each["experiment"] for each in found):
        own = sorted(
            (each for each in found if each["experiment"] == env), key=lambda each: int(each["seed"])
        )
        config = yaml.safe_load((ROOT / "conf" / "env" / f"{env}.yaml").read_text())
        assert {int(each["env_steps"]) for each in own} == {config["total_env_steps"]}
        begins = (
            f"{config['env']['id']}, {config['total_env_steps']:,} env steps, seeds 0 to {len(own) - 1} |"
        )
        returns = ", ".join(f"{float(each['return_mean']):.1f}" for each in own)
        assert line(README, begins).rstrip(" |").endswith(f"| {returns}"), env


def returns_after(minutes: float, env: str) -> dict[str, dict[str, float]]:
    """The return of each run in minutes.csv that has trained for so long, by recipe and seed."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in (each for each in rows("minutes.csv") if each["env"] == env):
        points = curves.setdefault((row["recipe"], row["seed"]), [])
        points.append((float(row["minutes"]), float(row["return_mean"])))
    found: dict[str, dict[str, float]] = {}
    for (recipe, seed), points in sorted(curves.items()):
        if max(points)[0] >= minutes:
            found.setdefault(recipe, {})[seed] = float(np.interp(minutes, *np.array(sorted(points)).T))
    return found


def listed(returns: Iterable[float]) -> str:
    return ", ".join(f"{each:,.0f}" for each in returns)


def test_returns_after_ten_minutes_are_those_of_the_csv() -> None:
    after = returns_after(10.0, "halfcheetah")
    fast, sac, sbx = (list(after[name].values()) for name in ("fast", "sac", "sbx_sac"))
    assert min(*fast, *sac) > max(sbx)
    said = line(README, "HalfCheetah-v5 after 10 minutes, two runs at a time")
    assert said.endswith(
        f"| `experiment=fast` {listed(fast)}; `env=halfcheetah` {listed(sac)}; sbx's SAC {listed(sbx)} |"
    )


def test_returns_after_thirty_minutes_are_those_of_the_csv() -> None:
    envs = ("halfcheetah", "hopper", "walker2d", "ant")
    after = [returns_after(30.0, env) for env in envs]
    fast, sac = ([each[name]["3"] for each in after] for name in ("fast", "sac"))
    # More on all but HalfCheetah, where SAC has as much.
    assert all(ours > theirs for ours, theirs in zip(fast[1:], sac[1:], strict=True))
    assert abs(fast[0] - sac[0]) < 0.06 * sac[0]
    said = line(
        README, "HalfCheetah-v5, Hopper-v5, Walker2d-v5 and Ant-v5 after 30 minutes, two runs at a time"
    )
    assert said.endswith(f"| `experiment=fast` {listed(fast)}; `env=ENV` {listed(sac)} |")
    mean = f"{np.mean(list(after[0]['fast'].values())):,.0f}"
    assert (
        f"`python train.py experiment=fast env=halfcheetah` has a return of {mean} after 30 minutes" in README
    )


def test_what_the_clip_of_fast_does_is_told_with_the_returns_of_the_csv() -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("−", "-").split())
    runs: dict[tuple[str, str], dict[int, float]] = {}
    for row in (each for each in rows("minutes.csv") if each["seed"] == "3"):
        runs.setdefault((row["recipe"], row["env"]), {})[int(row["env_steps"])] = float(row["return_mean"])
    lost, fast = (
        [f"{runs[name, 'halfcheetah'][at]:,.0f}" for at in (235_000, 240_000, 300_000)]
        for name in ("crossq_small", "fast")
    )
    assert f"{lost[0]} at 235,000 env steps, {lost[1]} at 240,000, {lost[2]} at 300,000." in page
    assert f"The same seed of `fast` has {fast[0]}, {fast[1]} and {fast[2]} there." in page

    def above(name: str, env: str, bound: float) -> int:
        late = [value for steps, value in runs[name, env].items() if 200_000 <= steps <= 300_000]
        assert len(late) == 21
        return sum(value > bound for value in late)

    hopper = [above(name, "hopper", 3_000) for name in ("fast", "crossq_small", "sac")]
    said = f"{hopper[0]} of `fast` are above 3,000, {hopper[1]} of `crossq_small` and {hopper[2]} of `sac`"
    assert f"Of the 21 evaluations from 200,000 to 300,000 env steps on Hopper, seed 3, {said}" in page
    walker = above("fast", "walker2d", 5_000)
    assert f"On Walker2d, seed 3, {walker} of `fast` are above 5,000, and none of the others." in page
    assert not any(above(name, "walker2d", 5_000) for name in ("crossq_small", "sac"))
    ant = returns_after(30.0, "ant")
    assert all(ant["fast"][seed] < ant["crossq_small"][seed] for seed in ("3", "4"))


def test_fast_is_beside_the_published_crossq_with_the_returns_of_the_csv() -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    said, better = [], []
    for env, name in (("halfcheetah", "HalfCheetah"), ("hopper", "Hopper"), ("walker2d", "Walker2d")):
        ours = statistics.mean(at(curves_of(env)["fast"], 300_000))
        theirs = float(PUBLISHED["CrossQ", env][POINTS.index(300_000)].split(" ")[0])
        better.append(ours > theirs)
        said.append(f"{name} ({ours:,.0f}, published {theirs:,.0f})")
    assert better == [True, True, False]
    assert f"on {said[0]} and {said[1]}, and below it on {said[2]}, where" in page
    seeds = [f"{each:,.0f}" for each in at(curves_of("walker2d")["fast"], 300_000)]
    assert f"where one seed has {seeds[0]} and the other {seeds[1]}." in page
    family = " ".join((ROOT / "docs" / "family.md").read_text(encoding="utf-8").split())
    assert (
        "reach its published return at 300,000 env steps on HalfCheetah and Hopper, two seeds each" in family
    )


def test_seed_4_is_told_with_the_returns_of_the_csv() -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())

    def late(env: str, recipe: str) -> list[float]:
        own = (row for row in rows(f"mujoco_v5/{env}.csv") if (row["recipe"], row["seed"]) == (recipe, "4"))
        return [float(row["return_mean"]) for row in own if 200_000 <= int(row["env_steps"]) <= 300_000]

    fast, sac, walker = late("hopper", "fast"), late("hopper", "sac"), late("walker2d", "fast")
    assert len(fast) == len(sac) == len(walker) == 21
    upright = [sum(each > 3_000 for each in own) for own in (fast, sac)]
    assert f"of seed 4, {upright[0]} of `fast` and {upright[1]} of `sac`." in page
    assert f"its 21 are between {min(walker):,.0f} and {max(walker):,.0f}." in page


def test_discrete_sac_is_beside_dqn_with_the_returns_of_the_csv() -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    ends = {name: at(curves, 200_000) for name, curves in curves_of("lunar_lander").items()}
    assert {name: len(own) for name, own in ends.items()} == {"sac": 5, "sb3_dqn": 5}
    assert statistics.mean(ends["sac"]) > statistics.mean(ends["sb3_dqn"])
    assert [sum(each > 210 for each in ends[name]) for name in ("sb3_dqn", "sac")] == [2, 4]
    assert "two of five seeds of DQN end above 210, and four of SAC." in page


def test_humanoid_is_told_with_the_returns_of_the_csv() -> None:
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    found, index = curves_of("humanoid"), POINTS.index(200_000)
    (sac,), (fast,) = at(found["sac"], 200_000), at(found["fast"], 200_000)
    theirs = {name: PUBLISHED[name, "humanoid"][index] for name in ("SAC", "CrossQ")}
    assert f"as the published SAC does ({sac:,.0f}, published {theirs['SAC']})" in page
    mean, deviation = map(float, theirs["CrossQ"].split(" ± "))
    assert f"`fast` has {fast:,.0f} there, below CrossQ's mean ({mean:,.0f} ± {deviation:,.0f})" in page
    ((curve, _),) = found["fast"]
    late = curve.values[curve.steps >= 100_000]
    assert len(late) == 21
    assert f"are between {min(late):,.0f} and {max(late):,.0f}." in page


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("name", ["eager fp32", "compiled fp32", "compiled bf16"])
def test_speeds_of_docs_are_those_of_the_csv(env: str, name: str) -> None:
    speeds, ours = read_speeds(RESULTS, env), f"sac_lightning {name}"
    begins = f"**sac_lightning** {name.removesuffix(' fp32').replace(' bf16', ', bf16')} |"
    cell = line(SPEED, begins).split("|")[2 + ENVS.index(env)]
    beside = (median(ratios(speeds, ours, each)) for each in (SB3, SBX))
    assert cell.strip() == f"{median(speeds[ours]):.0f}: {', '.join(f'{each:.2f}' for each in beside)}"


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize(
    ("name", "begins"),
    [
        (SB3, "Stable-Baselines3 2.9.2"),
        (SBX, "sbx 0.28.0"),
        ("torchrl fp32", "TorchRL"),
        ("tianshou fp32", "Tianshou"),
        ("skrl fp32", "skrl"),
        ("cleanrl-style eager fp32", "a plain PyTorch loop"),
    ],
)
def test_speeds_of_others_are_those_of_the_csv(env: str, name: str, begins: str) -> None:
    speeds, cell = read_speeds(RESULTS, env), line(SPEED, begins).split("|")[2 + ENVS.index(env)].strip()
    if name in speeds:
        beside = "" if name == SB3 else f": {median(ratios(speeds, name, SB3)):.2f}"
        assert cell == f"{median(speeds[name]):.0f}{beside}"
    else:
        assert not cell


@pytest.mark.parametrize("env", ENVS)
def test_readme_s_speeds_are_those_of_docs(env: str) -> None:
    speeds, text = read_speeds(RESULTS, env), line(README, f"whole loop on {env}")
    assert f"Stable-Baselines3 2.9.2 at {median(speeds[SB3]):.0f} " in text
    assert f"sbx 0.28.0 (JAX) at {median(speeds[SBX]):.0f} " in text
    for name, shown in (
        ("eager fp32", "eager"),
        ("compiled fp32", "compiled"),
        ("compiled bf16", "compiled bf16"),
    ):
        ours = f"sac_lightning {name}"
        beside = (median(ratios(speeds, ours, each)) for each in (SB3, SBX))
        times = " and ".join(f"{each:.2f}" for each in beside)
        assert f"{shown} {median(speeds[ours]):.0f}: {times} times" in text


def test_the_first_lines_of_readme_say_the_lower_speed_of_both_envs() -> None:
    def lower(results: Path, *envs: str) -> list[str]:
        found = [
            [median(ratios(read_speeds(results, env), ours, each)) for env in envs] for each in (SB3, SBX)
        ]
        return [f"{math.floor(10 * min(each)) / 10}" for each in found]  # "at least" is not rounded up

    ours, readme = "sac_lightning compiled fp32", " ".join(README.split())
    beside, jax = lower(RESULTS / "amd_epyc", "HalfCheetah-v5")
    assert f"at least {beside} times the updates per second of Stable-Baselines3, and {jax} times" in readme
    assert "on an Intel Xeon it is {} and {} times".format(*lower(RESULTS, *ENVS)) in readme


def test_speeds_on_an_amd_epyc_are_those_of_the_csv() -> None:
    speeds, text = read_speeds(RESULTS / "amd_epyc", "HalfCheetah-v5"), " ".join(SPEED.split())
    eager, compiled, bf16 = (
        f"sac_lightning {name}" for name in ("eager fp32", "compiled fp32", "compiled bf16")
    )
    shown = [f"{median(speeds[name]):.0f}" for name in (eager, compiled, bf16, SB3, SBX)]
    said = "eager {}, compiled {}, compiled in bf16 {}; Stable-Baselines3 {}, sbx {}."
    assert said.format(*shown) in text
    rounds = ratios(speeds, compiled, SB3)
    said = f"{median(rounds):.2f} times the updates of Stable-Baselines3"
    said += f" ({min(rounds):.2f} to {max(rounds):.2f} times in single rounds"
    assert said in text and f"{median(ratios(speeds, compiled, SBX)):.2f} times those of sbx" in text
    assert (
        "in bf16 {:.2f} and {:.2f} times".format(*(median(ratios(speeds, bf16, each)) for each in (SB3, SBX)))
        in text
    )


def test_memory_peaks_of_docs_and_changelog_are_those_of_the_file() -> None:
    peaks = json.loads((RESULTS / "memory_peak.json").read_text())
    compiled, eager = round(peaks["compiled_mb"]), round(peaks["eager_mb"])
    text = f"a peak of {compiled} MB; an eager run has {eager} MB, so the ratio is {peaks['ratio']:.2f}"
    assert text in " ".join(SPEED.split())
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"a memory peak of {compiled} MB" in changelog and f"stays at {eager} MB" in changelog


@pytest.mark.parametrize("env", ENVS)
def test_speed_s_picture_is_drawn_from_the_rows_of_the_table(env: str, tmp_path: Path) -> None:
    from contestants import LIMIT
    from throughput_plot import draw

    speeds, committed = read_speeds(RESULTS, env), csv_of(RESULTS, env).with_suffix(".png")
    draw(speeds, env, LIMIT, tmp_path / "drawn.png")
    assert looks_like(tmp_path / "drawn.png", committed)
    draw({**speeds, SB3: [2 * each for each in speeds[SB3]]}, env, LIMIT, tmp_path / "other.png")
    assert not looks_like(tmp_path / "other.png", committed)


def test_the_first_picture_is_drawn_from_the_committed_rows(tmp_path: Path) -> None:
    from learning_seeds_plot import draw_seeds

    curves, scores = rows("learning_pendulum_curves.csv"), rows("learning_pendulum.csv")
    draw_seeds(curves, scores, tmp_path / "pendulum.png")
    committed = ROOT / "docs" / "figures" / "pendulum.png"
    assert looks_like(tmp_path / "pendulum.png", committed)
    draw_seeds([row for row in curves if row["seed"] != "0"], scores, tmp_path / "other.png")
    assert not looks_like(tmp_path / "other.png", committed)


def looks_like(one: Path, other: Path) -> bool:
    """Of the same size, and nearly all pixels equal: fonts may be rendered a little differently."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return False
        pixels = [np.asarray(each.convert("L"), dtype=float) for each in (first, second)]
    return float((np.abs(pixels[0] - pixels[1]) > 64).mean()) < 0.001


def test_speeds_beside_version_0_1_0_are_those_of_the_csv() -> None:
    section = SPEED.partition("## Beside version 0.1.0")[2].partition("\n## ")[0]
    found = []
    for env in ENVS:
        speeds: dict[str, list[float]] = {}
        for row in rows(f"versus_b85adb5_{env}.csv"):
            speeds.setdefault(row["contestant"], []).append(float(row["updates_per_s"]))
        for shown, ours, before in (
            ("eager", "sac_lightning eager fp32", "b85adb5 eager"),
            ("compiled", "sac_lightning compiled fp32", "b85adb5 compiled"),
            ("compiled, bf16", "sac_lightning compiled bf16", "b85adb5 bf16"),
        ):
            medians = [f"{median(speeds[each]):.0f}" for each in (ours, before)]
            beside = [median(ratios(speeds, ours, each)) for each in (before, SB3)]
            cells = [env, shown, *medians, *(f"{each:.2f}" for each in beside)]
            assert f"| {' | '.join(cells)} |" in section
            found.append(beside[0])
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"{min(found):.2f} to {max(found):.2f} of the speed of 0.1.0" in changelog


def test_updates_of_presets_are_those_of_the_csv() -> None:
    section = SPEED.partition("## An update of each preset")[2].partition("\n## ")[0]
    found = rows("presets.csv")
    assert len(found) == section.count("\n| `") - 1  # the head
    for row in found:
        ms, share = float(row["update_ms"]), float(row["ratio"])
        shown = f"| `{row['preset']}` | {float(row['updates_per_step']):g} | {ms:#.3g} | {share:.2f} |"
        assert shown.replace(". |", " |") in section
        assert share >= 0.6


def test_speeds_of_more_updates_and_more_envs_are_those_of_the_csv() -> None:
    speeds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows("scaling.csv"):
        values = float(row["env_steps_per_s"]), float(row["updates_per_s"])
        speeds.setdefault((row["utd_ratio"], row["num_envs"]), []).append(values)

    def beside(loop: tuple[str, str], i: int) -> list[float]:
        return [one[i] / plain[i] for one, plain in zip(speeds[loop], speeds["1", "1"], strict=True)]

    for loop, shown in ((("4", "1"), "4, 1"), (("0.25", "4"), "1/4, 4"), (("0.0625", "16"), "1/16, 16")):
        for i, cell in ((0, 2), (1, 4)):
            low, middle, high = (
                f"{each:.1f}" if each >= 10 else f"{each:.2f}"
                for each in (min(beside(loop, i)), median(beside(loop, i)), max(beside(loop, i)))
            )
            assert line(SPEED, f"{shown} |").split("|")[cell + 1].strip() == f"{middle} ({low} to {high})"
    updates, steps = median(beside(("4", "1"), 1)), median(beside(("0.0625", "16"), 0))
    assert f"{updates:.2f} times the updates/s; {steps:.1f} times the env steps/s" in README


def test_speed_of_parallel_jobs_is_that_of_the_csv() -> None:
    seconds = {(row["round"], row["launcher"]): float(row["wall_s"]) for row in rows("sweeps.csv")}
    beside = sorted(seconds[r, "basic"] / seconds[r, "joblib"] for r in dict.fromkeys(r for r, _ in seconds))
    shown = f"{median(beside):.2f} times as fast"
    assert f"{shown} ({beside[0]:.2f} to {beside[-1]:.2f} over three rounds)" in README
    assert shown in SPEED and f"{median(beside):.2f} times as fast" in SWEEPS


def test_costs_of_graphs_and_gains_of_overlap_are_those_of_the_csv() -> None:
    text = " ".join(SPEED.split())
    ms: dict[str, list[float]] = {}
    for row in rows("graph.csv"):
        ms.setdefault(row["what"], []).append(float(row["ms"]))
    alone = ms["alone"]

    def more(what: str) -> float:
        return median(one - plain for one, plain in zip(ms[what], alone, strict=True))

    assert f"An update takes {median(alone):.2f} ms; as an ordinary compiled graph it takes" in text
    assert f"ordinary compiled graph it takes {median(ms['ordinary graph']):.2f} ms" in text
    as_put = median(ms["products as PyTorch puts them"])
    assert f"an update takes {as_put:.2f} ms instead of {median(alone):.2f}" in text
    assert f"A separate action takes {more('action by itself'):.2f} ms" in text
    assert f"In the graph it takes {more('action in the graph'):.2f} ms" in text
    speeds: dict[tuple[str, str], list[float]] = {}
    for row in rows("overlap.csv"):
        speeds.setdefault((row["env"], row["collector"]), []).append(float(row["env_steps_per_s"]))

    def gain(env: str) -> list[float]:
        pairs = zip(speeds[env, "overlap"], speeds[env, "sync"], strict=True)
        return sorted(overlap / sync for overlap, sync in pairs)

    slow = gain("Pendulum-v1, 5 ms")
    assert f"{median(slow):.2f} times the env steps/s ({slow[0]:.2f} to {slow[-1]:.2f})" in text
    plain, cheetah = (median(gain(env)) for env in ENVS)
    assert f"without delay {plain:.2f}, on HalfCheetah-v5 {cheetah:.2f}" in text


def test_denormal_numbers_cost_what_docs_say() -> None:
    for env in ENVS:
        ratios = [
            float(row["ratio"])
            for row in rows("denormals.csv")
            if row["env"] == env and int(row["env_steps"]) >= 4_000
        ]
        assert f"{min(ratios):.2f} to {max(ratios):.2f} times" in SPEED.replace("\n ", "")


def test_parts_pass_a_return_when_family_says() -> None:
    family = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")
    passed: dict[str, dict[str, int]] = {}
    for row in sorted(rows("parts.csv"), key=lambda row: int(row["env_steps"])):
        if row["env"] == "pendulum" and float(row["return_mean"]) > -250:
            passed.setdefault(row["recipe"], {}).setdefault(row["seed"], int(row["env_steps"]))
    for recipe, said in (
        ("SAC", "SAC passes −250 in the evaluations after {} and {}"),
        ("residual blocks", "*Residual blocks* pass it after {} and {}"),
        ("Batch Renormalization, no target network", "network after {} and {}"),
        ("reward normalisation", "*reward normalisation* it takes {} and {}"),
        ("linear learning-rate schedule", "is later ({} and {})"),
    ):
        assert said.format(*(f"{steps:,}" for steps in sorted(passed[recipe].values()))) in family
    assert "unit length" not in passed


def test_parts_for_discrete_actions_reach_475_when_family_says() -> None:
    family = " ".join((ROOT / "docs" / "family.md").read_text(encoding="utf-8").split())
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in rows("parts.csv"):
        if row["env"] == "cartpole":
            points = curves.setdefault(row["recipe"], {}).setdefault(row["seed"], [])
            points.append((int(row["env_steps"]), float(row["return_mean"])))

    def reached(recipe: str) -> str:
        first = (
            next((steps for steps, value in sorted(own) if value >= 475), None)
            for own in curves[recipe].values()
        )
        return " and ".join(f"{steps:,}" for steps in sorted(each for each in first if each is not None))

    for recipe, said in (
        ("SAC", "SAC first reaches 475 in the evaluations after {} env steps and stays there"),
        ("Q-clip", "*Q-clip* reaches it after {}."),
        ("mean, Q-clip and entropy penalty", "it takes {}, and both runs end below"),
        (
            "no entropy bonus in the target",
            "*No entropy bonus in the target* takes {}; the first run ends at 140",
        ),
        ("3-step returns", "one run needs {} and the other does not reach 475"),
    ):
        assert said.format(reached(recipe)) in family
    assert reached("entropy penalty") == "7,000 and 11,000"


def test_what_lag_costs_is_that_of_the_csv() -> None:
    text = " ".join((ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split())
    ends: dict[str, list[float]] = {}
    for row in rows("lag.csv"):
        if (row["env"], row["env_steps"]) == ("halfcheetah", "50000"):
            ends.setdefault(row["recipe"], []).append(float(row["return_mean"]))
    means = [f"{statistics.mean(ends[recipe]):,.0f}" for recipe in ("sync", "ray", "ray, blocks of 50")]
    assert "are {} without lag, {} with 70 and {} with 348 updates".format(*means) in text
    ranges = sorted(max(own) - min(own) for own in ends.values())
    assert f"differ by {ranges[0]:,.0f} to {ranges[-1]:,.0f}." in text
    passed: dict[tuple[str, str], int] = {}
    for row in rows("lag.csv"):
        if row["env"] == "pendulum" and float(row["return_mean"]) > -250:
            run = row["recipe"], row["seed"]
            passed[run] = min(passed.get(run, 10_000), int(row["env_steps"]))
    spans = []
    for recipe in ends:
        first = [steps for (each, _), steps in passed.items() if each == recipe]
        spans.append(f"{min(first):,} to {max(first):,}")
    without, small, large = spans
    assert f"after {without} env steps without lag, after {small} with 70 updates" in text
    assert f"and after {large} with 350" in text


def test_sac_on_halfcheetah_has_the_returns_of_the_csv() -> None:
    ends = [
        float(row["return_mean"])
        for row in sorted(rows("mujoco_v5/halfcheetah.csv"), key=lambda row: row["seed"])
        if (row["recipe"], row["env_steps"]) == ("sac", "100000")
    ]
    shown = ", ".join(f"{each:,.0f}" for each in ends)
    assert f"| {shown}: mean {statistics.mean(ends):,.0f} (published" in README


def test_presets_have_the_returns_of_the_csv_beside_the_published_ones() -> None:
    from family import FAR, PUBLISHED

    table = FAMILY.partition("| `experiment=` |")[2].partition("\n\n")[0].splitlines()[2:]
    found = [row for row in rows("family.csv") if row["env"] == "halfcheetah"]
    found += [
        {**row, "recipe": "sac_2018 lr=1e-3 learning_starts=5000"}
        for row in rows("mujoco_v5/halfcheetah.csv")
        if row["recipe"] == "sac"
    ]
    assert len(table) == len({row["recipe"] for row in found})
    for shown in table:
        recipe = shown.split("`")[1]
        mean, deviation = PUBLISHED[recipe.split()[0], "halfcheetah", 50_000]
        at = {
            r["seed"]: float(r["return_mean"])
            for r in found
            if (r["recipe"], r["env_steps"]) == (recipe, "50000")
        }
        assert len(at) >= 2
        assert shown.endswith(
            f"| {', '.join(f'{at[seed]:,.0f}' for seed in sorted(at))} | {mean:,} ± {deviation:,} |"
        )
        assert abs(statistics.mean(at.values()) - mean) <= FAR * deviation
