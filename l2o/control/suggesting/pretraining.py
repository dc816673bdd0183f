"""What pretraining has to give: a linear probe of its features, and of shuffled weights'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MOST = 512
"""Images that a linear probe is fitted to, and as many that it is scored on."""
PENALTY = 0.1
"""Of the ridge regression, per example, on features of unit variance."""
ENOUGH = 0.05
"""Share of what shuffled weights get wrong that pretrained ones have to get right."""

Seen = tuple[Tensor, Tensor]
"""Features `[N, D]` and class numbers `[N]`."""


@dataclass(frozen=True)
class PretrainingCheck:
    """How far pretrained features take a linear classifier, and how far those of shuffled weights.

    Attributes:
        pretrained: accuracy on the validation data.
        shuffled: that of the same network with the entries of every weight tensor shuffled.
        error: standard error of their difference, over the images.
        images: that both were scored on.
    """

    pretrained: float
    shuffled: float
    error: float
    images: int

    @property
    def little(self) -> bool:
        """Whether what pretraining adds is less than `ENOUGH` of what is left to win.

        Example:
            >>> PretrainingCheck(0.52, 0.50, 0.01, 400).little
            True
            >>> PretrainingCheck(0.80, 0.50, 0.02, 400).little
            False
        """
        return self.pretrained - self.shuffled < ENOUGH * (1.0 - self.shuffled)


def check_pretraining(
    model: nn.Module,
    see: Callable[[], tuple[Iterable[Seen], Iterable[Seen]]],
    head: Iterable[nn.Parameter],
) -> PretrainingCheck | None:
    """Probe a network as it is and with shuffled weights.

    Shuffled weights have the same sizes as the pretrained ones and none of what was learned, so
    that the difference is what pretraining knows about these images, whatever the architecture
    sees by itself. The weights are put back; the random state is not.

    Args:
        model: the network.
        see: features and labels of the training and the validation images, by the model as it is.
        head: parameters that are left as they are.

    Returns:
        None where there are fewer than two classes or no images.
    """
    kept = {id(p) for p in head}
    fitted, scored = map(_some, see())
    if not len(fitted[1]) or not len(scored[1]) or len(fitted[1].unique()) < 2:
        return None
    right = _hits(fitted, scored)
    with _shuffled(model, kept):
        shuffled = _hits(*map(_some, see()))
    differences = right - shuffled
    error = float(differences.std() / len(differences) ** 0.5)
    return PretrainingCheck(float(right.mean()), float(shuffled.mean()), error, len(right))


def _some(seen: Iterable[Seen]) -> Seen:
    """Return the first images of batches, on the host, in double precision."""
    features, labels, count = [torch.zeros(0, 0)], [torch.zeros(0, dtype=torch.int64)], 0
    for now, of in seen:
        features.append(now.detach().cpu().double())
        labels.append(of.cpu())
        count += len(of)
        if count >= MOST:
            break
    return torch.cat(features[1:] or features)[:MOST], torch.cat(labels)[:MOST]


def _hits(fitted: Seen, scored: Seen) -> Tensor:
    """Return 1 for each image that a ridge regression on one-hot labels gets right, else 0."""
    features, labels = fitted
    mean, scale = features.mean(dim=0), features.std(dim=0, unbiased=False).clamp_min(1e-9)
    train, test = (
        torch.nan_to_num((each - mean) / scale, nan=0.0, posinf=0.0, neginf=0.0)
        for each in (features, scored[0])
    )
    classes = int(max(labels.max(), scored[1].max())) + 1
    wanted = nn.functional.one_hot(labels, classes).double()
    shift = wanted.mean(dim=0)
    # In the dual, since features may be many more than images.
    kernel = train @ train.T / train.shape[1]
    kernel.diagonal().add_(PENALTY)
    weights = torch.linalg.solve(kernel, wanted - shift)
    answers = test @ train.T @ weights / train.shape[1] + shift
    return (answers.argmax(dim=1) == scored[1]).double()


@contextmanager
def _shuffled(model: nn.Module, kept: set[int]) -> Iterator[None]:
    """Shuffle the entries of each weight tensor but those kept; batch norm takes each batch's own.

    Running statistics are those of the pretrained network, and say nothing of this one.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    running = [(norm, norm.running_mean, norm.running_var) for norm in norms]
    before = [(p, p.detach().clone()) for p in model.parameters() if id(p) not in kept]
    try:
        with torch.no_grad():
            for parameter, values in before:
                order = torch.randperm(values.numel(), device="cpu").to(values.device)
                parameter.copy_(values.flatten()[order].view_as(values))
        for norm in norms:
            norm.running_mean = norm.running_var = None
        yield
    finally:
        with torch.no_grad():
            for parameter, values in before:
                parameter.copy_(values)
        for norm, mean, variance in running:
            norm.running_mean, norm.running_var = mean, variance
