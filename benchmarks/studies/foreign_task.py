"""A task of none of the families, in a plain training loop: does a policy help a stranger?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import l2o
from l2o.benchmarks.report.tables import percent, short
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import KeptStudy
from l2o.benchmarks.studies.harm.plugging import accuracy, take_steps
from l2o.benchmarks.studies.options import Json, PolicyNames, count

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], float]] = {
    "SGD": (partial(torch.optim.SGD, momentum=0.9), 0.02),
    "AdamW": (partial(torch.optim.AdamW), 0.001),
}
"""Name -> optimizer, and the base LR that factors multiply."""
RIVALS = {f"cosine, {name}": name for name in ("flat", "small_backbone", "frozen_backbone")}
"""Rivals, cosine schedules -> their layer profiles."""
FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)
PRETRAINING = 900
"""The first of the real digits are for pretraining, the others the target."""
STEPS, IMAGES, BATCH = 200, 512, 32


@cache
def real_digits() -> tuple[Tensor, Tensor]:
    """Return images `[N, 1, 8, 8]` in [-1, 1] and labels `[N]`."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    scaled = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    return scaled, torch.tensor(labels)


def make_network(classes: int) -> nn.Sequential:
    """Return the untrained network; its last layer is the head."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()),
        *(nn.Dropout(0.1), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, classes)),
    )


@cache
def pretrained(seed: int, steps: int = 600) -> nn.Sequential:
    """Return a network that tells by how many quarters a real digit is turned."""
    torch.manual_seed(seed)
    network, images = make_network(4), real_digits()[0][:PRETRAINING]

    def next_loss() -> Tensor:
        turns = torch.randint(0, 4, (64,))
        chosen = images[torch.randint(0, len(images), (64,))]
        turned = torch.stack([torch.rot90(x, int(n), (1, 2)) for x, n in zip(chosen, turns)])
        return cross_entropy(network(turned), turns)

    take_steps(steps, next_loss, torch.optim.Adam(network.parameters(), lr=1e-3))
    return network


@cache
def glyphs() -> Tensor:
    """Return the ten digits of Pillow's font, four widths each, `[10, 4, 8, 8]` in [-1, 1]."""
    font = ImageFont.load_default(size=48)
    drawn = np.full((10, 4, 8, 8), -1.0, np.float32)
    for digit in range(10):
        for place, width in enumerate((4, 5, 6, 7)):
            page = Image.new("L", (80, 80))
            pen = ImageDraw.Draw(page)
            pen.text((10, 5), str(digit), fill=255, font=font, stroke_width=place)
            cut = page.crop(page.getbbox()).resize((width, 8), Image.Resampling.BILINEAR)
            left = (8 - width) // 2
            drawn[digit, place, :, left : left + width] = np.asarray(cut, np.float32) / 127.5 - 1
    return torch.from_numpy(drawn)


