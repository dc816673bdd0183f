"""Grad-CAM of the same target images under several rows of a benchmark, side by side.

python -m l2o.benchmarks.studies.attention asg-table --rows "large LR" "small LR + guidance" \
    --layer conv3 --out attention.png policy=asg-base
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from l2o.benchmarks.cells.cell import Cell, load_family, load_task
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.report.figures.attention import draw_attention
from l2o.configs.load import load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.envs.fine_tune import FineTune
from l2o.envs.inner_loop import decision_interval
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks.base import examples_of
from l2o.files.streams import forgive_encodings
from l2o.measures import attention_maps
from l2o.registry import unknown_name


def main(arguments: Sequence[str] | None = None) -> None:
    """Fine-tune one cell of each row and draw where the networks look."""
    forgive_encodings()
    parser = argparse.ArgumentParser(
        prog="python -m l2o.benchmarks.studies.attention",
        description="Draw Grad-CAM maps side by side.",
    )
    parser.add_argument("config", help="a benchmark's preset or YAML file")
    parser.add_argument("overrides", nargs="*", help="key=value")
    parser.add_argument("--rows", nargs="+", help="labels of rows; all if not given")
    parser.add_argument("--layer", required=True, help="a convolution's name")
    parser.add_argument("--images", type=int, default=8, help="how many")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    # Overrides may stand behind options, as in the commands of `l2o`.
    parsed, rest = parser.parse_known_intermixed_args(arguments)
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    config = load_table(parsed.config, parsed.overrides)
    write_attention(config, parsed.rows, parsed.layer, parsed.images, parsed.out)


@one_thread()
def write_attention(
    config: BenchmarkConfig, rows: Sequence[str] | None, layer: str, count: int, out: Path
) -> None:
    """Fine-tune the first cell of each row, and write the figure.

    The images are the first of the target test set that show each class once, then again. Shown is
    the evidence for the right class.

    Args:
        config: the benchmark.
        rows: labels; None takes all.
        layer: a convolution's name.
        count: images.
        out: PNG file.

    Raises:
        ValueError: an unknown row or layer.
        MissingExtraError: captum is not installed.
    """
    planned = {row.label: row for row in make_plan(config).rows}
    for label in rows or ():
        if label not in planned:
            raise ValueError(unknown_name("row", label, planned))
    load_family(config.task.model_dump_json()).prepare()
    maps: dict[str, Tensor] = {}
    right: dict[str, list[bool]] = {}
    images = torch.empty(0)
    for label in rows or planned:
        run = _train(planned[label].cells[0])
        test = examples_of(run.task.target_test)
        chosen = one_of_each(test.labels, count)
        images, labels = test.images[chosen].to(run.device), test.labels[chosen].to(run.device)
        maps[label] = attention_maps(run.model, layer, images, labels)
        right[label] = (run.model(images).argmax(dim=1) == labels).tolist()
    low, high = images.min(), images.max()
    figure = draw_attention((images - low) / (high - low), maps, right)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=160)


def one_of_each(labels: Tensor, count: int) -> Tensor:
    """Return indices of the first example of each class, then of the second, and so on.

    Example:
        >>> one_of_each(torch.tensor([0, 0, 1, 0, 1]), 4).tolist()
        [0, 2, 1, 4]
    """
    seen: dict[int, int] = {}
    order = []
    for index, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        order.append((seen[label], label, index))
    return torch.tensor([index for *_, index in sorted(order)[:count]])


def _train(cell: Cell) -> FineTune:
    task = load_task(cell.task.model_dump_json(), cell.task_seed)
    run = FineTune(
        task,
        cell.finetuning,
        policy=build_policy(cell.choice, decision_interval(cell.finetuning)),
        base_lr=task.base_lr * cell.base_lr_factor,
        seed=cell.seed,
        validate=cell.validates,
    )
    run.advance(run.steps)
    return run


if __name__ == "__main__":
    main()
