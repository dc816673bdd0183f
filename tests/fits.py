"""Lightning's Trainer for the small training run of `loops`."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from loops import Data, Net, adamw, linear_decay


def fit(module, callbacks, folder, data=None, validation=None, ckpt_path=None, **options):
    trainer = Trainer(
        **{
            "max_epochs": 1,
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": folder,
            "callbacks": callbacks,
            **options,
        }
    )
    trainer.fit(module, (data or Data()).loader(), validation, ckpt_path=ckpt_path)
    return trainer


class Module(LightningModule):
    def __init__(self, optimize=adamw):
        super().__init__()
        self.net, self.optimize = Net(), optimize

    def training_step(self, batch, index):
        return self.net(**batch)["loss"]

    def validation_step(self, batch, index):
        self.log("val_loss", self.net(**batch)["loss"])

    def configure_optimizers(self):
        optimizer = self.optimize(self.net)
        scheduler = {"scheduler": linear_decay(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
