"""What a fine-tuned network makes of the masks of a split: counts of pixels, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.cells.target_measures import ENERGIES, HALVES
from l2o.envs.fine_tuning.adapting.staged import Run
from l2o.measures import HypersphericalEnergy, Outputs
from l2o.service.finetuning.tested import file_names, pooled

_FEATURES = 2000


@dataclass(frozen=True)
class TestedMasks:
    """Pixels of each image and class: how many are it, are taken for it, and both `[N, K]`."""

    files: Sequence[str]
    of_class: Tensor
    taken_for: Tensor
    hits: Tensor
    features: Tensor
    labelled: bool

    def overlaps(self) -> tuple[float | None, ...]:
        """Return the intersection over union of each class, over all images together."""
        hits = self.hits.sum(dim=0).double()
        union = self.of_class.sum(dim=0) + self.taken_for.sum(dim=0) - hits
        return tuple(map(finite, (hits / union).tolist())) if self.labelled else ()

    def of_images(self) -> Tensor:
        """Return the share of the pixels of each image that are right `[N]`."""
        return self.hits.sum(dim=1).double() / self.of_class.sum(dim=1)

    def measures(self) -> dict[str, float | None]:
        """Return the energies of features; images have no halves by class."""
        energies = HypersphericalEnergy()(Outputs(features=self.features))
        return {**{name: finite(energies[name]) for name in ENERGIES}, **dict.fromkeys(HALVES)}


def answer_masks(run: Run, split: str = "target_test") -> TestedMasks:
    """Return what a network that segments makes of a split; nothing of an image is kept."""
    sums: dict[str, list[Tensor]] = {"of_class": [], "taken_for": [], "hits": []}
    features: list[Tensor] = []
    for batch in run.outputs(split):
        assert batch.logits is not None
        assert batch.labels is not None
        assert batch.features is not None
        for name, value in run.objective.tally(batch.logits.float(), batch.labels).items():
            sums[name].append(value.cpu())
        if sum(map(len, features)) < _FEATURES:
            features.append(pooled(batch.features).float().cpu())
    counts = {name: torch.cat(values) for name, values in sums.items()}
    return TestedMasks(
        files=file_names(getattr(run.task, split), len(counts["hits"])),
        **counts,
        features=torch.cat(features)[:_FEATURES],
        labelled=split not in run.task.unlabelled,
    )
