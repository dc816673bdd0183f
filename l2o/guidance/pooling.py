"""Pooling of feature maps: by attention or on average, over the whole map or over crops of it."""

from __future__ import annotations

import torch
from torch import Tensor

POOLINGS = ("attention", "average")


def crop_table(height: int, width: int, crops: int) -> Tensor:
    """Return which position lies in which crop: zeros and ones `[height · width, crops²]`.

    Rows and columns are cut into `crops` parts each, as even as they can be; the first parts are
    the larger ones.

    Raises:
        ValueError: the map has fewer rows or columns than parts.

    Example:
        >>> crop_table(1, 3, 1).T
        tensor([[1., 1., 1.]])
    """
    if not 1 <= crops <= min(height, width):
        raise ValueError(
            f"a map of {height} x {width} cannot be cut into {crops} x {crops} crops; "
            "use fewer crops, or a layer with a larger map"
        )
    rows, columns = (_parts(size, crops) for size in (height, width))
    return torch.einsum("hi,wj->hwij", rows, columns).reshape(height * width, crops * crops)


def _parts(size: int, parts: int) -> Tensor:
    lengths = [len(part) for part in torch.arange(size).tensor_split(parts)]
    owner = torch.repeat_interleave(torch.arange(parts), torch.tensor(lengths))
    return torch.nn.functional.one_hot(owner, parts).float()


def attention_weights(maps: Tensor, crops: Tensor) -> Tensor:
    """Return a ∝ ⟨v_p, mean of v over p's crop⟩, normalised to sum 1 within each crop.

    Positions that look like the whole count more. Source: Chen et al., Contrastive
    Syn-to-Real Generalization, ICLR 2021 (A-Pool). Where the mean is zero, and the
    normalisation with it undefined, positions count alike.

    Args:
        maps: v, `[..., C, P]`, with P positions.
        crops: `[P, G]`, from `crop_table`.

    Returns:
        Weights `[..., P]`.
    """
    means = maps @ (crops / crops.sum(0))
    scores = (maps * (means @ crops.T)).sum(dim=-2)
    totals = scores @ crops @ crops.T
    defined = totals > torch.finfo(totals.dtype).tiny
    safe = torch.where(defined, totals, torch.ones_like(totals))
    return torch.where(defined, scores / safe, average_weights(crops))


def average_weights(crops: Tensor) -> Tensor:
    """Return the weights `[P]` of a plain average within each crop."""
    return 1.0 / (crops @ crops.sum(0))


def pool(maps: Tensor, weights: Tensor, crops: Tensor) -> Tensor:
    """Return Σ_p a_p v_p of each crop: `[N · G, C]`, the crops of an image side by side.

    Args:
        maps: `[N, C, P]`.
        weights: `[N, P]` or `[P]`.
        crops: `[P, G]`.
    """
    return pool_crops(maps, weights, crops).movedim(1, 2).flatten(0, 1)


def pool_crops(maps: Tensor, weights: Tensor, crops: Tensor) -> Tensor:
    """Return Σ_p a_p v_p of each crop: `[..., C, G]`.

    Args:
        maps: `[..., C, P]`.
        weights: `[..., P]` or `[P]`.
        crops: `[P, G]`.
    """
    weighted = maps * (weights.unsqueeze(-2) if weights.dim() > 1 else weights)
    return weighted.sum(dim=-1, keepdim=True) if crops.shape[1] == 1 else weighted @ crops
