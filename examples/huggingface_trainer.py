"""A shipped policy in the Hugging Face Trainer.

Shows: one callback; the Trainer's own schedule with its warm-up goes on, and the learning rates per
layer group join its log. The BERT is tiny and not pretrained, so nothing is downloaded.

    pip install 'l2o[hf]'
    python huggingface_trainer.py
"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from l2o.integrations.huggingface import LRCallback


def sentences(count: int) -> list[dict[str, torch.Tensor]]:
    """Return sequences of tokens whose class is whether the first token is large."""
    tokens = torch.randint(0, 50, (count, 8))
    return [{"input_ids": row, "labels": (row[0] >= 25).long()} for row in tokens]


def main() -> None:
    """Train for two epochs and say what the policy did."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=50,
    )
    callback = LRCallback("asg-base", interval=4)
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=TrainingArguments(
            "runs/bert",
            num_train_epochs=2,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=4,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=sentences(128),
        eval_dataset=sentences(32),
        callbacks=[callback],
    )
    trainer.train()
    for layer, rate in callback.controller.get_last_lr().items():
        print(f"{layer:>30}  {rate:.2e}")
    print("validation loss:", trainer.evaluate()["eval_loss"])


if __name__ == "__main__":
    main()
