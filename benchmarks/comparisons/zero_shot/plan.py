"""From a zero-shot config to one benchmark per family."""

from __future__ import annotations

from pathlib import Path

from l2o.benchmarks.cells.quantities import TARGET
from l2o.benchmarks.comparisons.claims import BEST
from l2o.benchmarks.comparisons.table.plan import LEARNED, grid_rows
from l2o.benchmarks.comparisons.table.tuning import SELECTIONS
from l2o.configs.schema import BenchmarkConfig, Named, Row
from l2o.configs.zero_shot import HeldOutFamily, ZeroShotConfig
from l2o.registry import unknown_name

LITE = "lite policy"
"""Label of the row of the policy of fewer signals."""
KINDS = ("policy", "lite", *SELECTIONS)
"""What claims may call rows besides their labels: the policies, and the grid by each selection."""
FAILED, FINE_TUNES = "failed", "fine_tunes"
METRICS = (TARGET, FAILED, FINE_TUNES)
"""What claims may be about: differences; runs at chance or diverged; the cost at use."""
UNTUNED = ", untuned"
"""What the label of a schedule of the grid ends with, where it is run at the wrong base LRs."""


def family_config(config: ZeroShotConfig, name: str) -> BenchmarkConfig:
    """Return the benchmark of one family.

    Its rows are the policy, the lite one, every schedule of the grid at the wrong base LRs, the
    further rivals, and the grid, tuned over base LRs of its own. Fine-tunes that two of them share
    are run once.

    Example:
        >>> from l2o.configs.load import load_config
        >>> config = load_config("benchmark", "zero-shot")
        >>> family_config(config, "digits").rows[1].label
        'constant, flat, untuned'
    """
    family = config.families[name]
    lite = () if config.lite is None else (Row(label=LITE, policy=config.lite),)
    return BenchmarkConfig(
        title=f"{config.title}: {name}",
        task=task_of(family),
        tasks=config.tasks,
        seeds=config.seeds,
        finetuning=family.finetuning,
        base_lr_factors=config.base_lr_factors,
        policy=config.policy,
        rows=(*lite, *untuned_rows(config), *config.rows),
        grid=config.grid,
        evaluations=config.evaluations,
        bootstrap=config.bootstrap,
        stacked=config.stacked,
        executor=config.executor,
        ray=config.ray,
        precision=config.precision,
    )


def untuned_rows(config: ZeroShotConfig) -> list[Row]:
    """Return the grid's schedules x profiles as rows at the wrong base LRs."""
    return [
        row.model_copy(update={"label": row.label + UNTUNED, "base_lr_factors": None})
        for row in grid_rows(config.grid)
    ]


def contender_label(config: ZeroShotConfig, label: str) -> str:
    """Return how the summary calls a row of a family's benchmark."""
    name = policy_name(config.policy)
    if label == LEARNED:
        return name
    if label == LITE and config.lite is not None:
        lite = policy_name(config.lite)
        return lite if lite != name else f"{lite}, lite"
    return label.removesuffix(UNTUNED)


def check_labels(config: ZeroShotConfig) -> None:
    """Refuse rows that the summary could not tell apart, and claims about what there is not.

    Raises:
        ValueError: a row is called as another one is; an unknown row or metric of a claim.
    """
    taken = [LEARNED, LITE] + [row.label for row in untuned_rows(config)]
    known = {contender_label(config, label) for label in taken} | set(taken)
    for row in config.rows:
        if row.label in known:
            raise ValueError(
                f"rows: the label {row.label!r} is that of a policy or a schedule of the grid; "
                "choose another"
            )
    rows = [*KINDS, BEST, *sorted(known), *(row.label for row in config.rows)]
    for claim in config.claims:
        where = f"in the claim {claim.claim!r},"
        if claim.metric not in METRICS:
            raise ValueError(unknown_name(f"metric {where}", claim.metric, list(METRICS)))
        named = [claim.row or "policy"] + [str(claim.rival)] * (claim.metric == TARGET)
        for name in named:
            if name not in rows:
                raise ValueError(unknown_name(f"row {where}", name, rows))


def task_of(family: HeldOutFamily) -> Named:
    """Return a family's tasks, with the default base LR that the config gives them."""
    if family.base_lr is None:
        return family.task
    options = {**family.task.options, "base_lr": family.base_lr}
    return Named(name=family.task.name, options=options)


def policy_name(policy: str) -> str:
    """Return how a policy is called in tables.

    Example:
        >>> policy_name("asg-base"), policy_name("runs/mine/"), policy_name("own.module:Mine")
        ('asg-base', 'mine', 'Mine')
    """
    return policy.partition(":")[2] or Path(policy).name
