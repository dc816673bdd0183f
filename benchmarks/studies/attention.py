"""Grad-CAM of the same target images under several rows of a benchmark, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure
from torch import Tensor

from l2o.benchmarks.cells.cell import begin, load_family
from l2o.benchmarks.cells.samples import one_of_each
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.report.figures.attention import draw_attention
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Config, Overrides, count, names, text
from l2o.configs.load import load_table
from l2o.envs.tasks.base import examples_of
from l2o.measures import attention_maps
from l2o.registry import lookup


@dataclass(frozen=True)
class Answer:
    """Images `[N, C, H, W]`; of each row, maps `[N, h, w]` and which images it gets right."""

    images: Tensor
    maps: Mapping[str, Tensor]
    right: Mapping[str, list[bool]]


@dataclass(frozen=True, kw_only=True)
class Attention(Study[Answer]):
    """Draw Grad-CAM maps of rows of a benchmark side by side; needs captum.

    The first cell of each row is fine-tuned. The images are the first of the target test set that
    show each class once, then again. Shown is the evidence for the right class.
    """

    examples = (
        'l2o study attention asg-table --rows "large LR" "small LR + guidance" --layer conv3 '
        "--out attention.png policy=asg-base",
    )
    config: Config
    overrides: Overrides = ()
    rows: Annotated[tuple[str, ...], names("Labels of rows; all if not given.")] = ()
    layer: Annotated[str, text("A convolution's name.")]
    images: Annotated[int, count("How many.")] = 8
    out: Annotated[Path, typer.Option(metavar="FILE", help="PNG to write.")]

    def answer(self) -> Answer:
        """Fine-tune, and look.

        Raises:
            ValueError: an unknown row or layer.
            ImportError: captum is not installed.
        """
        config = load_table(self.config, self.overrides)
        planned = {row.label: row for row in make_plan(config).rows}
        chosen = {label: lookup("row", planned, label).cells[0] for label in self.rows or planned}
        load_family(config.task.model_dump_json()).prepare()
        maps, right = {}, {}
        for label, cell in chosen.items():
            run = begin(cell)
            run.advance(run.steps)
            test = examples_of(run.task.target_test)
            shown = one_of_each(test.labels.tolist(), self.images)
            images, labels = test.images[shown].to(run.device), test.labels[shown].to(run.device)
            maps[label] = attention_maps(run.model, self.layer, images, labels)
            right[label] = (run.model(images).argmax(dim=1) == labels).tolist()
        return Answer(images, maps, right)

    def pictures(self, answer: Answer) -> dict[Path, Figure]:
        """Return the figure."""
        low, high = answer.images.min(), answer.images.max()
        shown = (answer.images - low) / (high - low)
        return {self.out: draw_attention(shown, dict(answer.maps), dict(answer.right))}
