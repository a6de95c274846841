"""python report.py runs=MULTIRUN_DIR"""

from sac_lightning.cli.report import main

if __name__ == "__main__":
    main()
