"""How the lab's agents learn their tasks: the same for every rule that is compared."""

from sac_lightning.envs import EnvConfig
from sac_lightning.lab.agents import Recipe
from sac_lightning.lab.experiment import steps

CARTPOLE_LIMIT = 200  # steps an episode: the limit of CartPole-v0, which small agents reach in minutes


def cartpole(budget: float) -> Recipe:
    """CartPole with episodes of at most 200 steps, for rules of the target and of α."""
    return Recipe(
        EnvConfig(id="CartPole-v1", max_episode_steps=CARTPOLE_LIMIT),
        total_env_steps=steps(6_000, budget, least=400),
        learning_starts=steps(500, budget, least=100),
        num_envs=2,
        gamma=0.99,
        tau=0.05,
        utd_ratio=0.5,
        lr=2e-3,
        log_every=steps(150, budget, least=20),
    )


def pendulum(budget: float) -> Recipe:
    """Pendulum, for rules of α."""
    return Recipe(
        EnvConfig(id="Pendulum-v1"),
        total_env_steps=steps(3_500, budget, least=400),
        learning_starts=steps(300, budget, least=100),
        tau=0.01,
        lr=2e-3,
        log_every=steps(250, budget, least=20),
    )
