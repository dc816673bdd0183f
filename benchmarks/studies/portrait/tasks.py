"""Which held-out tasks are shown: the first ones of each family of a benchmark, in turn."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import count, islice

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.comparisons.zero_shot.plan import task_of
from l2o.configs.load import load_config, load_table
from l2o.configs.schema import FineTuning, Named
from l2o.configs.zero_shot import ZeroShotConfig


@dataclass(frozen=True)
class ShownTask:
    """A task, and how its network is fine-tuned.

    Attributes:
        family: name of its family in the benchmark.
        task: the family's config.
        task_seed: which task of it.
        finetuning: the inner loop.
    """

    family: str
    task: Named
    task_seed: int
    finetuning: FineTuning


def choose_tasks(
    source: str, overrides: list[str], number: int, steps: int | None = None
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
    if not isinstance(config, ZeroShotConfig):
        config = load_table(source, overrides)
        families = {config.task.name.rpartition(":")[2]: (config.task, config.finetuning)}
    else:
        families = {k: (task_of(f), f.finetuning) for k, f in config.families.items()}
    each = ((seed, name, *found) for seed in count() for name, found in families.items())
    shown = []
    for seed, name, task, finetuning in islice(each, number):
        loop = finetuning.model_copy(update={"steps": steps}) if steps else finetuning
        shown.append(ShownTask(name, task, seed, loop))
    for task_json in dict.fromkeys(chosen.task.model_dump_json() for chosen in shown):
        load_family(task_json).prepare(progress=sys.stderr.isatty())
    return shown
