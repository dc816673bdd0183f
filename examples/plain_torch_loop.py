"""A shipped policy in a plain torch loop, on a network of timm.

Shows: one line more than the loop has, the learning rate of each layer group, and a picture of
them. The network is not pretrained and the images are drawn, so nothing is downloaded; put your own
in their place.

    pip install 'l2o[vision,plot]'
    python plain_torch_loop.py
"""

import timm
import torch
from torch import nn

import l2o

STEPS, CLASSES = 20, 5


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures whose brightness grows with their class."""
    labels = torch.randint(0, CLASSES, (size,))
    return torch.randn(size, 3, 64, 64) + labels[:, None, None, None] - CLASSES / 2, labels


def main() -> None:
    """Train for a moment and say what the policy did."""
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=CLASSES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)

    controller = l2o.LRController("asg-base", optimizer, model, total_steps=STEPS, interval=5)
    for step in range(STEPS):
        images, labels = batch()
        loss = nn.functional.cross_entropy(model(images), labels)
        controller.observe(loss=loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if (step + 1) % 5 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}")

    for layer, rate in controller.get_last_lr().items():
        print(f"{layer:>20}  {rate:.2e}")
    print("the guard stepped in:", controller.report()["interventions"] or "never")
    controller.plot("learning_rates.png")


if __name__ == "__main__":
    main()
