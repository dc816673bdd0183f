"""Answers of a fine-tuned network on images that lie in a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from l2o.envs.networks.base import Inputs
from l2o.envs.networks.saved import load_finetuned
from l2o.envs.runtime.device import resolve_device
from l2o.envs.tasks.images.augment import Normalise, chain, scoring_transform
from l2o.envs.tasks.images.image_files import ImageFiles
from l2o.envs.tasks.images.listing import Listing, list_images
from l2o.envs.tasks.loading import Loading, scoring_batches
from l2o.files.atomic import write_atomically


@dataclass(frozen=True)
class Answers:
    """What a network answers: a path for each image, and its logits `[N, K]`."""

    files: tuple[str, ...]
    logits: Tensor
    classes: tuple[str, ...]


def predict(
    run: Path,
    images: Path,
    out: Path | None = None,
    *,
    top: int = 1,
    device: str = "auto",
    batch_size: int = 64,
    workers: int = 0,
    allow_code: bool = False,
) -> Path:
    """Write what a fine-tuned network answers on images; masks for one that segments.

    Args:
        run: folder of a fine-tune, with `model.safetensors` and `model.json`.
        images: folder of images, or one image.
        out: CSV to write: image, and the `top` answers with their probabilities. For a network that
            segments, a folder of masks: greyscale PNGs of the classes' numbers. None: in `run`.
        top: answers for each image.
        device: torch device; auto takes CUDA where there is one.
        batch_size: images per forward pass.
        workers: processes that read ahead.
        allow_code: whether a network of the user's own may be made by the code its card names.

    Returns:
        What was written.

    Raises:
        ValueError: no images, or a run that left no network with a name.
        DamagedFileError: a damaged network.
        CorruptImageError: an image that cannot be read.
    """
    found = load_finetuned(_with_card(run), allow_code=allow_code)
    network = found.network.to(resolve_device(device))
    listing = list_images(images) if images.is_dir() else list_images(images.parent)
    if not images.is_dir():
        listing = listing.take([listing.paths.index(images.name)])
    loading = Loading(workers=workers, scoring_batch=batch_size)
    if _segments(network, found.inputs):
        return _write_masks(network, found.inputs, listing, out or run / "masks")
    data = ImageFiles(listing, chain(scoring_transform(found.inputs), Normalise(found.inputs)))
    batches = scoring_batches(data, loading, resolve_device(device))
    with torch.inference_mode():
        logits = torch.cat([network(batch).float().cpu() for batch, _ in batches])
    paths = tuple(listing.path(i) for i in range(len(listing)))
    out = out or run / "predicted.csv"
    write_atomically(out, to_csv(Answers(paths, logits, found.classes), top))
    return out


def to_csv(answers: Answers, top: int) -> str:
    """Return answers as CSV, the surest first.

    Example:
        >>> answers = Answers(("a.png",), torch.tensor([[0.0, 2.0]]), ("cat", "dog"))
        >>> to_csv(answers, 1).splitlines()
        ['image,prediction,confidence', 'a.png,dog,0.8808']
    """
    top = min(top, answers.logits.shape[1])
    best = answers.logits.softmax(dim=1).topk(top, dim=1)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    numbers = [""] if top == 1 else [f"_{number + 1}" for number in range(top)]
    lines.writerow(["image", *(f"{w}{n}" for n in numbers for w in ("prediction", "confidence"))])
    for file, values, places in zip(answers.files, best.values, best.indices, strict=True):
        lines.writerow([file, *_answers(values.tolist(), places.tolist(), answers.classes)])
    return text.getvalue()


def _answers(values: list[float], places: list[int], classes: tuple[str, ...]) -> Iterator[str]:
    for value, place in zip(values, places, strict=True):
        yield classes[place] if classes else str(place)
        yield f"{value:.4f}"


def _with_card(run: Path) -> Path:
    if not (run / "model.json").is_file():
        if not run.is_dir():
            raise ValueError(f"{run} is no folder; give the --out of an `l2o finetune`")
        raise ValueError(
            f"{run} holds no model.json, so no network that can be loaded by its name: either the "
            "fine-tune is not finished (l2o finetune ... --resume goes on), or its task builds a "
            "network of its own"
        )
    return run


def _segments(network: nn.Module, inputs: Inputs) -> bool:
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network(torch.zeros(1, 3, *inputs.size, device=device)).dim() == 4


def _write_masks(network: nn.Module, inputs: Inputs, listing: Listing, out: Path) -> Path:
    import numpy as np
    from PIL import Image

    data = ImageFiles(listing, Normalise(inputs))
    device = next(network.parameters()).device
    for number in range(len(data)):
        image = data[number][0][None].to(device)
        with torch.inference_mode():
            logits = network(image)
        logits = nn.functional.interpolate(logits, size=image.shape[-2:], mode="bilinear")
        buffer = io.BytesIO()
        mask = logits.argmax(dim=1)[0].byte().cpu().numpy()
        Image.fromarray(np.asarray(mask)).save(buffer, format="png")
        name = Path(data.listing.paths[number]).with_suffix(".png")
        write_atomically(out / name, buffer.getvalue())
    return out
