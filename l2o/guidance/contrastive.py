"""Contrastive guidance (CSG): each image near its own frozen feature, far from those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.checks import check_number
from l2o.guidance.augment import RandAugment
from l2o.guidance.base import Guidance
from l2o.guidance.colour_jitter import ColourJitter
from l2o.guidance.compare import check_pair
from l2o.guidance.contrast_layer import ContrastLayer
from l2o.guidance.pooling import POOLINGS, attention_weights, average_weights, crop_table, pool
from l2o.guidance.stylise import Stylise
from l2o.guidance.weight import Weight
from l2o.registry import lookup, make_member

Augmentation = Callable[[Tensor], Tensor]
"""Images `[N, C, H, W]` -> another view of each, of the same shape."""


class Contrastive(Guidance[Mapping[str, Tensor]]):
    """λ · Σ over layers of InfoNCE between the trained network's maps and the frozen one's.

    L = −log exp(q·k/τ) / (exp(q·k/τ) + Σ_z exp(q·z/τ)), the mean over the batch (and crops). The
    query q is the trained network's map of one view of an image, pooled, through a two-layer MLP,
    normalised; the key k the frozen network's map of another view, pooled with the *query's*
    attention, through an MLP that is the moving average of the query's; z are past keys. Source:
    Chen et al., Contrastive Syn-to-Real Generalization, ICLR 2021 (λ = 0.1 for classification, 75
    for segmentation; layers layer3 and layer4; RandAugment(1, 6)).

    Calling it moves the key MLPs and the queues. Its query MLPs must be trained with the network:
    give `parameters()` to an optimizer, at the head's learning rate.

    Args:
        layers: names of the layers; or name -> channels, which makes the MLPs at once. With names
            only, call `prepare` with maps before `parameters`.
        weight: λ, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.
        dim: of the space in which queries and keys are compared.
        queue: past keys per layer. They cost a product of batch × dim × queue in each step.
        temperature: τ, above 0.
        momentum: of the key MLPs, in [0, 1].
        pooling: "attention" or "average".
        crops: None pools whole maps; a number cuts each map into crops × crops parts, each of them
            contrasted on its own (dense prediction; 8 in the paper).
        rectify: whether maps are rectified first, for layers whose ReLU is no module.
        augment: makes a view of images; options of `RandAugment`, a dotted path, or None for
            views that are the images themselves. For the loop, which makes the views.
        key_augment: makes the key's view, where it is another kind: options of `RandAugment` or of
            `ColourJitter` (`{name: colour_jitter, hue: 0.4}`), a dotted path; None: as `augment`.
            Dense prediction takes queries without `augment`: their pixels must stay where labels
            say. Only with `views=0`.
        views: of each image that a loop may make beforehand and keep, with their frozen maps;
            0 makes them anew in each step.
        seed: of the MLPs.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> import copy
        >>> from l2o.guidance import LayerMaps
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> proxy = copy.deepcopy(model).requires_grad_(False).eval()
        >>> guidance = Contrastive({"1": 4}, weight=0.1, queue=64)
        >>> optimizer = torch.optim.SGD([*model.parameters(), *guidance.parameters()], lr=0.1)
        >>> student, teacher = LayerMaps(model, ["1"]), LayerMaps(proxy, ["1"])
        >>> x, y = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> for _ in range(2):
        ...     loss = nn.functional.cross_entropy(model(guidance.augment(x)), y)
        ...     _ = proxy(guidance.augment(x))
        ...     loss = loss + guidance(student.maps, teacher.maps)
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
    """

    compares: ClassVar[str] = "maps"

    def __init__(
        self,
        layers: Mapping[str, int] | Sequence[str] = ("layer3", "layer4"),
        weight: Weight = 0.1,
        cap: float | None = None,
        *,
        dim: int = 128,
        queue: int = 65536,
        temperature: float = 0.07,
        momentum: float = 0.999,
        pooling: str = "attention",
        crops: int | None = None,
        rectify: bool = False,
        augment: Augmentation | Mapping[str, Any] | str | None = "rand_augment",
        key_augment: Augmentation | Mapping[str, Any] | str | None = None,
        views: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(weight, cap)
        if isinstance(layers, str) or not layers:
            raise ValueError(f"layers must be a list of names, and not empty, got {layers!r}")
        for what, number, least in (("dim", dim, 1), ("queue", queue, 1), ("views", views, 0)):
            _check_whole(what, number, least)
        _check_whole("seed", seed, 0)
        check_number("seed", seed, high=2**63 - 1)
        if crops is not None:
            _check_whole("crops", crops, 1)
        check_number("temperature", temperature, above=True)
        check_number("momentum", momentum, 0.0, 1.0)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        self.layers = tuple(layers)
        self.dim, self.queue, self.views, self.seed = dim, queue, views, seed
        self.temperature, self.momentum = temperature, momentum
        self.pooling, self.crops, self.rectify = pooling, crops, rectify
        self.augment: Augmentation = as_augmentation(augment)
        self.key_augment = self.augment if key_augment is None else as_augmentation(key_augment)
        if key_augment is not None and views:
            raise ValueError(
                f"views={views} are made beforehand, for queries and keys alike; key_augment needs "
                "views=0, which makes them anew in each step"
            )
        self._networks: list[ContrastLayer] | None = None
        if isinstance(layers, Mapping):
            self._make(list(layers.values()))

    def __repr__(self) -> str:
        return f"Contrastive(layers={self.layers}, weight={self.weight}, queue={self.queue})"

    def prepare(self, maps: Mapping[str, Tensor]) -> None:
        """Make the MLPs for maps such as these, of their type and on their device.

        Calling it again does nothing but move what is there.
        """
        first = maps[self.layers[0]]
        if self._networks is None:
            self._make([maps[name].shape[1] for name in self.layers])
        for network in self.networks:
            network.to(first.device, first.dtype)

    def _make(self, widths: Sequence[int]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._networks = [ContrastLayer(width, self.dim, self.queue) for width in widths]

    @property
    def networks(self) -> list[ContrastLayer]:
        """The MLPs and queues, one `ContrastLayer` per layer.

        Raises:
            ValueError: the channels are not known yet.
        """
        if self._networks is None:
            raise ValueError(
                "contrastive guidance does not know the channels of its layers yet; give them as "
                "layers={name: channels}, or call prepare with maps of the layers"
            )
        return self._networks

    def divergence(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over layers of the InfoNCE loss; moves key MLPs and queues.

        Args:
            student: the trained network's outputs `[N, C, ...]` of the layers, by name.
            teacher: the frozen network's, of another view of the same images.

        Raises:
            ValueError: a layer is missing, or shapes differ.
        """
        if self._networks is None:
            raise ValueError(
                "contrastive guidance was called before its MLPs were made, so no optimizer can "
                "have them; give layers={name: channels}, or call prepare with maps first"
            )
        for network in self.networks:
            network.follow(self.momentum)
        loss, keys = self.compare(student, teacher)
        for network, new in zip(self.networks, keys, strict=True):
            network.enqueue(new)
        return loss

    def compare(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the unweighted loss and each layer's keys; changes nothing."""
        losses, keys = [], []
        for name, network in zip(self.layers, self.networks, strict=True):
            for who, maps in (("student", student), ("teacher", teacher)):
                if name not in maps:
                    raise ValueError(
                        f"the {who} has no map of layer {name!r}, only of {', '.join(maps) or None}"
                    )
            check_pair(f"maps of {name!r}", student[name], teacher[name])
            query, key = self.pool(student[name], teacher[name].detach())
            loss, new = network.loss(query, key, self.temperature)
            losses.append(loss)
            keys.append(new)
        return torch.stack(losses).sum(), keys

    def pool(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled features `[N · crops², C]` of two maps, by the attention of the first."""
        if self.rectify:
            query, key = query.relu(), key.relu()
        if query.dim() == 2 and self.crops is None:
            return query, key
        crops = position_table(tuple(query.shape[2:]), self.crops).to(query)
        maps, others = query.flatten(2), key.flatten(2)
        if self.pooling == "average":
            weights = average_weights(crops)
            return pool(maps, weights, crops), pool(others, weights, crops)
        weights = attention_weights(maps, crops)
        return pool(maps, weights, crops), pool(others, weights.detach(), crops)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the query MLPs' parameters, to be trained with the network."""
        for network in self.networks:
            yield from network.query.parameters()

    def state_dict(self) -> dict[str, Any]:
        """Return MLPs and queues; between steps, not between forward and backward."""
        for network in self.networks:
            network.settle()
        return dict(nn.ModuleList(self.networks).state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; the layers' channels must be known."""
        for network in self.networks:
            network.waiting = None
        nn.ModuleList(self.networks).load_state_dict(dict(state))


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "rand_augment": RandAugment,
    "colour_jitter": ColourJitter,
    "stylise": Stylise,
}
"""What makes views, by name."""


def as_augmentation(given: Augmentation | Mapping[str, Any] | str | None) -> Augmentation:
    """Return the augmentation that a callable, a name, options or a path stand for.

    Options are those of `RandAugment`, or of the member of `AUGMENTATIONS` that they name.

    Raises:
        ValueError: an unknown name, or options that it refuses.
    """
    if given is None:
        return _same
    if isinstance(given, str):
        made: Any = lookup("augmentation", AUGMENTATIONS, given)
        found: Augmentation = made() if given in AUGMENTATIONS else made
        return found
    if isinstance(given, Mapping):
        options = dict(given)
        return make_member(
            "augmentation", AUGMENTATIONS, options.pop("name", "rand_augment"), options
        )
    return given


def _same(images: Tensor) -> Tensor:
    return images


@lru_cache(maxsize=32)
def position_table(shape: tuple[int, ...], parts: int | None) -> Tensor:
    """Return which position of a map of this shape lies in which crop `[P, parts²]`.

    Raises:
        ValueError: a map without rows and columns cannot be cut.
    """
    crops = parts or 1
    if crops > 1 and len(shape) != 2:
        raise ValueError(
            f"crops are cut from maps [N, C, H, W]; this layer's have {2 + len(shape)} dimensions"
        )
    return crop_table(*shape, crops) if len(shape) == 2 else torch.ones(_numel(shape), 1)


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _check_whole(what: str, number: int, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {number!r}")
