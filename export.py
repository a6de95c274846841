"""python export.py run=RUN_DIR format=onnx"""

from sac_lightning.cli.export import main

if __name__ == "__main__":
    main()
