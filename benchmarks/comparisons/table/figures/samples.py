"""Sample images of the proxy's domain, the synthetic source and the real target."""

from __future__ import annotations

from matplotlib.figure import Figure

from l2o.benchmarks.cells.samples import load_samples
from l2o.benchmarks.comparisons.table.result_models import TableFolder
from l2o.benchmarks.report.figures.style import new_figure

_NAMES = {
    "proxy": "proxy\n(pretrained on)",
    "source": "source\n(synthetic, labelled)",
    "target": "target\n(real, only scored)",
}


def draw_samples(folder: TableFolder) -> Figure | None:
    """Draw one line of images per domain; None when none were kept."""
    samples = load_samples(folder.directory)
    if not samples or not all(len(images) for images in samples.values()):
        return None
    count = min(10, *(len(images) for images in samples.values()))
    figure = new_figure(7.2, 0.3 + 2.0 * count / 10)
    panels = figure.subplots(len(samples), count, squeeze=False)
    for (domain, images), line in zip(samples.items(), panels):
        for image, axes in zip(images, line):
            axes.imshow(image.squeeze(), cmap="gray", interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(_NAMES[domain], rotation=0, ha="right", va="center", fontsize=9)
    return figure
