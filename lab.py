"""python lab.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lab" / "src"))

from entropy_lab.command import main

if __name__ == "__main__":
    main()
