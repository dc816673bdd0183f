"""Adaptation: selection rules against plain references, and what holds for every method."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import pkgutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o.adaptation
from l2o.adaptation import (
    ADAPTATION,
    CBST,
    DRST,
    IGNORED,
    AboveThreshold,
    Batch,
    ClassBalanced,
    ClassQuantiles,
    EntropyRegularised,
    HeadInputs,
    LowEntropy,
    Share,
    Side,
    choose_all,
    target_orders,
)

MODULES = [
    importlib.import_module(f"l2o.adaptation.{found.name}")
    for found in pkgutil.iter_modules(l2o.adaptation.__path__)
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_of_docstrings(module):
    names = {**vars(l2o.adaptation), "torch": torch, "nn": nn}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def probabilities(images, classes, seed, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(images, classes, generator=generator, dtype=torch.float64)
    return logits.softmax(dim=1)


def plain_thresholds(p, share):
    """The rank-th confidence of each predicted class, sorted by hand."""
    found = []
    for k in range(len(p[0])):
        own = sorted((max(row) for row in p if row.index(max(row)) == k), reverse=True)
        rank = max(1, math.floor(share * len(own) + 1e-9))
        found.append(own[rank - 1] if own else 1.0)
    return found


@settings(max_examples=30)
@given(
    images=st.integers(1, 30),
    classes=st.integers(2, 5),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.0, 0.2, 0.3, 0.5, 1.0]),
)
def test_class_balanced_equals_a_plain_loop(images, classes, seed, share):
    p = probabilities(images, classes, seed)
    rule = ClassBalanced(share)
    for part in p.split(7):
        rule.observe(part)
    thresholds = plain_thresholds(p.tolist(), share)
    assert rule.thresholds.tolist() == pytest.approx(thresholds, abs=1e-12)
    for row, label in zip(p.tolist(), rule.choose(p).labels.tolist(), strict=True):
        scaled = [v / t for v, t in zip(row, thresholds, strict=True)]
        best = max(scaled)
        assert label == (scaled.index(best) if best >= 1 else IGNORED)


@settings(max_examples=30)
@given(seed=st.integers(0, 99), alpha=st.sampled_from([0.1, 0.25, 1.0]))
def test_soft_labels_minimise_and_are_kept_iff_below(seed, alpha):
    p = probabilities(12, 4, seed)
    rule = EntropyRegularised(0.5, alpha)
    rule.observe(p)
    found = rule.choose(p)
    thresholds = rule.thresholds.tolist()
    for row, soft, kept in zip(p.tolist(), found.soft.tolist(), found.kept.tolist(), strict=True):
        powers = [(v / t) ** (1 / alpha) for v, t in zip(row, thresholds, strict=True)]
        assert soft == pytest.approx([v / sum(powers) for v in powers], abs=1e-9)
        value = sum(
            -y * math.log(v) + (alpha * y * math.log(y) if y > 0 else 0)
            for y, v in zip(soft, row, strict=True)
        )
        bound = sum(-y * math.log(t) for y, t in zip(soft, thresholds, strict=True))
        assert kept == (value < bound) or value == pytest.approx(bound, abs=1e-9)


def test_dense_rules_are_those_of_pixels_as_rows():
    p = probabilities(3 * 4 * 5, 6, seed=3).float()
    maps = p.view(3, 4, 5, 6).movedim(-1, 1)
    for make in (
        lambda: ClassBalanced(0.3),
        lambda: EntropyRegularised(0.3),
        lambda: AboveThreshold(0.6),
        lambda: LowEntropy(0.3),
    ):
        flat, dense = choose_all(make(), [p]), choose_all(make(), [maps[:2], maps[2:]])
        assert torch.equal(dense.labels.flatten(), flat.labels)
        torch.testing.assert_close(dense.confidence.flatten(), flat.confidence)
        if flat.soft is not None:
            soft = dense.soft.movedim(1, -1).flatten(0, -2)
            torch.testing.assert_close(soft, flat.soft)


@pytest.mark.parametrize("make", [ClassBalanced, EntropyRegularised, LowEntropy])
def test_odd_predictions(make):
    p = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [math.nan] * 3])
    found = choose_all(make(0.5), [p])
    assert found.labels.tolist() == [0, IGNORED, IGNORED]  # classes 1, 2 never, NaN never
    nothing = choose_all(make(0.5), [torch.full((4, 3), math.nan)])
    assert not nothing.kept.any()
    with pytest.raises(ValueError, match="K of 2 at least"):
        make(0.5).observe(torch.ones(4, 1))
    with pytest.raises(ValueError, match="share"):
        make(1.5)


def test_streamed_quantiles_err_as_stated():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (40_000,), generator=generator)
    values = torch.sigmoid(6 * torch.randn(40_000, generator=generator))
    exact, streamed = ClassQuantiles(3), ClassQuantiles(3, exact=1000)
    for part in range(0, 40_000, 700):
        for quantiles in (exact, streamed):
            quantiles.add(labels[part : part + 700], values[part : part + 700])
    assert torch.equal(exact.counts, streamed.counts)
    for share in (0.001, 0.2, 0.5, 1.0):
        true, near = exact.thresholds(share), streamed.thresholds(share)
        assert (near <= true + 2e-7).all()
        assert (true - near).max() < 1.3e-4


def test_shares_grow():
    assert [Share(0.2, 0.05, 0.5).at(n) for n in (0, 1, 6, 9)] == [0.2, 0.25, 0.5, 0.5]
    assert CBST(share={"first": 0.1}).share == Share(0.1, 0.05, 0.5)
    with pytest.raises(ValueError, match="first, growth, most"):
        CBST(share={"begin": 0.1})


# The contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["images", "pixels"])
@pytest.mark.parametrize("name", ADAPTATION)
def test_every_method_gives_a_loss_and_finite_gradients(name, dense):
    torch.manual_seed(3)
    head = nn.Conv2d(4, 3, 1) if dense else nn.Linear(4, 3)
    shape = (6, 4, 5, 5) if dense else (6, 4)
    method = ADAPTATION[name]()
    features = torch.randn(shape, requires_grad=True)
    method.prepare(head, features)
    labels = torch.randint(3, (6, *shape[2:]))
    if method.relabels:
        labels.view(-1)[0] = IGNORED
    with HeadInputs(head) as caught:
        outputs = head(features)
        source = Side(outputs, features, labels.clamp_min(0), last=caught.last)
        soft = outputs.detach().softmax(dim=1) if getattr(method, "soft", False) else None
        target = Side(outputs, features, labels if method.relabels else None, soft, caught.last)
    loss = nn.functional.cross_entropy(outputs, labels.clamp_min(0))
    if method.relabels:
        rule = method.selection(0)
        rule.observe(method.confidences(target).detach())
        found = rule.choose(method.confidences(target).detach())
        assert found.labels.shape == labels.shape == found.confidence.shape
    for phase in dict.fromkeys(method.phases):
        value = method.loss(Batch(source, target, loss, head, 0.5), phase)
        assert value.dim() == 0
        value.backward(retain_graph=True)
        for parameter in (features, *head.parameters(), *method.parameters()):
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    state = method.state_dict()
    method.load_state_dict(state)
    if state:
        with pytest.raises(ValueError, match="load it into"):
            method.load_state_dict({})


def test_networks_of_its_own_come_from_the_seed_alone():
    head, before = nn.Linear(4, 3), torch.get_rng_state()
    one, other = DRST(seed=1), DRST(seed=1)
    with pytest.raises(ValueError, match="prepare"):
        one.ratios(torch.zeros(1, 4))
    for method in (one, other):
        method.prepare(head, torch.zeros(1, 4))
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.randn(2, 4)
    assert torch.equal(one.ratios(x), other.ratios(x))


def test_draws_are_balanced_or_mine_the_rare():
    counts = torch.tensor([[8, 0, 0], [9, 0, 0], [7, 0, 0], [5, 3, 0]])
    plain = torch.cat(list(itertools.islice(target_orders(counts, 3, seed=0), 4)))
    assert sorted(plain.tolist()) == sorted([0, 1, 2, 3] * 3)
    mined = next(target_orders(counts, 4000, seed=0, rare=1, probability=0.5))
    assert (mined == 3).float().mean().item() == pytest.approx(0.5 + 0.5 / 4, abs=0.03)
    with pytest.raises(ValueError, match="skip the round"):
        next(target_orders(counts[:0], 2, seed=0))