def synthetic(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return noisy, shifted glyphs and their labels."""
    labels = torch.randint(0, 10, (count,), generator=generator)
    widths = torch.randint(0, 4, (count,), generator=generator)
    shifts = torch.randint(-1, 2, (count,), generator=generator).tolist()
    images = [glyphs()[label, width] for label, width in zip(labels, widths)]
    moved = torch.stack([image.roll(shift, 1) for image, shift in zip(images, shifts)])
    return (moved + 0.3 * torch.randn(moved.shape, generator=generator)).unsqueeze(1), labels


def fine_tune(policy: l2o.Policy, optimizer: str, factor: float, seed: int) -> float:
    """Fine-tune under a policy; return the accuracy on the target."""
    network = copy.deepcopy(pretrained(seed))
    torch.manual_seed(seed)
    network[-1] = head = nn.Linear(64, 10)
    generator = torch.Generator().manual_seed(seed)
    images, labels = synthetic(IMAGES, generator)
    make, base_lr = OPTIMIZERS[optimizer]
    made = make(network.parameters(), lr=base_lr * factor)
    controller = l2o.LRController(policy, made, network, total_steps=STEPS, head=head)

    def next_loss() -> Tensor:
        batch = torch.randint(0, IMAGES, (BATCH,), generator=generator)
        return cross_entropy(network(images[batch]), labels[batch])

    take_steps(STEPS, next_loss, made, controller)
    network.eval()
    real, truth = (part[PRETRAINING:] for part in real_digits())
    with torch.no_grad():
        return accuracy(network(real), truth)


@dataclass(frozen=True)
class Run:
    """One fine-tune: who sets the rates, under which optimizer, at which base LR and seed."""

    optimizer: str
    contender: str
    seed: int
    factor: float


@dataclass(frozen=True)
class Scored:
    """The accuracy of a fine-tune on the target."""

    accuracy: float


@dataclass(frozen=True)
class Row:
    """A contender under an optimizer: accuracies `[seeds][factors]`, their mean, its interval."""

    optimizer: str
    contender: str
    accuracies: list[list[float]]
    by_factor: list[float]
    mean: float
    low: float
    high: float


def _at(place: int, row: Row) -> str:
    return short(row.by_factor[place])


@dataclass(frozen=True, kw_only=True)
class ForeignTask(KeptStudy[Run, Scored, Sequence[Row]]):
    """Policies on a task of none of the families, in a plain training loop.

    A convolutional network with batch normalisation is pretrained to tell which way real digits
    (8 x 8, of scikit-learn) are turned, and fine-tuned, with a new head, on glyphs of Pillow's own
    font; the target are the real digits. No guidance, no teacher, no validation: the policy sees
    optimizer and loss. None of it is like what policies learn on. Rivals are cosine schedules.
    """

    examples = ("l2o study foreign-task asg-base asg-lite --json elsewhere.json",)
    title = "Accuracy on the target by base LR, %"
    columns = {
        "optimizer": lambda row: row.optimizer,
        "contender": lambda row: row.contender,
        **{f"x {factor:g}": partial(_at, place) for place, factor in enumerate(FACTORS)},
        "mean": lambda row: percent(Estimate(row.mean, row.low, row.high)),
    }
    facts = {"factors": FACTORS}
    record: ClassVar[type[Scored]] = Scored
    policies: PolicyNames = ("asg-base", "asg-lite")
    seeds: Annotated[int, count("Pretrained networks.", 2)] = 4
    json: Json = None

    def plan(self) -> list[Run]:
        """Return all fine-tunes."""
        for name in self.policies:
            l2o.load_policy(name)
        return [
            Run(optimizer, contender, seed, factor)
            for optimizer in OPTIMIZERS
            for contender in (*self.policies, *RIVALS)
            for seed in range(self.seeds)
            for factor in FACTORS
        ]

    def run(self, piece: Run) -> Scored:
        """Fine-tune once."""
        rival = RIVALS.get(piece.contender)
        policy = l2o.SchedulePolicy("cosine", rival) if rival else l2o.load_policy(piece.contender)
        return Scored(fine_tune(policy, piece.optimizer, piece.factor, piece.seed))

    def summarise(self, found: Sequence[Scored]) -> list[Row]:
        """Return a row per optimizer and contender."""
        groups: dict[tuple[str, str], list[float]] = {}
        for run, scored in zip(self.plan(), found, strict=True):
            groups.setdefault((run.optimizer, run.contender), []).append(scored.accuracy)
        return [_row(*key, each) for key, each in groups.items()]


def _row(optimizer: str, contender: str, accuracies: list[float]) -> Row:
    found = np.array(accuracies).reshape(-1, len(FACTORS))
    span = estimate(found.mean(axis=1)[None], mean, TASKS)
    ends = (round(end, 4) for end in (span.value, span.low, span.high))
    by_factor = found.mean(axis=0).round(4).tolist()
    return Row(optimizer, contender, found.round(4).tolist(), by_factor, *ends)
