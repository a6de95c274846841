"""What a run asks of the machine."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from test_update import module_of, noise_of, sample_of

from sac_lightning.hardware import has_compiler

# In a process of its own, for the allocator's setting lasts as long as its process.
FAULTS = """
    import resource, torch
    from torch.optim import Adam
    from sac_lightning import SACModule
    from sac_lightning.spaces import BoxAction, ObsSpec
    from sac_lightning.hardware import keep_freed_memory
    from sac_lightning.types import Batch, Sample
    from sac_lightning.update import Parts, Update

    torch.set_num_threads(1)
    keep_freed_memory()
    module = SACModule(ObsSpec((3,), "float32"), BoxAction((-1.0,), (1.0,), (1,)))
    owned = (module.critic.parameters(), module.actor.parameters(), [module.log_alpha])
    update = Update(Parts.of(module), [Adam(each) for each in owned])

    def faults(updates):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(updates):
            obs, ends = torch.randn(2, 256, 3), torch.zeros(256, dtype=torch.bool)
            batch = Batch(obs[0], torch.rand(256, 1), torch.randn(256), obs[1], ends)
            update(Sample(batch, torch.randint(256, (256,))), torch.randn(2, 256, 1))
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / updates

    faults(10)
    print(faults(20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc's allocator, which is Linux's")
def test_an_update_takes_no_page_faults() -> None:
    line = [sys.executable, "-c", textwrap.dedent(FAULTS)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) < 20  # 900 where freed blocks go back to the system


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler (g++ or clang++)")
@pytest.mark.parametrize("head", ["tanh_normal", "categorical"])
def test_a_replayed_cuda_graph_does_what_the_eager_update_does(head: str) -> None:
    from sac_lightning.update import Parts, Update

    from sac_lightning.types import Batch, Sample

    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        samples = [(sample_of(head), torch.stack((noise_of(head), noise_of(head)))) for _ in range(6)]
        module = module_of(head).cuda()
        owned = (module.critic.parameters(), module.actor.parameters(), [module.log_alpha])
        optimizers = [torch.optim.Adam(each, lr=1e-3) for each in owned]
        update = Update(Parts.of(module), optimizers, compiled=compiled)
        rows = [
            update(Sample(Batch(*(each.cuda() for each in sample.rows)), sample.drawn.cuda()), noise.cuda())
            for sample, noise in samples
        ]
        metrics = torch.stack([value for row in rows for value in row.values()])
        found.append([metrics, *module.state_dict().values()])
    for eager, graph in zip(*found, strict=True):
        torch.testing.assert_close(graph, eager, rtol=1e-3, atol=1e-4)
