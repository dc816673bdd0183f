"""The kinds of file that runs leave, and who reads each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from l2o.service.damage.templates import Templates

Read = Callable[[Path, Path], Any]
"""Reads a damaged file as a command does: its run's folder, the file. Returns what it found."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        template: which folder it lies in.
        file: a pattern that finds it there.
        read: how it is read.
        optional: whether its absence is no damage: what needs it does without.
        cache: whether it is made anew, instead of being refused.
    """

    template: str
    file: str
    read: Read
    optional: bool = False
    cache: bool = False


def _command(*words: str) -> Any:
    """Run the command line in this process; return what it printed.

    Raises:
        CommandError: it ended with a message.
    """
    from typer.testing import CliRunner

    from l2o.service.cli import app

    result = CliRunner().invoke(app, list(words), prog_name="l2o")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        raise CommandError(result.stderr, result.exit_code)
    return result.stdout.replace(words[1], "DIR")


class CommandError(Exception):
    """A command that ended with a message.

    Attributes:
        code: its exit code.
    """

    def __init__(self, said: str, code: int) -> None:
        super().__init__(said)
        self.code = code


def report(folder: Path, path: Path) -> Any:
    """Make the report."""
    return _command("report", str(folder))


def card(folder: Path, path: Path) -> Any:
    """Show the card of a policy."""
    return _command("policies", str(folder))


def resume(config: Path, folder: Path, path: Path) -> Any:
    """Go on with a training run whose budget is spent."""
    _command("train", str(config), "--out", str(folder), "--resume")
    return None


def weights(folder: Path, path: Path) -> Any:
    """Load a policy."""
    from l2o.deciding.bundle import load_bundle

    state = load_bundle(folder).network.state_dict()
    return {name: value.tolist() for name, value in state.items()}


def log(folder: Path, path: Path) -> Any:
    """Read a training run's log, and cut off what its checkpoint does not know."""
    from l2o.policies.common.metrics import MetricsLog, last_iteration

    last_iteration(folder)
    metrics = MetricsLog(folder)
    try:
        metrics.truncate(2)
    finally:
        metrics.close()


def learned(config: Path, folder: Path, path: Path) -> Any:
    """Ask whether a training run has ended, as an ablation does."""
    from l2o.benchmarks.comparisons.ablation.learn import is_learned
    from l2o.configs.load import load_policy_training

    return is_learned(load_policy_training(config), folder)


def compare(kind: Any, config: Path, folder: Path, path: Path) -> Any:
    """Hold a run's config against the one it is to go on with; differences are told."""
    from l2o.configs.load import load_config
    from l2o.service.run_folder import changed_fields

    changed_fields(folder, kind, load_config(kind, config))


def records(folder: Path, path: Path) -> Any:
    """Go on with a benchmark's records."""
    from l2o.benchmarks.cells.record_file import mend, read

    mend(path)
    read(path)


def lock(folder: Path, path: Path) -> Any:
    """Take a folder over from a run that was killed."""
    from l2o.envs.runtime.run_lock import run_lock

    with run_lock(folder):
        pass


def tensors(folder: Path, path: Path) -> Any:
    """Ask the cache for tensors, which are made anew if need be."""
    import torch

    from l2o.envs.tasks.proxy.cache import load_or_make

    made = {"weight": torch.arange(600.0).reshape(20, 30)}
    found = load_or_make(path, lambda: made, {"weight": (20, 30)})
    return found["weight"].tolist()


def kernels(folder: Path, path: Path) -> Any:
    """Load the compiled kernels; what compiles them anew is the test's own."""
    from l2o.envs.stacked.kernels import library

    return library.open_library().l2o_scratch is not None


def kinds(templates: Templates) -> dict[str, Kind]:
    """Return the kinds of file: name -> where it lies and who reads it."""
    trained, compared = templates.config("train"), templates.config("benchmark")
    return {
        "checkpoint": Kind("train", "checkpoints/latest.pt", partial(resume, trained)),
        "log of a training": Kind("train", "metrics.jsonl", log, optional=True),
        "config of a training": Kind("train", "config.yaml", partial(compare, "train", trained)),
        "results of a training": Kind(
            "train", "results.json", partial(learned, trained), optional=True
        ),
        "policy's weights": Kind("train", "policy.safetensors", weights),
        "policy's card": Kind("train", "card.json", card),
        "results": Kind("benchmark", "results.json", report),
        "records, for a report": Kind("benchmark", "cells.jsonl", report, optional=True),
        "records, to go on": Kind("benchmark", "cells.jsonl", records, optional=True),
        "samples": Kind("benchmark", "samples.npz", report, optional=True),
        "config of a benchmark": Kind(
            "benchmark", "config.yaml", partial(compare, "benchmark", compared)
        ),
        "lock of a killed run": Kind("train", ".l2o.lock.json", lock, cache=True),
        "cached tensors": Kind("cache", "test/tensors.safetensors", tensors, cache=True),
        "compiled kernels": Kind("cache", "kernels/*.so", kernels, cache=True),
    }
