"""What each figure and number means and how it was computed, in plain sentences."""


def _joined(text: str) -> str:
    return " ".join(text.split())


CAPTIONS = {
    "learning_curve": _joined("""
        Mean return of the evaluations over each group's runs; higher is better. The band is the 95 % interval
        of that mean, faint lines are single runs. Dashed: only some of the runs reach this far.
    """),
    "final_score": _joined("""
        Each circle is one run's last evaluation. The filled sign is the interquartile mean, the bar its 95 %
        interval.
    """),
    "area": _joined("""
        The mean return over the whole training, so that learning early counts. Each circle is one run, the
        filled sign the mean, the bar its 95 % interval.
    """),
    "improvement": _joined("""
        The chance that a run of the best group scores higher than a run of this one, and its 95 % interval.
        At 0.5 neither is better.
    """),
    "alpha": _joined("""
        What a nat of entropy is worth in reward: the mean over runs and its 95 % interval, on a log axis.
    """),
    "entropy": _joined("""
        How random the policy is: the mean over runs and its 95 % interval. Dotted is the entropy that the
        temperature is steered to.
    """),
}
METHODS = tuple(
    (name, _joined(told))
    for name, told in {
        "Score": """
            `eval/return_mean`, the mean return of the evaluation episodes. A run's final score is that of its
            last evaluation. Axes and tables say of how many episodes.
        """,
        "Which runs count": """
            Runs that ended as done. Failed ones, and trials that a search ended early, are listed and counted
            nowhere else. A group without any done run is shown by its unfinished ones, and a note says so.
        """,
        "Groups": """
            Runs whose configs differ in nothing but the seed and where they are recorded, or in nothing that
            `by=` names. Envs are never mixed: their returns cannot be compared.
        """,
        "95 % interval": """
            Percentile bootstrap over whole runs, 2,000 resamples from a fixed seed (`scipy.stats.bootstrap`).
            With one run there is none; with two to four it is narrower than the truth.
        """,
        "Interquartile mean (IQM)": """
            The mean without the lowest and the highest quarter of the runs (`scipy.stats.trim_mean`, 0.25).
            Of fewer than four runs none is left out, and it is the mean.
        """,
        "Area under the curve": """
            The area under a run's evaluations (`scipy.integrate.trapezoid`) divided by the env steps between
            the first and the last: the mean return while it learned.
        """,
        "Probability of improvement": """
            The share of pairs of runs in which the first group's final score is higher, a tie counting half:
            Mann and Whitney's U divided by the number of pairs (`scipy.stats.mannwhitneyu`).
        """,
        "Curves": """
            Runs are compared at the env steps of their evaluations, or at 200 even points where those are
            more. Between two of its own points a run's curve is a straight line; beyond them there is none.
        """,
    }.items()
)
