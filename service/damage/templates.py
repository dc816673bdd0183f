"""What is damaged: the folders of a small training run and a small benchmark, and their caches."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.configs.load import dump_config
from l2o.configs.schema import BenchmarkConfig, TrainConfig

TASK = {"networks": 1, "pretrain_steps": 2, "target_test_images": 64}
FINETUNING = {"steps": 10, "guidance": {}}


@dataclass(frozen=True)
class Templates:
    """Whole folders, which trials copy.

    Attributes:
        train: folder of a training run; `train.yaml` beside it is its config.
        benchmark: folder of a benchmark; `benchmark.yaml` beside it is its config.
        cache: of pretrained networks and kernels.
    """

    train: Path
    benchmark: Path
    cache: Path

    def folder(self, name: str) -> Path:
        """Return one by its name."""
        found: Path = getattr(self, name)
        return found

    def config(self, name: str) -> Path:
        """Return the config that a folder was made of."""
        return self.train.parent / f"{name}.yaml"


def make_templates(parent: Path) -> Templates:
    """Train and benchmark in a folder, with caches of their own."""
    from l2o.benchmarks import run_benchmark, write_report
    from l2o.envs.runtime.run_lock import OWNER
    from l2o.policies.train import train

    templates = Templates(parent / "train", parent / "benchmark", parent / "cache")
    configs: dict[str, Any] = {"train": train_config(), "benchmark": benchmark_config()}
    for name, config in configs.items():
        templates.config(name).write_text(dump_config(config), encoding="utf-8")
    _copy_kernels(templates.cache / "kernels")
    with own_cache(templates.cache):
        train(configs["train"], templates.train, progress=False)
        run_benchmark(configs["benchmark"], templates.benchmark, workers=1, progress=False)
        write_report(templates.benchmark)
        _cache_tensors(templates.cache / "test" / "tensors.safetensors")
    owner = {"pid": 1, "host": "h", "since": "2020-01-01 00:00:00", "command": "l2o train"}
    (templates.train / OWNER).write_text(json.dumps(owner), encoding="utf-8")
    return templates


def _copy_kernels(folder: Path) -> None:
    """Take the kernels that are compiled already, if there are any."""
    from l2o.envs.stacked.kernels.library import load_kernels

    kernels = load_kernels()
    folder.mkdir(parents=True)
    if kernels is not None and Path(kernels._name).is_file():
        shutil.copy(kernels._name, folder)


def _cache_tensors(path: Path) -> None:
    import torch

    from l2o.envs.tasks.proxy.cache import load_or_make

    tensors = {"weight": torch.arange(600.0).reshape(20, 30)}
    load_or_make(path, lambda: tensors, {"weight": (20, 30)})


def train_config() -> TrainConfig:
    """Return the config of the training run: a few iterations, each with its checkpoint."""
    algorithm = {"name": "ppo", "options": {"decisions": 4, "minibatches": 1, "epochs": 1}}
    task = {"name": "digits", "options": {"split": "train", **TASK}}
    return TrainConfig.model_validate(
        {
            "task": task,
            "finetuning": FINETUNING | {"interval": 10},
            "environment": {"tasks": 1},
            "network": {"hidden": 8},
            "algorithm": algorithm,
            "episodes": 12,
            "workers": 1,
            "executor": {"name": "here"},
            "environments": 4,
            "checkpoint_every": 1,
            "evaluation": {"tasks": 1, "base_lrs": [0.03]},
        },
        strict=False,
    )


def benchmark_config() -> BenchmarkConfig:
    """Return the config of the benchmark: two rows, a few fine-tunes each."""
    return BenchmarkConfig.model_validate(
        {
            "task": {"name": "digits", "options": {"split": "heldout", **TASK}},
            "tasks": 1,
            "seeds": 3,
            "finetuning": FINETUNING,
            "rows": [{"label": "constant"}, {"label": "cosine", "schedule": "cosine"}],
            "evaluations": 2,
            "bootstrap": 50,
        },
        strict=False,
    )


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Let caches lie in a folder of their own meanwhile."""
    before = os.environ.get("L2O_CACHE")
    os.environ["L2O_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["L2O_CACHE"]
        else:
            os.environ["L2O_CACHE"] = before
