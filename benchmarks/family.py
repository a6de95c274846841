"""Presets of published algorithms beside their published returns, after as many env steps.

    python benchmarks/family.py --jobs 2
    python benchmarks/family.py --presets xqc "xqc utd_ratio=1" --envs hopper --seeds 0 1 2 --steps 100000

Every evaluation is a row of benchmarks/results/family.csv. A complete run is not made again, and one that was
stopped goes on. Each run has the total_env_steps of its env, as published runs do, and ends after --steps.
"""

import sys

import numpy as np
from recipes import Point, Runs, all_runs, parser_of
from tables import Row

# Mean and standard deviation over seeds on Gymnasium v4 envs, from the result files of the authors of SimbaV2
# and FlashSAC. SAC's, REDQ's and DroQ's are of the script of CrossQ's authors, whose learning rate is 1e-3.
ENVS = ("halfcheetah", "hopper", "walker2d", "ant")
AFTER = {
    ("sac_2018", 50_000): ((4212, 525), (530, 300), (384, 162), (448, 298)),
    ("redq", 50_000): ((6477, 563), (2485, 1091), (1341, 876), (1921, 1167)),
    ("droq", 50_000): ((6383, 841), (1569, 1193), (1114, 858), (563, 726)),
    ("crossq", 50_000): ((6345, 832), (1421, 959), (1096, 1218), (836, 892)),
    ("simba_v2", 50_000): ((5887, 687), (1050, 775), (601, 237), (1495, 606)),
    ("xqc", 50_000): ((6754, 1098), (2735, 650), (2374, 1561), (1249, 1213)),
    ("flash_sac", 100_000): ((9815, 173), (2121, 1176), (3299, 1740), (3196, 1715)),
}
PUBLISHED = {
    (preset, env, steps): known
    for (preset, steps), row in AFTER.items()
    for env, known in zip(ENVS, row, strict=True)
}
PRESETS = ("sac_2018 lr=1e-3 learning_starts=5000", "redq", "droq", "crossq", "simba_v2", "xqc")
FAR = 1.5  # standard deviations


def compared(rows: list[Row]) -> list[str]:
    """Returns a line for each recipe that has reached a published point of its preset."""
    lines = []
    for (preset, env, steps), (mean, deviation) in PUBLISHED.items():
        for recipe in sorted({row["recipe"] for row in rows if row["recipe"].split()[0] == preset}):
            at = [r for r in rows if (r["recipe"], r["env"], r["env_steps"]) == (recipe, env, str(steps))]
            if at:
                here = float(np.mean([float(row["return_mean"]) for row in at]))
                away = (here - mean) / deviation
                note = "" if abs(away) <= FAR else f", more than {FAR}"
                lines.append(
                    f"{recipe}, {env}, {steps:,} env steps: published {mean} ± {deviation}; here {here:.0f} "
                    f"({len(at)} seeds), {away:+.1f} standard deviations{note}"
                )
    return lines


def main() -> int:
    """Make the missing runs and print the table; 1 where a run failed."""
    parser = parser_of(__doc__, "family", threads="1")
    parser.add_argument("--presets", nargs="+", default=PRESETS, help="each with its overrides in quotes")
    parser.add_argument("--steps", type=int, default=50_000, help="env steps of each run")
    arguments = parser.parse_args()
    runs, failed = Runs.of(arguments), 0
    recipes = {text: (f"experiment={text.split()[0]}", *text.split()[1:]) for text in arguments.presets}

    def enough(point: Point) -> bool:
        return point.env_steps >= arguments.steps

    if not arguments.table_only:
        failed = runs.make(all_runs(recipes, arguments.envs, arguments.seeds), enough, arguments.jobs)
    print("\n".join(compared(runs.table.rows)))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
