"""skrl's SAC under its sequential trainer; TensorBoard files, checkpoints, progress and rendering are off.

Policy and critics are its users' to write. Its Gaussian mixin clips actions and has no density of a squashed
one: with it Pendulum-v1 is not learned in 9,000 updates. So the policy squashes, as everyone's does.
"""

from typing import Any

import torch
from gated_env import BATCH, BUFFER, FOREVER, GAMMA, HIDDEN, LR, TAU, GatedEnv, adam_steps, parser
from skrl.agents.torch.sac import SAC
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer
from skrl.utils import set_seed
from torch import Tensor, nn
from torch.distributions import Normal

PACKAGES = ("skrl", "torch", "gymnasium", "numpy")


def _body(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())


class Policy(Model):
    """A Gaussian squashed by tanh into the env's bounds, which must be symmetric."""

    def __init__(self, **spaces: Any) -> None:
        super().__init__(**spaces)
        self.body = _body(self.num_observations)
        self.mean = nn.Linear(HIDDEN, self.num_actions)
        self.log_std = nn.Linear(HIDDEN, self.num_actions)
        self.register_buffer("high", torch.tensor(self.action_space.high))

    def act(self, inputs: dict[str, Tensor], *, role: str = "") -> tuple[Tensor, dict[str, Tensor]]:
        """Sampled actions `[B, A]`, with their log-densities `[B, 1]`."""
        mean, outputs = self.compute(inputs, role)
        normal = Normal(mean, outputs["log_std"].exp())
        u = normal.rsample()
        squashed = torch.tanh(u)
        log_prob = normal.log_prob(u) - torch.log(self.high * (1 - squashed.pow(2)) + 1e-6)
        return self.high * squashed, {**outputs, "log_prob": log_prob.sum(1, keepdim=True)}

    def compute(self, inputs: dict[str, Tensor], role: str = "") -> tuple[Tensor, dict[str, Tensor]]:
        """Mean and log deviation before squashing."""
        x = self.body(inputs["observations"])
        return self.mean(x), {"log_std": self.log_std(x).clamp(-5.0, 2.0)}


class Critic(DeterministicMixin, Model):
    """Q(s, a)."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = nn.Sequential(_body(self.num_observations + self.num_actions), nn.Linear(HIDDEN, 1))

    def compute(self, inputs: dict[str, Tensor], role: str = "") -> tuple[Tensor, dict[str, Tensor]]:
        """`[B, 1]` values."""
        return self.net(torch.cat([inputs["observations"], inputs["taken_actions"]], dim=1)), {}


def main() -> None:
    """Trains until the command to quit."""
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    gated = GatedEnv(arguments.env, arguments.learning_starts, PACKAGES)
    set_seed(0)
    env = wrap_env(gated, wrapper="gymnasium")
    spaces = {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "device": env.device,
    }
    names = ("critic_1", "critic_2", "target_critic_1", "target_critic_2")
    agent = SAC(
        models={"policy": Policy(**spaces), **{name: Critic(**spaces) for name in names}},
        # With replacement, as everyone samples; without, it permutes the whole memory for each batch.
        memory=RandomMemory(memory_size=BUFFER, num_envs=1, device=env.device, replacement=True),
        cfg={
            "gradient_steps": 1,
            "batch_size": BATCH,
            "discount_factor": GAMMA,
            "polyak": TAU,
            "learning_rate": LR,
            "random_timesteps": arguments.learning_starts,
            "learning_starts": arguments.learning_starts,
            "learn_entropy": True,
            "initial_entropy_value": 1.0,
            "experiment": {"write_interval": 0, "checkpoint_interval": 0},
        },
        **spaces,
    )
    gated.updates = lambda: adam_steps(
        agent.critic_optimizer, agent.policy_optimizer, agent.entropy_optimizer
    )
    options = {"timesteps": FOREVER, "headless": True, "disable_progressbar": True}
    SequentialTrainer(env=env, agents=agent, cfg=options).train()


if __name__ == "__main__":
    main()
