"""python lab.py"""

from sac_lightning.cli.lab import main

if __name__ == "__main__":
    main()
