"""One small training run, to be done by every library's loop: the same data, policy and plan."""

from __future__ import annotations

import torch
from torch import nn

import l2o
from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

STEPS, BATCH = 8, 4


class Watchful(Policy):
    """Multipliers that depend on the losses, and a record of what was observed."""

    signals = SignalSpec(("present", "loss", "has_loss", "validation_loss", "gradient_norm"))
    interval = 2

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def initial_state(self, num_layers):
        return {"memory": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        self.seen.append(observation)
        memory = 0.5 * state["memory"] + observation[:, 1:].sum(dim=-1)
        slope = torch.linspace(0.2, 1.0, len(observation))
        return slope * (0.5 + 0.3 * memory.sin()), {"memory": memory}

    @property
    def losses(self) -> list[float]:
        """The losses behind the observations, from the second on."""
        return [10 ** (2 * float(row[0, 1])) for row in self.seen[1:]]


class Net(nn.Module):
    """Gives its own loss, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x, labels=None):
        logits = self.head(self.second(self.first(x).tanh()).tanh())
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __init__(self, batches: int = STEPS) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(batches * BATCH, 5, generator=generator)
        self.labels = torch.randint(0, 3, (batches * BATCH,), generator=generator)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"x": self.x[index], "labels": self.labels[index]}

    def loader(self):
        return torch.utils.data.DataLoader(self, BATCH)


def adamw(model):
    """Decay for all but biases, as the Trainer has it."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.02, weight_decay=0.01)


def adamw_by_layer(model):
    return torch.optim.AdamW(l2o.param_groups(l2o.group_layers(model), 0.02), weight_decay=0.01)


def linear_decay(optimizer, steps=STEPS):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))


def plain_loop(accumulate: int = 1, optimize=adamw, **options):
    """Train without any library; return the policy, the controller and the model."""
    policy, model = Watchful(), Net()
    optimizer = optimize(model)
    controller = l2o.LRController(policy, optimizer, model, total_steps=STEPS, **options)
    scheduler = linear_decay(optimizer)
    losses = []
    for index, batch in enumerate(Data(STEPS * accumulate).loader()):
        loss = model(**batch)["loss"]
        losses.append(loss.detach())
        (loss / accumulate).backward()
        if (index + 1) % accumulate == 0:
            controller.observe(loss=torch.stack(losses).mean())
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses = []
    return policy, controller, model


def multipliers(controller) -> list[tuple[float, ...]]:
    return [decision.multipliers for decision in controller.history]


def equal(mine: nn.Module, wanted: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(mine.parameters(), wanted.parameters()))
