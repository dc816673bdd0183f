"""The frozen network's side of a fine-tune: what guidance compares with, cached where it can be."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2o.envs.fine_tuning.answers import Answers
from l2o.envs.fine_tuning.compute import Compute
from l2o.envs.tasks.base import Examples, Loading, Task
from l2o.envs.tasks.loading import load_batches
from l2o.guidance import Contrastive, Guidance, LayerMaps, PyramidConsistency

_BATCH = 256


class Teacher:
    """Gives each batch its images and the frozen pretrained network's outputs on them.

    Without contrastive guidance the images are the source's. With it, each image comes as one of
    its views, and the frozen network's maps are those of another view of it: `views` of them are
    made beforehand, so that the frozen network runs once over the data and then never again.

    Source images that are not in memory are as their data set's transforms make them, batch by
    batch. If those draw nothing, which a data set says by `deterministic = True`, the frozen
    network's predictions are kept from the first epoch on, else it runs on each batch.

    Args:
        task: what is fine-tuned.
        model: its network before the first step.
        terms: guidance terms.
        device: of everything.
        seed: of the views.
        cache: whether the frozen network's outputs are computed once; else anew in each step.
        compute: number format and memory layout of the frozen network.

    Raises:
        ValueError: several contrastive terms.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        terms: Sequence[Guidance[Any]],
        device: torch.device,
        seed: int,
        cache: bool = True,
        compute: Compute | None = None,
    ) -> None:
        self._compute = compute or Compute()
        self._task, self._device, self._seed = task, device, seed
        source = task.source_train
        self.source = source.to(device) if isinstance(source, Examples) else None
        self.contrastive = the_term_over_views(terms)
        self.layers = self.contrastive.layers if self.contrastive else ()
        self._wants_features = any(term.compares == "features" for term in terms)
        self._views = view_pairs(self.contrastive.views, seed) if self.contrastive else None
        fresh = self.contrastive is not None and self.contrastive.views == 0
        self.cached = cache and not fresh and self.source is not None
        self._random = seeded_state(seed)
        self._frozen: Any = None
        self._proxy_head: Any = None
        told = task.teacher_logits if self.cached else None
        if self.layers or self._wants_features or told is None:
            self._frozen = copy.deepcopy(model).to(device).eval().requires_grad_(False)
            self._proxy_head = copy.deepcopy(task.proxy_head).to(device).requires_grad_(False)
        alone = self.contrastive is None and not self._wants_features
        kept = cache and alone and getattr(source, "deterministic", False)
        self._answers = Answers(len(source)) if kept else None
        self._pool: dict[str, Any] = {} if told is None else {"logits": told.to(device)}
        if self.source is not None:
            self._images = self.source.images
            if self.cached and self._frozen is not None:
                self._make_pool(self.source)
        if self.contrastive is not None:
            self.contrastive.prepare(self._outputs(self._example())["maps"])

    def _example(self) -> Tensor:
        """Return a batch of one source image."""
        if self.source is not None:
            return self.source.images[:1]
        one = load_batches(
            self._task.source_train, [torch.zeros(1).long()], Loading(), self._device, self._seed
        )
        return next(one)[0]

    def _make_pool(self, source: Examples) -> None:
        if self.contrastive is not None:
            pool = [self._augment(source.images) for _ in range(self.contrastive.views)]
            self._images = torch.cat(pool)
        pooled = _concatenate([self._outputs(part) for part in self._images.split(_BATCH)])
        # Of the images as they are, the task has the predictions, to the last bit.
        self._pool = pooled | self._pool if self.contrastive is None else pooled

    def _augment(self, images: Tensor, key: bool = False) -> Tensor:
        """Return a view of each image, drawn from this fine-tune's own random stream."""
        assert self.contrastive is not None
        augment = self.contrastive.key_augment if key else self.contrastive.augment
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            view = augment(images)
            self._random = torch.get_rng_state()
        return view

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> dict[str, Any]:
        """Run the frozen network."""
        with contextlib.ExitStack() as stack:
            caught = (
                stack.enter_context(LayerMaps(self._frozen, self.layers)) if self.layers else None
            )
            stack.enter_context(self._compute.autocast(self._device))
            features = self._frozen.forward_features(self._compute.images(images))
            outputs = {"logits": self._proxy_head(features)}
            if self._wants_features:
                outputs["features"] = features
            if caught is not None:
                outputs["maps"] = dict(caught.maps)
        return outputs

    def views(self) -> tuple[Tensor, dict[str, Any]]:
        """Return what is cached: all images, view after view, and the teacher's side of them."""
        return self._images, self._pool

    def batches(
        self, orders: Iterable[Tensor], first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
        """Yield each batch's images, labels, and the teacher's side of them.

        Args:
            orders: indices of the source data `[B]`, a batch each.
            first: number of the first example among all that a fine-tune reads.

        Returns:
            Images, labels, and `logits`, and `features` and `maps` where a term compares them.
        """
        if self.source is not None:
            for order in orders:
                index = order.to(self._device)
                images, outputs = self.draw(index)
                yield images, self.source.labels[index], outputs
            return
        data, loading = self._task.source_train, self._task.loading
        orders, read = itertools.tee(orders)
        batches = load_batches(data, read, loading, self._device, self._seed, first)
        for order, (images, labels) in zip(orders, batches, strict=True):
            if self._answers is None:
                images, outputs = self._draw_anew(images)
            else:
                ask = functools.partial(self._predict, images)
                outputs = {"logits": self._answers.of(order, ask).to(self._device)}
            yield images, labels, outputs

    def _predict(self, images: Tensor) -> Tensor:
        logits: Tensor = self._outputs(images)["logits"]
        return logits

    def state_dict(self) -> dict[str, Any]:
        """Return the random streams of views, and answers; what else is cached is made anew."""
        views = None if self._views is None else self._views.state()
        answers = None if self._answers is None else self._answers.state_dict()
        return {"random": self._random, "views": views, "answers": answers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self._random = state["random"]
        if self._views is not None:
            self._views.set_state(state["views"])
        if self._answers is not None:
            self._answers.load_state_dict(state.get("answers") or {})

    def draw(self, index: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the images of a batch `[B]` of source data in memory, and the teacher's side."""
        assert self.source is not None
        if not self.cached:
            return self._draw_anew(self.source.images[index])
        if self._views is None:
            return self._images[index], _rows(self._pool, index)
        one, other = (index + len(self.source) * view for view in self._views.draw(index))
        drawn = _rows(self._pool, one)
        drawn["maps"] = {name: maps[other] for name, maps in self._pool["maps"].items()}
        return self._images[one], drawn

    def _draw_anew(self, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        if self.contrastive is None:
            return images, self._outputs(images)
        one, other = self._augment(images), self._augment(images, key=True)
        outputs = self._outputs(torch.cat([one, other]))
        maps = {name: both[len(one) :] for name, both in outputs.pop("maps").items()}
        return one, {**_rows(outputs, slice(len(one))), "maps": maps}


class ViewPairs:
    """For each image of a batch, two different ones of its views (the same one if there is one)."""

    def __init__(self, views: int, seed: int) -> None:
        self.views = views
        self._generator = torch.Generator().manual_seed(seed)

    def state(self) -> Tensor:
        """Return the state of the draws."""
        return self._generator.get_state()

    def set_state(self, state: Tensor) -> None:
        """Go on from a state."""
        self._generator.set_state(state)

    def draw(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers of views, of the shape of an index."""
        first = torch.randint(self.views, index.shape, generator=self._generator)
        if self.views == 1:
            return first.to(index), first.to(index)
        step = torch.randint(1, self.views, index.shape, generator=self._generator)
        return first.to(index), ((first + step) % self.views).to(index)


def view_pairs(views: int, seed: int) -> ViewPairs | None:
    """Return the draws of a fine-tune, None where views are made anew."""
    return ViewPairs(views, seed) if views else None


def the_contrastive(terms: Sequence[Guidance[Any]]) -> Contrastive | None:
    """Return the one contrastive term, if there is one.

    Raises:
        ValueError: there are several.
    """
    found = the_term_over_views(terms)
    return found if isinstance(found, Contrastive) else None


def the_term_over_views(
    terms: Sequence[Guidance[Any]],
) -> Contrastive | PyramidConsistency | None:
    """Return the one term that compares maps of views, if there is one.

    Raises:
        ValueError: there are several.
    """
    found = [term for term in terms if isinstance(term, Contrastive | PyramidConsistency)]
    if len(found) > 1:
        raise ValueError(
            "one contrastive term at a time (or pyramid_consistency): name all its layers in that "
            "one"
        )
    return found[0] if found else None


def seeded_state(seed: int) -> Tensor:
    """Return the state of torch's global generator after seeding it."""
    return torch.Generator().manual_seed(seed).get_state()


def _rows(held: Any, index: Any) -> Any:
    """Return rows of tensors in nested dicts."""
    if isinstance(held, dict):
        return {name: _rows(value, index) for name, value in held.items()}
    return held[index]


def _concatenate(parts: list[Any]) -> Any:
    """Join batches of tensors in nested dicts."""
    if isinstance(parts[0], dict):
        return {name: _concatenate([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(parts)
