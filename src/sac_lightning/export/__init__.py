"""A policy or a replay journal as a file that other programs read without this package."""

from sac_lightning.export.check import TOLERANCE, ExportError, largest_difference
from sac_lightning.export.dataset import (
    Episode,
    Rows,
    check_name,
    default_name,
    episodes,
    read_rows,
    write_dataset,
)
from sac_lightning.export.program import (
    PolicyGraph,
    describe,
    onnx_bytes,
    run_onnx,
    run_torch,
    torch_bytes,
)

__all__ = [
    "TOLERANCE",
    "Episode",
    "ExportError",
    "PolicyGraph",
    "Rows",
    "check_name",
    "default_name",
    "describe",
    "episodes",
    "largest_difference",
    "onnx_bytes",
    "read_rows",
    "run_onnx",
    "run_torch",
    "torch_bytes",
    "write_dataset",
]
