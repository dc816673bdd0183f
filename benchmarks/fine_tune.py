"""`l2o finetune`: one fine-tune under a policy or a schedule, with its picture."""

from __future__ import annotations

import sys
from pathlib import Path

from l2o.benchmarks.cells.cell import Cell, load_family, load_task, measure
from l2o.benchmarks.cells.quantities import KEPT, QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.report.figures.learning_rates import draw_learning_rates
from l2o.benchmarks.report.page import to_picture
from l2o.configs.schema import FinetuneConfig, Named, PolicyChoice
from l2o.envs.inner_loop import InnerLoop
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.run_lock import run_lock
from l2o.envs.runtime.threads import one_thread
from l2o.files.atomic import write_atomically
from l2o.files.seals import read_json, write_json
from l2o.guidance.rows import GuidanceRows

EVALUATIONS = 20
"""Points of the accuracy curve."""


def run_finetune(config: FinetuneConfig, out: str | Path) -> Path:
    """Fine-tune once; write `results.json` and `figures/learning_rates.png` into a folder.

    Args:
        config: task, loop, and the policy or schedule.
        out: the folder; made if missing.

    Returns:
        Path of `results.json`.

    Raises:
        ValueError: unknown names or impossible values; found before any work.
        FolderInUseError: another run is at work in the folder.
    """
    out = Path(out)
    check(config)
    with run_lock(out), one_thread():
        load_family(config.task.model_dump_json()).prepare(progress=sys.stderr.isatty())
        record = measure(_cell(config))
        plain = record.model_dump(mode="json", exclude={"error", "traceback"})
        results = {"kind": "finetune", "choice": describe(config.choice), **plain}
        path = out / "results.json"
        write_json(path, results, indent=2)
        title = f"{describe(config.choice)}, base LR {record.rates.base_lr:g}"
        picture = to_picture("learning_rates", title, "", draw_learning_rates(record, title))
        write_atomically(out / "figures" / "learning_rates.png", picture.png)
    return path


def check(config: FinetuneConfig) -> None:
    """Refuse a config that cannot run, before anything is written.

    Raises:
        ValueError: unknown names or impossible values.
    """
    GuidanceRows.of(InnerLoop.of(config.finetuning).guidance, build_policy(config.choice))
    load_family(config.task.model_dump_json())


def _cell(config: FinetuneConfig) -> Cell:
    task = load_task(config.task.model_dump_json(), config.task_seed)
    return Cell(
        task=config.task,
        task_seed=config.task_seed,
        seed=config.seed,
        base_lr_factor=config.base_lr / task.base_lr if config.base_lr else 1.0,
        finetuning=config.finetuning,
        choice=config.choice,
        evaluations=EVALUATIONS,
    )


def describe(choice: PolicyChoice) -> str:
    """Return a short name of what sets the learning rates.

    Example:
        >>> describe(PolicyChoice(schedule="cosine", profile="small_backbone"))
        'cosine, small_backbone'
    """
    if choice.policy is not None:
        return f"policy {Path(choice.policy).name}"
    if choice.rule is not None:
        return choice.rule if isinstance(choice.rule, str) else choice.rule.name
    chosen = (choice.schedule, choice.profile)
    parts = [part.name if isinstance(part, Named) else part for part in chosen]
    return ", ".join(parts + (["early stopping"] if choice.early_stopping is not None else []))


def summary(path: Path) -> str:
    """Return one line on how the fine-tune of a `results.json` ended, for the terminal."""
    plain = read_json(path, "run it again")
    record = Record.model_validate({k: v for k, v in plain.items() if k in Record.model_fields})
    target, kept, source = (QUANTITIES[n].named(record) for n in (TARGET, KEPT, SOURCE))
    return (
        f"{target.words} {target.of(record):.3f}, {kept.words} kept {kept.of(record):.3f}, "
        f"{source.words} {source.of(record):.3f}" + ", diverged" * record.diverged
    )
