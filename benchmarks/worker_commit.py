"""worker_ours.py of another checkout of this repository: its first argument is that checkout's folder."""

import runpy
import sys
from pathlib import Path

tree = Path(sys.argv.pop(1))
sys.path[:0] = [str(tree / "src"), str(tree / "benchmarks")]
sys.argv[0] = str(tree / "benchmarks" / "worker_ours.py")
runpy.run_path(sys.argv[0], run_name="__main__")
