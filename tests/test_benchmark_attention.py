"""The Grad-CAM figure of benchmark rows, end to end."""

import pytest
import torch
from PIL import Image

from l2o.benchmarks.studies.attention import main, one_of_each


def test_order_of_images():
    labels = torch.tensor([2, 2, 0, 1, 0])
    assert one_of_each(labels, 5).tolist() == [2, 3, 0, 4, 1]
    assert one_of_each(labels, 2).tolist() == [2, 3]


SMALL = [
    "finetuning.steps=4",
    "task.options.pretrain_steps=4",
    "task.options.networks=1",
    "task.options.source_images=32",
]


def test_command(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    out = tmp_path / "figures" / "attention.png"
    rows = ["--rows", "large LR", "small LR + guidance"]
    main(["asg-table", *SMALL, *rows, "--layer", "conv2", "--images", "3", "--out", str(out)])
    with Image.open(out) as picture:
        assert picture.width > 300
    with pytest.raises(ValueError, match="Did you mean 'large LR'"):
        main(["asg-table", "--rows", "large", "--layer", "conv2", "--out", str(out)])
