"""Where networks look: the same images under several runs, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from l2o.benchmarks.report.figures.style import INK, ORANGE, new_figure

_SIDE = 0.72


def draw_attention(
    images: Tensor, maps: Mapping[str, Tensor], right: Mapping[str, Sequence[bool]] | None = None
) -> Figure:
    """Draw images, and below them each run's attention on them.

    Args:
        images: `[N, C, H, W]` in [0, 1], with one or three channels.
        maps: run -> `[N, H, W]` in [0, 1], as `l2o.measures.attention_maps` gives them.
        right: run -> whether it answered each image right; a frame marks where it did not.

    Raises:
        ValueError: there are no images, or a run's maps do not fit them.
    """
    count = len(images)
    for name, values in maps.items():
        if count == 0 or values.shape != (count, *images.shape[2:]):
            raise ValueError(
                f"maps of {name!r} are {tuple(values.shape)}, images {tuple(images.shape)}; "
                "there must be one map for each image, of its size"
            )
    figure = new_figure(1.9 + _SIDE * count, 0.25 + _SIDE * (1 + len(maps)))
    panels = figure.subplots(1 + len(maps), count, squeeze=False)
    pictures = images.detach().cpu().movedim(1, -1).clamp(0, 1).numpy()
    grey = pictures.mean(axis=-1)
    for index in range(count):
        panels[0][index].imshow(pictures[index].squeeze(), cmap="gray", vmin=0, vmax=1)
    for line, (name, values) in zip(panels[1:], maps.items()):
        for index, axes in enumerate(line):
            axes.imshow(grey[index], cmap="gray", vmin=0, vmax=1)
            heat = values[index].detach().cpu().numpy()
            axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
            if right is not None and not right[name][index]:
                axes.spines[:].set(color=ORANGE, linewidth=2.5, linestyle=(0, (2, 1)))
    for line, label in zip(panels, ["image", *maps]):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, color=INK)
        for axes in line:
            axes.set(xticks=[], yticks=[])
    return figure
