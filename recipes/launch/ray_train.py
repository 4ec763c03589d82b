"""The same training with Ray as the scheduler: python recipes/launch/ray_train.py, with `pip install "ray[train]"`."""

import sys
from pathlib import Path

from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

WORKERS, GPU = int(sys.argv[1]) if sys.argv[1:] else 16, "--cpu" not in sys.argv


def work(config):
    """Runs in each process; Ray has set RANK and WORLD_SIZE and started the process group, as torchrun does."""
    import runpy
    import sys

    sys.argv = ["train.py", config["setting"], "--out", config["out"]]
    sys.path.insert(0, str(Path(config["script"]).parent))
    runpy.run_path(config["script"], run_name="__main__")


TorchTrainer(
    work,
    train_loop_config={
        "setting": "8x1",
        "script": str(Path(__file__).resolve().with_name("train.py")),
        "out": str(Path("runs/ray").resolve()),  # a folder that every machine sees
    },
    scaling_config=ScalingConfig(num_workers=WORKERS, use_gpu=GPU),
    run_config=RunConfig(name="triage", storage_path=str(Path("runs/ray").resolve())),
).fit()
