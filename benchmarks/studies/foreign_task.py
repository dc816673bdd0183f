"""A task of none of the families, in a plain training loop: does a policy help a stranger?

python -m l2o.benchmarks.studies.foreign_task asg-base asg-lite --json runs/elsewhere.json

A convolutional network with batch normalisation is pretrained to tell which way real digits (8 x 8,
of scikit-learn) are turned, and fine-tuned, with a new head, on glyphs of Pillow's own font; the
target are the real digits. No guidance, no teacher, no validation: the policy sees optimizer and
loss. None of it is like what policies learn on.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import stats
from torch import Tensor, nn
from tqdm import tqdm

import l2o
from l2o.files.seals import write_json
from l2o.files.streams import forgive_encodings

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any], float]] = {
    "SGD": (torch.optim.SGD, {"momentum": 0.9}, 0.02),
    "AdamW": (torch.optim.AdamW, {}, 0.001),
}
"""Name -> optimizer, its arguments and the base LR that factors multiply."""
PROFILES = ("flat", "small_backbone", "frozen_backbone")
"""Layer profiles of the rival, a cosine."""
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
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        turns = torch.randint(0, 4, (64,))
        chosen = images[torch.randint(0, len(images), (64,))]
        turned = torch.stack([torch.rot90(x, int(n), (1, 2)) for x, n in zip(chosen, turns)])
        loss = nn.functional.cross_entropy(network(turned), turns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
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
    kind, arguments, base_lr = OPTIMIZERS[optimizer]
    made = kind(network.parameters(), lr=base_lr * factor, **arguments)  # type: ignore[call-arg]
    controller = l2o.LRController(policy, made, network, total_steps=STEPS, head=head)
    for _ in range(STEPS):
        batch = torch.randint(0, IMAGES, (BATCH,), generator=generator)
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        controller.observe(loss=loss)
        made.zero_grad()
        loss.backward()
        made.step()
    network.eval()
    real, truth = (part[PRETRAINING:] for part in real_digits())
    with torch.no_grad():
        logits = network(real)
    right = (logits.argmax(dim=1) == truth) & torch.isfinite(logits).all(dim=1)
    return float(right.double().mean())


def run(policies: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Return a row per optimizer and contender: accuracies `[seeds, factors]`, mean, interval."""
    contenders: dict[str, l2o.Policy] = {name: l2o.load_policy(name) for name in policies}
    contenders |= {f"cosine, {name}": l2o.SchedulePolicy("cosine", name) for name in PROFILES}
    rows = []
    cells = [(optimizer, name) for optimizer in OPTIMIZERS for name in contenders]
    for optimizer, name in tqdm(cells, disable=None):
        found = [
            [fine_tune(contenders[name], optimizer, factor, seed) for factor in FACTORS]
            for seed in range(seeds)
        ]
        rows.append({"optimizer": optimizer, "contender": name} | _told(np.array(found)))
    return rows


def _told(found: np.ndarray) -> dict[str, Any]:
    each = found.mean(axis=1)
    span = stats.bootstrap(
        (each,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return {
        "accuracies": found.round(4).tolist(),
        "by_factor": found.mean(axis=0).round(4).tolist(),
        "mean": round(float(each.mean()), 4),
        "low": round(float(span.low), 4),
        "high": round(float(span.high), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    forgive_encodings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("policies", nargs="*", default=["asg-base", "asg-lite"])
    parser.add_argument("--seeds", type=int, default=4, help="pretrained networks, 2 or more")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.seeds < 2:
        parser.error(f"--seeds must be 2 or more, got {given.seeds}: an interval needs two")
    rows = run(given.policies, given.seeds)
    for row in rows:
        by = " ".join(f"{100 * value:5.1f}" for value in row["by_factor"])
        span = f"{100 * row['mean']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        print(f"{row['optimizer']:6} {row['contender']:24} {by}   mean {span}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(given.json, {"factors": FACTORS, "seeds": given.seeds, "rows": rows})


if __name__ == "__main__":
    main()
