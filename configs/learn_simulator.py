"""The schema of `l2o train` where it learns a simulator's parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from l2o.configs.base import Named, Number, Options
from l2o.configs.choice import PolicyChoice
from l2o.configs.ray import ExecutorName, Placed
from l2o.configs.schema import FineTuning, Seed


class LearnSimulatorConfig(Placed):
    """`l2o train`, of a simulator: a config with a `search` learns a distribution over psi."""

    name: str = "simulator"
    """What the card calls it."""
    search: Named
    """What searches, a key of `l2o.policies.reinforce.simulators.SEARCHES` (reinforce, ppo,
    rllib_ppo, random, optuna, widening) or a dotted path, and its options, such as `batch`."""
    task: Named = Named(name="digits", options={"split": "heldout"})
    """The family whose source images are drawn: digits, garments, or one of your own."""
    task_seed: Seed = 0
    """Of the one task: its pretrained network, its real images."""
    actions: Literal["ranges", "point", "shares"] = "ranges"
    """What is decided: uniform ranges and weights of choices; one point psi for a whole set; or how
    much of each scenario of a structured `start`, which is of each of several sources."""
    start: Options | str | None = None
    """Where the search begins: a point, a distribution (`kind` and its options), or the file or
    run's folder of a learned one; null: all of the space, which is domain randomization."""
    trials: Number = 256
    """The budget: fine-tunes, each a draw of images, a training and a validation."""
    images: Number = 512
    """Drawn training images of a trial."""
    validation_images: Number = 256
    """Drawn images held out, where a label-free score or a curriculum looks at them."""
    reward: str = ""
    """What a trial is worth, on the real images of `target_validation`: a metric of the task, ""
    for its main one; or a score that needs no labels: entropy, information, snd, dev."""
    finetuning: FineTuning = FineTuning(guidance={})
    """The inner training."""
    choice: PolicyChoice = PolicyChoice(schedule="cosine")
    """What sets its learning rates."""
    head_only: bool = False
    """Train the new head alone in trials, on features of the frozen network: some ten times as many
    trials in the same time. What scores the result at the end is trained in full, in any case."""
    evaluation: Annotated[int, Field(ge=0, le=10_000)] = 8
    """Fine-tunes with new images that each of the learned distribution, the start, domain
    randomization and the simulator's defaults are scored by at the end, on `target_test`; they are
    not part of the budget."""
    seed: Seed = 0
    """Of the search, and of what trials draw."""
    stacked: bool = True
    """Compute trials together where the task is in memory; false: one by one."""
    executor: ExecutorName = Named(name="processes")
    """Where trials run: processes of this machine, `ray`, or one of your own."""
    workers: Annotated[int, Field(gt=0, le=1024)] = 1
    """Processes that run trials; one runs them in this process."""
