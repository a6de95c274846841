"""TorchRL's SAC: its collector, buffer, loss and target updater, put together as its own SAC script does.

One optimizer a loss there is merged into a single Adam, and so it is here; three batches are fetched ahead;
losses are squared, as everyone's are. The transforms that only report the returns of episodes are left out.
"""

from concurrent.futures import wait

import torch
from gated_env import BATCH, BUFFER, GAMMA, HIDDEN, LR, TAU, GatedEnv, adam_steps, parser
from tensordict.nn import InteractionType, TensorDictModule
from torch import nn
from torch.optim import Adam
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs import DoubleToFloat, GymWrapper, TransformedEnv
from torchrl.modules import MLP, NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import SACLoss, SoftUpdate, ValueEstimators, group_optimizers

PACKAGES = ("torchrl", "tensordict", "torch", "gymnasium", "numpy")


def networks(env: TransformedEnv) -> tuple[ProbabilisticActor, ValueOperator]:
    """Actor and critic, their first layers sized by a look at the env."""
    spec = env.action_spec_unbatched
    mlp = {"num_cells": [HIDDEN, HIDDEN], "activation_class": nn.ReLU}
    body = nn.Sequential(MLP(out_features=2 * spec.shape[-1], **mlp), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(body, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=spec,
        distribution_class=TanhNormal,
        distribution_kwargs={"low": spec.space.low, "high": spec.space.high},
        default_interaction_type=InteractionType.RANDOM,
    )
    critic = ValueOperator(MLP(out_features=1, **mlp), in_keys=["action", "observation"])
    with torch.no_grad():
        seen = env.fake_tensordict()
        for each in (actor, critic):
            each(seen)
    return actor, critic


def main() -> None:
    """Trains until the command to quit."""
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    gated = GatedEnv(arguments.env, arguments.learning_starts, PACKAGES)
    env = TransformedEnv(GymWrapper(gated), DoubleToFloat())
    env.set_seed(0)
    actor, critic = networks(env)
    loss = SACLoss(actor, critic, num_qvalue_nets=2, loss_function="l2", action_spec=env.action_spec)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=GAMMA)
    targets = SoftUpdate(loss, tau=TAU)
    owned = (
        list(loss.actor_network_params.flatten_keys().values()),
        list(loss.qvalue_network_params.flatten_keys().values()),
        [loss.log_alpha],
    )
    adam = group_optimizers(*(Adam(parameters, lr=LR) for parameters in owned))
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(BUFFER), batch_size=BATCH, prefetch=3)

    def updates() -> int:
        wait(buffer._prefetch_queue)  # the threads that fetch must not run on between segments
        return adam_steps(adam)

    gated.updates = updates
    collector = Collector(
        env,
        actor,
        frames_per_batch=1,
        total_frames=-1,
        init_random_frames=arguments.learning_starts,
        auto_register_policy_transforms=False,
        device="cpu",
    )
    env_steps = 0
    for collected in collector:
        collector.update_policy_weights_()
        buffer.extend(collected.reshape(-1))
        env_steps += collected.numel()
        if env_steps > arguments.learning_starts:
            losses = loss(buffer.sample())
            (losses["loss_actor"] + losses["loss_qvalue"] + losses["loss_alpha"]).backward()
            adam.step()
            adam.zero_grad()
            targets.step()


if __name__ == "__main__":
    main()
