"""One fine-tune under a policy, recorded at every decision; on demand with a spike in its loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from l2o.benchmarks.cells.cell import Record, finite, learning_rates, load_task
from l2o.benchmarks.studies.portrait.tasks import ShownTask
from l2o.deciding.policy import Policy
from l2o.envs.fine_tune import FineTune


@dataclass(frozen=True)
class Spike:
    """Noise on the weights, which makes the loss jump.

    Each parameter tensor w becomes w + size · rms(w) · ε with ε ~ N(0, 1).

    Attributes:
        size: relative to the weights: 1 is noise as large as they are.
        at: when, in shares of the training; at the first decision from then on.
        seed: of the noise.

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

    @torch.no_grad()
    def disturb(self, model: torch.nn.Module) -> None:
        """Add the noise to all trained parameters, head and backbone, in place."""
        generator = torch.Generator().manual_seed(self.seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.add_(noise * (self.size * parameter.square().mean().sqrt()))


def record_trace(
    shown: ShownTask,
    policy: Policy,
    *,
    base_lr_factor: float = 1.0,
    seed: int = 0,
    spike: Spike | None = None,
) -> Record:
    """Fine-tune, and return what was decided and what came of it.

    Args:
        shown: the task.
        policy: sets the learning rates.
        base_lr_factor: times the task's base learning rate.
        seed: of the new head and the batches.
        spike: noise on the weights on the way; None for none.

    Returns:
        Plain JSON data: `learning_rates` (see `l2o.benchmarks.cells.cell.learning_rates`), `heads`
        (which layer groups are the head), `loss` (mean of each window, and the step at its end),
        `target_accuracy` on real test images, `diverged`.

    Raises:
        ValueError: the policy refuses the network, or does not fit the guidance.
    """
    task = load_task(shown.task.model_dump_json(), shown.task_seed)
    base_lr = task.base_lr * base_lr_factor
    run = FineTune(task, shown.finetuning, policy=policy, base_lr=base_lr, seed=seed)
    loss: Record = {"step": [], "value": []}
    disturbed: int | None = None
    while not run.done:
        if spike is not None and disturbed is None and run.step >= spike.at * run.steps:
            spike.disturb(run.model)
            disturbed = run.step
        run.advance(run.window)
        loss["step"].append(run.step)
        loss["value"].append(finite(run.last_loss))
    controller = run.controller
    return {
        "family": shown.family,
        "task_seed": shown.task_seed,
        "network": type(run.model).__name__,
        "seed": seed,
        "base_lr_factor": base_lr_factor,
        "steps": run.steps,
        "target_accuracy": finite(run.scores("target_test")[run.objective.main]),
        "diverged": run.diverged,
        "loss": loss,
        "heads": [group.is_head for group in controller.groups],
        "learning_rates": learning_rates(
            [group.name for group in controller.groups],
            # What is decided at the very end is never used.
            [(d.step, d.multipliers) for d in controller.history if d.step < run.steps],
            base_lr,
            list(controller.guidance.terms),
        ),
        "spike": None if spike is None else {**asdict(spike), "step": disturbed},
    }
