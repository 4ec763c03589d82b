"""The same training with Ray as the scheduler: python recipes/launch/ray_train.py 16, with `pip install "ray[train]"`.

The number is that of the processes; 16 rows a step are shared out among them. With --cpu they take no GPU.
"""

import sys
from pathlib import Path

from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

GPU = "--cpu" not in sys.argv
WORKERS = int(next((word for word in sys.argv[1:] if word.isdigit()), 16))


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
        "setting": f"{max(1, 16 // WORKERS)}x1",
        "script": str(Path(__file__).resolve().with_name("train.py")),
        "out": str(Path("runs/ray").resolve()),  # a folder that every machine sees
    },
    scaling_config=ScalingConfig(num_workers=WORKERS, use_gpu=GPU),
    run_config=RunConfig(name="triage", storage_path=str(Path("runs/ray").resolve())),
).fit()
