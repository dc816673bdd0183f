"""Learn a policy on a small task of one's own, from Python.

Shows: a family of tasks in some forty lines, a training config as Python values, and the learned
policy in a loop. 48 fine-tunes show that it works and no more: raise `episodes` for a policy that
you mean to use.

    pip install 'l2o[train]'
    python train_a_policy.py
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import l2o
from l2o.configs.schema import TrainConfig
from l2o.envs.tasks import Examples, Task, TaskFamily
from l2o.policies.train import train

CLASSES, FEATURES = 3, 6


class Network(nn.Module):
    """A network by timm's convention: features, and a head on them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return what the head gets."""
        return self.body(x).tanh()

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits."""
        return self.head(features)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head


def network(seed: int) -> Network:
    """Return a network, the same for a seed; a real task would load a pretrained one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network()


def points(count: int, seed: int, shift: float) -> Examples:
    """Return points around one centre for each class; the target's are shifted."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    centres = 2 * torch.eye(CLASSES, FEATURES) + shift
    return Examples(centres[labels] + torch.randn(count, FEATURES, generator=generator), labels)


class Points(TaskFamily):
    """Tell the classes of points apart that are shifted in the target."""

    name = "points"

    def __init__(self, split: str = "train") -> None:
        self.split = split

    @property
    def max_layers(self) -> int:
        """The body and the head."""
        return 2

    def sample(self, seed: int) -> Task:
        """Return the task of a seed; no held-out task shares its points with one of training."""
        first = 10 * seed + (0 if self.split == "train" else 1_000_000)
        old, source = network(first), points(100, first + 1, 0.0)
        with torch.no_grad():
            teacher_logits = old(source.images)
        return Task(
            name=self.name,
            seed=seed,
            build_model=partial(network, first),
            proxy_head=old.head,
            source_train=source,
            source_validation=points(100, first + 2, 0.0),
            target_validation=points(100, first + 3, 0.5),
            target_test=points(100, first + 4, 0.5),
            proxy_test=points(100, first + 5, 0.2),
            teacher_logits=teacher_logits,
            num_classes=CLASSES,
            batch_size=16,
            steps=20,
            base_lr=0.05,
        )


CONFIG = TrainConfig.model_validate(
    {
        "name": "points",
        "task": {"name": "train_a_policy:Points"},
        "finetuning": {"interval": 5},
        "environment": {"base_lr": [0.001, 1.0], "tasks": 8},
        "network": {"hidden": 8, "anchor": "update"},
        "algorithm": {"name": "ppo", "options": {"decisions": 32, "minibatches": 2, "epochs": 2}},
        "episodes": 48,
        "environments": 8,
        "workers": 1,
        "evaluation": {"every": 3, "tasks": 2, "base_lrs": [0.05]},
    }
)


def main() -> None:
    """Learn a policy, then fine-tune under it."""
    folder = train(CONFIG, Path("runs/points"), progress=False)
    task = Points(split="heldout").sample(0)
    model = task.build_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    controller = l2o.LRController(l2o.load_policy(folder), optimizer, model, total_steps=task.steps)
    for _ in range(task.steps):
        chosen = torch.randint(0, len(task.source_train), (task.batch_size,))
        logits = model(task.source_train.images[chosen])
        loss = nn.functional.cross_entropy(logits, task.source_train.labels[chosen])
        controller.observe(loss=loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    right = model(task.target_test.images).argmax(1) == task.target_test.labels
    print(f"learned in {folder}; target accuracy {right.float().mean().item():.0%}")


if __name__ == "__main__":
    main()
