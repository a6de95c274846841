"""python train.py env=pendulum alpha=auto"""

from sac_lightning.cli.train import main

if __name__ == "__main__":
    main()
