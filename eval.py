"""python eval.py run=RUN_DIR episodes=20 video=true"""

from sac_lightning.cli.evaluate import main

if __name__ == "__main__":
    main()
