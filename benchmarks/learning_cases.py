"""Which runs each learning benchmark consists of."""

from dataclasses import dataclass, field

# Of the evaluation episodes behind every score.
SEEDS = range(10_000, 10_100)


@dataclass(frozen=True)
class Run:
    """One training run, as the arguments that a user would give to train.py."""

    task: str  # env=NAME or experiment=NAME
    seed: int
    overrides: tuple[str, ...] = ()
    # What sets this run apart from the others of its case, besides the seed; "" where nothing does.
    variant: str = ""
    # How it runs, where that is not how benchmarks usually run.
    how: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that decide what is learned."""
        return (self.task, *self.overrides, f"seed={self.seed}")

    @property
    def experiment(self) -> str:
        """The name in `task`."""
        return self.task.partition("=")[2]

    @property
    def name(self) -> str:
        """A folder's name."""
        return "_".join(part for part in (self.experiment, self.variant, f"seed{self.seed}") if part)


@dataclass(frozen=True)
class Case:
    """A benchmark: its runs, whether their own evaluations are drawn, and whether variants are compared."""

    name: str
    runs: tuple[Run, ...] = field(repr=False)
    curves: bool = False
    compares: bool = False
    # Where the picture of a case that compares nothing is drawn, below the repository.
    picture: str = ""


RULES = {
    "eps_peaked-0.1": ("target_entropy=eps_peaked", "target_entropy.eps=0.1"),
    "max_ratio-0.5": ("target_entropy=max_ratio", "target_entropy.ratio=0.5"),
    "max_ratio-0.98": ("target_entropy=max_ratio", "target_entropy.ratio=0.98"),
}
# Acrobot with CartPole's small networks: one setting for both tasks, so that only the rule differs.
DISCRETE_ENVS = {
    "cartpole": (),
    "acrobot": ("env.id=Acrobot-v1", "env.action={discrete:3}"),
}


def _discrete_targets() -> tuple[Run, ...]:
    """Seed by seed, so that a benchmark that is stopped early has compared all rules on some seeds."""
    return tuple(
        Run("experiment=discrete_rules", seed, (*overrides, *rule), f"{env}_{name}")
        for seed in range(5)
        for env, overrides in DISCRETE_ENVS.items()
        for name, rule in RULES.items()
    )


def _precision() -> tuple[Run, ...]:
    """Both precisions as compiled graphs, on five seeds of Pendulum and two of HalfCheetah."""
    tasks = (("pendulum", (), 5), ("halfcheetah", ("lr=3e-4", "total_env_steps=100000"), 2))
    return tuple(
        Run(f"env={env}", seed, length, f"{env}_{name}", how=("compile=true", f"precision={precision}"))
        for env, length, seeds in tasks
        for seed in range(seeds)
        for name, precision in (("fp32", "32-true"), ("bf16", "bf16-mixed"))
    )


# Envs whose files in conf/env have settings that solve them.
SOLVED = (
    *("cartpole", "mountain_car_continuous", "lunar_lander", "lunar_lander_continuous", "bipedal_walker"),
    *("inverted_double_pendulum", "reacher"),
)
COMPILED = ("compile=true",)
# A run's own evaluations are then those of the benchmarks, so that curves end at the values of the tables.
AS_SCORED = (
    f"eval_seed={SEEDS.start}",
    f"eval_episodes={len(SEEDS)}",
    f"eval_envs={len(SEEDS)}",
)
CASES = {
    case.name: case
    for case in (
        Case(
            "pendulum",
            tuple(Run("env=pendulum", seed, how=AS_SCORED) for seed in range(5)),
            curves=True,
            picture="docs/figures/pendulum.png",
        ),
        Case("solved", tuple(Run(f"env={env}", seed, how=COMPILED) for seed in range(3) for env in SOLVED)),
        Case("discrete_targets", _discrete_targets(), curves=True, compares=True),
        Case("precision", _precision(), curves=True, compares=True),
    )
}
