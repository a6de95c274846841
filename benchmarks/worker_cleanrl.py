"""SAC as single-file implementations write it: eager PyTorch, all in one loop, a NumPy buffer, two Q networks
apart, plain Adam, a vector env of one. Written from the equations; no library's code stands behind it.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gated_env import BATCH, BUFFER, GAMMA, HIDDEN, LR, TAU, GatedEnv, adam_steps, parser
from torch import Tensor, nn
from torch.optim import Adam

PACKAGES = ("torch", "gymnasium", "numpy")
LOG_STD_LOW, LOG_STD_HIGH = -5.0, 2.0


class QNetwork(nn.Module):
    """Q(s, a)."""

    def __init__(self, obs_size: int, action_size: int) -> None:
        super().__init__()
        self.first = nn.Linear(obs_size + action_size, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """`[B]` values."""
        x = F.relu(self.first(torch.cat([obs, action], 1)))
        return self.last(F.relu(self.second(x))).squeeze(1)


class Actor(nn.Module):
    """A Gaussian squashed by tanh into the env's bounds."""

    def __init__(self, obs_size: int, space: gym.spaces.Box) -> None:
        super().__init__()
        self.first = nn.Linear(obs_size, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.mean = nn.Linear(HIDDEN, space.shape[0])
        self.log_std = nn.Linear(HIDDEN, space.shape[0])
        self.register_buffer("scale", torch.tensor((space.high - space.low) / 2, dtype=torch.float32))
        self.register_buffer("middle", torch.tensor((space.high + space.low) / 2, dtype=torch.float32))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled actions `[B, A]` and their log-densities `[B]`."""
        x = F.relu(self.second(F.relu(self.first(obs))))
        log_std = LOG_STD_LOW + (LOG_STD_HIGH - LOG_STD_LOW) * (torch.tanh(self.log_std(x)) + 1) / 2
        normal = torch.distributions.Normal(self.mean(x), log_std.exp())
        u = normal.rsample()
        squashed = torch.tanh(u)
        log_prob = normal.log_prob(u) - torch.log(self.scale * (1 - squashed.pow(2)) + 1e-6)
        return squashed * self.scale + self.middle, log_prob.sum(1)


class Buffer:
    """A ring of NumPy arrays."""

    def __init__(self, obs_size: int, action_size: int) -> None:
        sizes = (obs_size, action_size, 1, obs_size, 1)
        self._fields = [np.zeros((BUFFER, size), np.float32) for size in sizes]
        self._added = 0

    def add(self, *transition: Any) -> None:
        """obs, action, reward, next_obs, terminated."""
        for field, value in zip(self._fields, transition, strict=True):
            field[self._added % BUFFER] = value
        self._added += 1

    def sample(self) -> list[Tensor]:
        """A mini-batch, in the order of `add`."""
        rows = np.random.randint(0, min(self._added, BUFFER), BATCH)
        return [torch.from_numpy(field[rows]) for field in self._fields]


class Agent:
    """Networks, optimizers and the update."""

    def __init__(self, obs_size: int, space: gym.spaces.Box) -> None:
        size = space.shape[0]
        self.actor = Actor(obs_size, space)
        self._q1, self._q2, self._target1, self._target2 = (QNetwork(obs_size, size) for _ in range(4))
        self._target1.load_state_dict(self._q1.state_dict())
        self._target2.load_state_dict(self._q2.state_dict())
        self._log_alpha = torch.zeros(1, requires_grad=True)
        self._alpha, self._target_entropy = 1.0, -float(size)
        self._q_adam = Adam([*self._q1.parameters(), *self._q2.parameters()], lr=LR)
        self._actor_adam = Adam(self.actor.parameters(), lr=LR)
        self._alpha_adam = Adam([self._log_alpha], lr=LR)

    def updates(self) -> int:
        """What the three Adams say."""
        return adam_steps(self._q_adam, self._actor_adam, self._alpha_adam)

    def update(self, batch: list[Tensor]) -> None:
        """Critics, actor, temperature, targets."""
        obs, action, reward, next_obs, terminated = batch
        with torch.no_grad():
            next_action, next_log_prob = self.actor(next_obs)
            lower = torch.min(self._target1(next_obs, next_action), self._target2(next_obs, next_action))
            value = lower - self._alpha * next_log_prob
            y = reward.squeeze(1) + GAMMA * (1 - terminated.squeeze(1)) * value
        _step(self._q_adam, F.mse_loss(self._q1(obs, action), y) + F.mse_loss(self._q2(obs, action), y))
        chosen, log_prob = self.actor(obs)
        q = torch.min(self._q1(obs, chosen), self._q2(obs, chosen))
        _step(self._actor_adam, (self._alpha * log_prob - q).mean())
        surplus = log_prob.detach() + self._target_entropy
        _step(self._alpha_adam, -(self._log_alpha.exp() * surplus).mean())
        self._alpha = self._log_alpha.exp().item()
        for target, online in ((self._target1, self._q1), (self._target2, self._q2)):
            for lagging, now in zip(target.parameters(), online.parameters(), strict=True):
                lagging.data.copy_(TAU * now.data + (1 - TAU) * lagging.data)


def _step(adam: Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


def main() -> None:
    """Trains until the command to quit."""
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    gated = GatedEnv(arguments.env, arguments.learning_starts, PACKAGES)
    envs = gym.vector.SyncVectorEnv([lambda: gated], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    obs_size = gated.observation_space.shape[0]
    agent = Agent(obs_size, gated.action_space)
    gated.updates = agent.updates
    buffer = Buffer(obs_size, gated.action_space.shape[0])
    obs, _ = envs.reset(seed=0)
    env_steps = 0
    while True:
        if env_steps < arguments.learning_starts:
            action = envs.action_space.sample()
        else:
            with torch.no_grad():
                action = agent.actor(torch.as_tensor(obs, dtype=torch.float32))[0].numpy()
        next_obs, reward, terminated, truncated, infos = envs.step(action)
        env_steps += 1
        ended = terminated[0] or truncated[0]
        buffer.add(
            obs[0], action[0], reward[0], infos["final_obs"][0] if ended else next_obs[0], terminated[0]
        )
        obs = next_obs
        if env_steps > arguments.learning_starts:
            agent.update(buffer.sample())


if __name__ == "__main__":
    main()
