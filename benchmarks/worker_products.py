"""The matrix products of one update and nothing else: what no implementation on these kernels can beat.

With batch 256 and two hidden layers of 256, an update has sixteen products of 256×256×256:

    target        actor forward 1, two target critics forward 2
    critic loss   two critics forward 2, backward to weights 2 and to inputs 2
    actor loss    actor forward 1, two critics forward 2, two critics backward to inputs 2,
                  actor backward to weights 1 and to inputs 1

The narrow first and last layers are left out, so the true limit lies a little lower.
"""

import argparse
import time

import torch
from gate import Channel, versions
from torch import Tensor

WIDTH = 256
CRITICS = 2


class Products:
    """The sixteen products on fixed buffers."""

    def __init__(self, dtype: torch.dtype) -> None:
        def random(*shape: int) -> Tensor:
            return torch.randn(*shape).to(dtype)

        self._x, self._w, self._g = (random(WIDTH, WIDTH) for _ in range(3))
        self._out = torch.empty_like(self._x)
        self._xs, self._ws, self._gs = (random(CRITICS, WIDTH, WIDTH) for _ in range(3))
        self._outs = torch.empty_like(self._xs)

    def update(self) -> None:
        """One update's worth: four products of the actor, six pairs of the critics."""
        self._actor_forward()
        self._critics_forward()  # the targets
        self._critics_forward()
        torch.bmm(self._xs.mT, self._gs, out=self._outs)
        self._critics_backward_to_inputs()
        self._actor_forward()
        self._critics_forward()
        self._critics_backward_to_inputs()
        torch.mm(self._x.T, self._g, out=self._out)
        torch.mm(self._g, self._w.T, out=self._out)

    def _actor_forward(self) -> None:
        torch.mm(self._x, self._w, out=self._out)

    def _critics_forward(self) -> None:
        torch.bmm(self._xs, self._ws, out=self._outs)

    def _critics_backward_to_inputs(self) -> None:
        torch.bmm(self._gs, self._ws.mT, out=self._outs)


def main() -> None:
    """Multiplies on command; an env step counts as one update."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    products = Products(torch.bfloat16 if arguments.bf16 else torch.float32)
    channel = Channel()
    torch.set_num_threads(arguments.threads)
    for _ in range(100):
        products.update()
    channel.answer(versions=versions(("torch",)))
    while (order := channel.next_order()).what != "quit":
        began = time.perf_counter()
        for _ in range(order.env_steps):
            products.update()
        seconds = time.perf_counter() - began
        channel.answer(env_steps=order.env_steps, updates=order.env_steps, seconds=seconds)


if __name__ == "__main__":
    main()
