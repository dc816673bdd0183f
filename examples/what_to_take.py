"""Which policy, rule or schedule to take, told from short runs of one's own loop.

Shows: `l2o.suggest` on a model, its optimizer, a loader and a loss; the evidence; and a controller
under what it says. Images are drawn, so nothing is downloaded; put your own in their place.

    pip install l2o
    python what_to_take.py
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import l2o

CLASSES, STEPS = 4, 20


def pictures(count: int, seed: int) -> TensorDataset:
    """Return pictures of stripes whose direction is their class, in noise."""
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=drawn)
    angle = labels * torch.pi / CLASSES
    across = torch.linspace(-3, 3, 16)
    waves = angle.cos()[:, None, None] * across + angle.sin()[:, None, None] * across[:, None]
    noise = torch.randn(count, 16, 16, generator=drawn)
    return TensorDataset(((3 * waves).sin() + 0.5 * noise)[:, None], labels)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the loss of a batch."""
    images, labels = batch
    return nn.functional.cross_entropy(model(images), labels)


def main() -> None:
    """Ask, then train under what was suggested."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4)),
        *(nn.Flatten(), nn.Linear(256, CLASSES)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = DataLoader(pictures(256, seed=0), batch_size=32, shuffle=True)
    held_out = DataLoader(pictures(128, seed=1), batch_size=64)

    found = l2o.suggest(model, optimizer, loader, loss, validation=held_out, steps=STEPS)
    print(found)
    found.save("suggestion.json")

    total = 3 * len(loader)
    controller = l2o.LRController(found.policy(), optimizer, model, total_steps=total)
    for _ in range(3):
        for batch in loader:
            now = loss(model, batch)
            controller.observe(loss=now)
            optimizer.zero_grad()
            now.backward()
            optimizer.step()
    print(f"loss after {controller.steps} steps under it: {now.item():.3f}")


if __name__ == "__main__":
    main()
