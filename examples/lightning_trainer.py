"""A shipped policy in a Lightning Trainer.

Shows: one callback; the module stays as it is, the validation loss that it logs is what the policy
is told, and the callback keeps the history of learning rates.

    pip install 'l2o[lightning]'
    python lightning_trainer.py
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from l2o.integrations.lightning import LRCallback


class Classifier(LightningModule):
    """A small network, trained as any other Lightning module."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        inputs, labels = batch
        return nn.functional.cross_entropy(self.model(inputs), labels)

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        """Log the validation loss under the name that the callback looks for."""
        inputs, labels = batch
        self.log("val_loss", nn.functional.cross_entropy(self.model(inputs), labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer whose learning rate the policy refers to."""
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def examples(count: int) -> DataLoader:
    """Return points that are labelled by the sign of their sum."""
    points = torch.randn(count, 8)
    return DataLoader(TensorDataset(points, (points.sum(1) > 0).long()), batch_size=16)


def main() -> None:
    """Train for four epochs and say what the policy did."""
    torch.manual_seed(0)
    callback = LRCallback("asg-base", interval=4, monitor="val_loss")
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Classifier(), examples(256), examples(64))
    print("validation loss:", trainer.callback_metrics["val_loss"].item())
    for layer, rate in callback.controller.get_last_lr().items():
        print(f"{layer:>20}  {rate:.2e}")


if __name__ == "__main__":
    main()
