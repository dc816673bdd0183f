"""Self-training on images without labels, in a plain torch loop under a policy.

Shows: pseudo-labels of a class-balanced rule (`l2o.adaptation`), chosen anew in each round, and a
controller that drives the optimizer meanwhile. The data are drawn here: three
clusters of points, and the same clusters turned, without labels.

    pip install l2o
    python self_training.py
"""

import math

import torch
from torch import nn

import l2o
from l2o.adaptation import CBST

ROUNDS, STEPS, TURN = 6, 60, 0.85


def clusters(count: int, turn: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points around three centres on a circle, turned by an angle, and their centres."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    angle = 2 * math.pi * labels / 3 + turn
    centres = torch.stack([angle.cos(), angle.sin()], dim=1)
    return centres + 0.22 * torch.randn(count, 2, generator=generator), labels


def accuracy(model: nn.Module, points: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of points that a model tells right."""
    with torch.no_grad():
        return float((model(points).argmax(dim=1) == labels).float().mean())


torch.manual_seed(0)
x, y = clusters(400, 0.0, seed=0)
unlabelled, _ = clusters(400, TURN, seed=1)
test_x, test_y = clusters(400, TURN, seed=2)
model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

# The first stage: the source alone.
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
print(f"source only: {100 * accuracy(model, test_x, test_y):.1f} % of the turned clusters")

# The second: predict, select, train, again and again.
method = CBST(share={"first": 0.4, "growth": 0.1, "most": 0.9})
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
controller = l2o.LRController("asg-base", optimizer, model, total_steps=ROUNDS * STEPS)
for number in range(ROUNDS):
    rule = method.selection(number)
    with torch.no_grad():
        predicted = model(unlabelled).softmax(dim=1)
    rule.observe(predicted)  # batch by batch, where there are many
    found = rule.choose(predicted)
    kept = found.kept
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(model(x), y)
        loss = loss + nn.functional.cross_entropy(model(unlabelled[kept]), found.labels[kept])
        controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(
        f"round {number + 1}: {int(kept.sum())} of {len(kept)} labelled, "
        f"{100 * accuracy(model, test_x, test_y):.1f} %"
    )
