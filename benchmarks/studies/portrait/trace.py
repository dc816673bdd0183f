"""One fine-tune under a policy, recorded at every decision; on demand with a spike in its loss."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
import torch

from l2o.benchmarks.cells.cell import learning_rates, load_family, load_task
from l2o.benchmarks.cells.record import LearningRates, finite
from l2o.benchmarks.comparisons.zero_shot.plan import task_of
from l2o.benchmarks.statistics import Array
from l2o.configs.load import load_config, load_table
from l2o.configs.schema import FineTuning, Named
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.policy import Policy
from l2o.envs.fine_tuning.fine_tune import FineTune


@dataclass(frozen=True)
class ShownTask:
    """A task of a family of a benchmark, and how its network is fine-tuned."""

    family: str
    task: Named
    task_seed: int
    finetuning: FineTuning


@dataclass(frozen=True)
class Spike:
    """Noise on the weights, so that the loss jumps: w becomes w + size · rms(w) · ε, ε ~ N(0, 1).

    Attributes:
        size: relative to the weights of a tensor: 1 is noise as large as they are.
        at: when, in shares of the training; at the first decision from then on.
        seed: of the noise.
        step: at which it came; None before, or where a run diverged before.

    Example:
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> before = model.weight.detach().clone()
        >>> Spike(size=0.0).disturb(model)
        >>> torch.equal(before, model.weight)
        True
    """

    size: float = 1.0
    at: float = 0.5
    seed: int = 0
    step: int | None = None

    @torch.no_grad()
    def disturb(self, model: torch.nn.Module) -> None:
        """Add the noise to all trained parameters, head and backbone, in place."""
        generator = torch.Generator().manual_seed(self.seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.add_(noise * (self.size * parameter.square().mean().sqrt()))


@dataclass(frozen=True)
class Losses:
    """The mean loss of each window, and the step at its end."""

    step: Sequence[int]
    value: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What was decided in a fine-tune and what came of it; `heads`: which groups are the head."""

    family: str
    task_seed: int
    network: str
    seed: int = 0
    base_lr_factor: float
    steps: int
    target_accuracy: float | None
    diverged: bool
    loss: Losses
    heads: Sequence[bool]
    learning_rates: LearningRates
    spike: Spike | None = None

    @property
    def title(self) -> str:
        """Which task, on which network."""
        return f"{self.family} {self.task_seed}: {self.network}"

    @property
    def logs(self) -> Array:
        """Log10 multipliers `[decisions, groups]`; NaN where a layer was frozen."""
        rates = self.learning_rates
        values = np.array(rates.multipliers, dtype=np.float64).reshape(-1, len(rates.groups))
        return np.log10(np.where(values > 0, values, np.nan))

    @property
    def log_rates(self) -> Array:
        """Log10 of the effective learning rates, base LR x multiplier: `[decisions, groups]`."""
        return self.logs + np.log10(self.learning_rates.base_lr)

    def parts(self, logs: Array) -> dict[str, Array]:
        """Return the means over the head's groups and over the backbone's, `[decisions]` each.

        They are over the groups that were not frozen; NaN where all were.
        """
        heads, known = np.array(self.heads), np.ma.masked_invalid(logs)
        chosen = {"head": known[:, heads], "backbone": known[:, ~heads]}
        return {k: v.mean(axis=1).filled(np.nan) for k, v in chosen.items() if v.size}


def record_trace(
    shown: ShownTask,
    policy: Policy,
    *,
    base_lr_factor: float = 1.0,
    seed: int = 0,
    spike: Spike | None = None,
) -> Trace:
    """Fine-tune, and return what was decided and what came of it, on real test images.

    Args:
        shown: the task.
        policy: sets the learning rates.
        base_lr_factor: times the task's base learning rate.
        seed: of the new head and the batches.
        spike: noise on the weights on the way; None for none.

    Raises:
        ValueError: the policy refuses the network, or does not fit the guidance.
    """
    task = load_task(shown.task.model_dump_json(), shown.task_seed)
    base_lr = task.base_lr * base_lr_factor
    run = FineTune(task, shown.finetuning, policy=policy, base_lr=base_lr, seed=seed)
    steps, values = [], []
    while not run.done:
        if spike is not None and spike.step is None and run.step >= spike.at * run.steps:
            spike.disturb(run.model)
            spike = replace(spike, step=run.step)
        run.advance(run.window)
        steps.append(run.step)
        values.append(finite(run.last_loss))
    controller = run.controller
    # What is decided at the very end is never used.
    used = [(d.step, d.multipliers) for d in controller.history if d.step < run.steps]
    names, terms = [group.name for group in controller.groups], list(controller.guidance.terms)
    return Trace(
        family=shown.family,
        task_seed=shown.task_seed,
        network=type(run.model).__name__,
        seed=seed,
        base_lr_factor=base_lr_factor,
        steps=run.steps,
        target_accuracy=finite(run.scores("target_test")[run.objective.main]),
        diverged=run.diverged,
        loss=Losses(steps, values),
        heads=[group.is_head for group in controller.groups],
        learning_rates=learning_rates(names, used, base_lr, terms),
        spike=spike,
    )


def choose_tasks(
    source: str, overrides: Sequence[str], number: int, steps: int | None = None
) -> list[ShownTask]:
    """Return the first tasks of the families of a benchmark, a task of each family in turn.

    Args:
        source: preset or YAML file of a benchmark, over one family or several.
        overrides: `key=value`.
        number: how many.
        steps: length of the fine-tunes; None takes the benchmark's.

    Raises:
        ConfigError: wrong fields, or an ablation.
        ValueError: a family that does not exist, or refuses its options.
    """
    config = load_config("benchmark", source, overrides)
    if isinstance(config, ZeroShotConfig):
        families = {k: (task_of(f), f.finetuning) for k, f in config.families.items()}
    else:
        table = load_table(source, overrides)
        families = {table.task.name.rpartition(":")[2]: (table.task, table.finetuning)}
    each = ((seed, name, *found) for seed in count() for name, found in families.items())
    shown = []
    for seed, name, task, finetuning in islice(each, number):
        loop = finetuning.model_copy(update={"steps": steps}) if steps else finetuning
        shown.append(ShownTask(name, task, seed, loop))
    for task_json in dict.fromkeys(chosen.task.model_dump_json() for chosen in shown):
        load_family(task_json).prepare(progress=sys.stderr.isatty())
    return shown
