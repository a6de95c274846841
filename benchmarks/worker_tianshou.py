"""Tianshou's SAC under its own off-policy trainer: one env step a collection, one gradient step after it.

No test collector, so there are no evaluations; no logger, so nothing is saved; the one epoch does not end.
Its trainer looks through the whole buffer for missing values after every collection: that is its own cost.
"""

import numpy as np
import torch
from gated_env import BATCH, BUFFER, FOREVER, GAMMA, HIDDEN, LR, TAU, GatedEnv, adam_steps, parser
from tianshou.algorithm.modelfree.sac import SAC, AutoAlpha, SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, ReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic

PACKAGES = ("tianshou", "torch", "gymnasium", "numpy")


def algorithm_for(env: GatedEnv) -> SAC:
    """SAC over two critics apart, each with its own Adam."""
    obs_shape, action_shape = env.observation_space.shape, env.action_space.shape
    body = Net(state_shape=obs_shape, hidden_sizes=[HIDDEN, HIDDEN])
    actor = ContinuousActorProbabilistic(
        preprocess_net=body, action_shape=action_shape, unbounded=True, conditioned_sigma=True
    )
    critics = [
        ContinuousCritic(
            preprocess_net=Net(
                state_shape=obs_shape, action_shape=action_shape, hidden_sizes=[HIDDEN, HIDDEN], concat=True
            )
        )
        for _ in range(2)
    ]
    adam = AdamOptimizerFactory(lr=LR)
    return SAC(
        policy=SACPolicy(actor=actor, action_space=env.action_space, observation_space=env.observation_space),
        policy_optim=adam,
        critic=critics[0],
        critic_optim=adam,
        critic2=critics[1],
        critic2_optim=adam,
        tau=TAU,
        gamma=GAMMA,
        alpha=AutoAlpha(target_entropy=-float(np.prod(action_shape)), log_alpha=0.0, optim=adam),
    )


def main() -> None:
    """Trains until the command to quit."""
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    gated = GatedEnv(arguments.env, arguments.learning_starts, PACKAGES)
    algorithm = algorithm_for(gated)
    wrapped = (algorithm.critic_optim, algorithm.critic2_optim, algorithm.policy_optim)
    adams = [*(each._optim for each in wrapped), algorithm.alpha._optim]
    gated.updates = lambda: adam_steps(*adams)
    collector = Collector(algorithm, DummyVectorEnv([lambda: gated]), ReplayBuffer(BUFFER))
    collector.reset()
    collector.collect(n_step=arguments.learning_starts, random=True)
    params = OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=FOREVER,
        collection_step_num_env_steps=1,
        update_step_num_gradient_steps_per_sample=1.0,
        batch_size=BATCH,
        test_collector=None,
        logger=None,
        verbose=False,
        show_progress=False,
    )
    algorithm.run_training(params)


if __name__ == "__main__":
    main()
