"""A Ray Train run of two workers that do nothing: they print the time at which they were there."""

import sys
import time
from pathlib import Path

import ray
import ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer


def work(setting: dict[str, str]) -> None:
    if ray.train.get_context().get_world_rank() == 0:
        Path(setting["file"]).write_text(str(time.time()))


if __name__ == "__main__":
    ray.init("local", num_cpus=2, logging_level="ERROR", log_to_driver=False)
    TorchTrainer(
        work,
        train_loop_config={"file": sys.argv[1]},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=str(Path(sys.argv[1]).parent / "ray")),
    ).fit()
