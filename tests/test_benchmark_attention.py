"""The Grad-CAM figure of benchmark rows, end to end."""

from commands import run, succeed
from PIL import Image

from l2o.benchmarks.cells.samples import one_of_each


def test_order_of_images():
    labels = [2, 2, 0, 1, 0]
    assert one_of_each(labels, 5) == [2, 3, 0, 4, 1]
    assert one_of_each(labels, 2) == [2, 3]


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
    drawn = ["--layer", "conv2", "--images", 3, "--out", out]
    succeed("study", "attention", "asg-table", *SMALL, *rows, *drawn)
    with Image.open(out) as picture:
        assert picture.width > 300
    ended = run("study", "attention", "asg-table", "--rows", "large", *drawn)
    assert ended.exit_code == 2
    assert "Did you mean 'large LR'" in ended.stderr
