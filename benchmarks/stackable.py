"""Which cells can be stacked, and with which others."""

from __future__ import annotations

import json
from functools import lru_cache

from l2o.benchmarks.cell import Cell
from l2o.configs.schema import FineTuning

ALONE = ""
"""Key of cells that are run one by one."""


def stack_key(cell: Cell) -> str:
    """Return equal keys for cells that can be stacked; `ALONE` for one that has no stacked form.

    They share the task family and the inner loop, but for the weight of the guidance. Those that
    watch the validation loss are kept apart: the others need not wait for its evaluation.
    """
    if why_alone(cell):
        return ALONE
    finetuning = cell.finetuning.model_dump(mode="json")
    for options in finetuning["guidance"].values():
        options.pop("weight", None)
    shared = [cell.task.model_dump(mode="json"), finetuning, cell.validates, cell.precision]
    return json.dumps(shared, sort_keys=True)


def why_alone(cell: Cell) -> str:
    """Return what of a cell has no stacked form, empty if nothing.

    Raises:
        ValueError: an unknown optimizer or guidance.
    """
    return _why_alone(cell.finetuning.model_dump_json())


@lru_cache(maxsize=64)
def _why_alone(finetuning: str) -> str:
    from l2o.envs.finetuning import build_guidance, build_optimizer
    from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
    from l2o.guidance import ProxyKL

    config = FineTuning.model_validate_json(finetuning)
    if type(build_optimizer(config)) not in STACKED_OPTIMIZERS:
        return f"optimizer {config.optimizer.name}"
    terms = build_guidance(config)
    if len(terms) > 1 or any(type(term) is not ProxyKL for term in terms):
        return f"guidance {', '.join(config.guidance)}"
    return ""


def guidance_weight(cell: Cell) -> float | None:
    """Return the weight of a cell's guidance, None without one."""
    from l2o.envs.finetuning import build_guidance

    terms = build_guidance(cell.finetuning)
    return terms[0].weight if terms else None
