"""Which cells can be stacked, and with which others."""

from __future__ import annotations

import json
from functools import lru_cache

from l2o.benchmarks.cells.cell import Cell, load_family
from l2o.configs.schema import FineTuning
from l2o.guidance.weight import Weight
from l2o.intervals import Interval

ALONE = ""
"""Key of cells that are run one by one."""


def stack_key(cell: Cell) -> str:
    """Return equal keys for cells that can be stacked; `ALONE` for one that has no stacked form.

    They share the task family and the inner loop, but for the weight of the guidance, and which
    guidance terms their policies scale. Those that watch the validation loss are kept apart: the
    others need not wait for its evaluation.
    """
    if why_alone(cell):
        return ALONE
    finetuning = cell.finetuning.model_dump(mode="json")
    for options in finetuning["guidance"].values():
        options.pop("weight", None)
    shared = [cell.task.model_dump(mode="json"), finetuning, cell.validates, cell.precision]
    shared.append(guidance_actions(cell))
    return json.dumps(shared, sort_keys=True)


def why_alone(cell: Cell) -> str:
    """Return what of a cell has no stacked form, empty if nothing.

    Raises:
        ValueError: an unknown task, optimizer or guidance.
    """
    family = load_family(cell.task.model_dump_json())
    if cell.guard or cell.groups is not None:
        return "guard or groups of its row"
    if cell.adaptation is not None:
        return "adaptation of its row"
    if cell.search is not None:
        return "search of its row"
    if _keeps_interval(cell):
        return "decision intervals of its policy"
    data = "" if family.in_memory else f"task {cell.task.name} (its data are not in memory)"
    return data or _why_alone(cell.finetuning.model_dump_json())


@lru_cache(maxsize=64)
def _why_alone(finetuning: str) -> str:
    from l2o.envs.fine_tuning.inner_loop import InnerLoop, build_guidance, build_optimizer
    from l2o.envs.stacked.guidance import unstackable
    from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS

    config = FineTuning.model_validate_json(finetuning)
    loop = InnerLoop.of(config)
    if not loop.compute.is_plain:
        return "precision, channels_last, accumulate or compile of finetuning"
    if not loop.is_plain:
        return "source_weights, source_norm or rehearsal of finetuning"
    if type(build_optimizer(config)) not in STACKED_OPTIMIZERS:
        return f"optimizer {config.optimizer.name}"
    missing = unstackable(build_guidance(config))
    return f"guidance {', '.join(missing)}" if missing else ""


def guidance_actions(cell: Cell) -> tuple[str, ...]:
    """Return the names of the guidance terms whose weights a cell's policy scales."""
    return _guidance_actions(cell.choice.policy, cell.fingerprint)


@lru_cache(maxsize=64)
def _guidance_actions(policy: str | None, fingerprint: str) -> tuple[str, ...]:
    from l2o.configs.schema import PolicyChoice
    from l2o.envs.policy_choice import build_policy

    del fingerprint  # of a bundle that is written anew the actions may be others
    return () if policy is None else build_policy(PolicyChoice(policy=policy)).guidance_actions


def _keeps_interval(cell: Cell) -> bool:
    """Tell whether a cell's policy decides at other steps than the others of a stack."""
    from l2o.envs.fine_tuning.inner_loop import decision_interval

    if cell.choice.policy is None:
        return False
    own = _own_interval(cell.choice.policy, cell.fingerprint)
    return own is not None and own != decision_interval(cell.finetuning)


@lru_cache(maxsize=64)
def _own_interval(name: str, fingerprint: str) -> Interval | None:
    from l2o.configs.schema import PolicyChoice
    from l2o.envs.policy_choice import build_policy

    del fingerprint  # of a bundle that is written anew it may be another
    policy = build_policy(PolicyChoice(policy=name))
    return policy.decision_interval(None) if policy.keeps_interval else None


def guidance_weights(cell: Cell) -> dict[str, Weight]:
    """Return the weights of a cell's guidance, by name."""
    from l2o.envs.fine_tuning.inner_loop import build_guidance

    return {name: term.weight for name, term in build_guidance(cell.finetuning).items()}
