"""The commands that jobs may run."""

from __future__ import annotations

from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.commands.configured import Benchmark, Finetune, Simulate, Train, Tune
from l2o.service.server.jobs.commands.predict import Predict

COMMANDS: dict[str, Command] = {
    "finetune": Finetune(),
    "train": Train(),
    "benchmark": Benchmark(),
    "tune": Tune(),
    "simulate": Simulate(),
    "predict": Predict(),
}
"""The table of commands; none else is run."""
