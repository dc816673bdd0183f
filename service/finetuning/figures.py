"""The figures of a fine-tune's report, beside its learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from l2o.benchmarks.report.figures.attention import draw_attention
from l2o.benchmarks.report.figures.style import INK, new_figure
from l2o.measures import attention_maps
from l2o.service.finetuning.tested import Tested

SHOWN = 8
"""Images of a row."""
ENOUGH = 4
"""Places a side of the maps in which evidence is looked for."""


def draw_confusion(counts: Tensor, classes: Sequence[str]) -> Figure:
    """Draw how the images of each class (row) are answered (column), in shares of the row."""
    side = 2.2 + 0.42 * len(counts)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    shares = counts.double() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    names = list(classes) or [str(number) for number in range(len(counts))]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="answer", ylabel="class")
    if len(counts) <= 20:
        for row in range(len(counts)):
            for column in range(len(counts)):
                share = float(shares[row, column])
                if share >= 0.005:
                    colour = "white" if share > 0.55 else INK
                    text = f"{100 * share:.0f}"
                    axes.text(column, row, text, ha="center", va="center", size=7, color=colour)
    return figure


def draw_samples(rows: dict[str, tuple[Tensor, Sequence[str]]]) -> Figure:
    """Draw a row of images for each name, with a word below each image."""
    figure = new_figure(1.4 + 1.0 * SHOWN, 1.25 * len(rows))
    panels = figure.subplots(len(rows), SHOWN, squeeze=False)
    for line, (name, (images, words)) in zip(panels, rows.items(), strict=True):
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, image, word in zip(line, images, words, strict=False):
            axes.imshow(image.movedim(0, -1).clamp(0, 1).numpy())
            axes.set_xlabel(word, fontsize=7)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
    return figure


def draw_looks(run: Any, found: Tested, right: bool) -> Figure | str:
    """Draw where the network looks on images that it gets right, or wrong; or say why not.

    Shown is the evidence for its own answer, by Grad-CAM, on the images that it is surest of.
    """
    hits = (found.predicted == found.labels) == right
    places = torch.nonzero(hits).flatten()
    places = places[found.confidence[places].argsort(descending=True)][:SHOWN]
    if len(places) == 0:
        return f"no image is {'right' if right else 'wrong'}"
    images = torch.stack([run.task.target_test[int(i)][0] for i in places]).to(run.device)
    layer = last_maps(run.model, images[:1])
    if layer is None:
        return "the network has no layer of maps"
    answers = found.predicted[places].to(run.device)
    with torch.enable_grad():
        maps = attention_maps(run.model.eval(), layer, images, answers)
    return draw_attention(as_pictures(run, images.cpu()), {"evidence": maps.cpu()})


def last_maps(model: nn.Module, images: Tensor) -> str | None:
    """Return the name of the last convolution whose maps can show where something is.

    Deeper ones know more, but of small images their maps have few places: 2 x 2 of 64 pixels after
    five halvings. Taken is the last with `ENOUGH` places a side; if there is none, the last with
    more than one place.
    """
    seen: list[tuple[str, int]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            del module, inputs
            if output.dim() == 4 and output.shape[-1] * output.shape[-2] > 1:
                seen.append((name, min(output.shape[-2:])))

        return hook

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            model.forward_features(images)  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    fine = [name for name, side in seen if side >= ENOUGH]
    return next(reversed(fine or [name for name, _ in seen]), None)


def as_pictures(run: Any, images: Tensor) -> Tensor:
    """Return images `[N, C, H, W]` as they were before they were normalised, in [0, 1]."""
    network = run.task.network
    if network is None:
        low, high = images.min(), images.max()
        return (images - low) / (high - low).clamp_min(1e-12)
    mean, std = (torch.tensor(v)[:, None, None] for v in (network.inputs.mean, network.inputs.std))
    return (images * std + mean).clamp(0, 1)
