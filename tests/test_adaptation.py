"""Adaptation: selection rules, regularisers and terms against plain references."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import pkgutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o.adaptation
from l2o.adaptation import (
    ADAPTATION,
    ADR,
    AVH,
    CBST,
    CORAL,
    DANN,
    DRST,
    IGNORED,
    LRENT,
    MCD,
    MMD,
    MRKLD,
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
    even_divergence,
    kept_cross_entropy,
    robust_cross_entropy,
    robust_logits,
    target_orders,
    visual_hardness,
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


# Losses ------------------------------------------------------------------------------------------


def test_regulariser_and_cross_entropy_in_plain_numbers():
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, IGNORED, 2, 1])
    log_p = logits.log_softmax(dim=1).tolist()
    kept = [i for i, label in enumerate(labels.tolist()) if label != IGNORED]
    plain = -sum(log_p[i][labels[i]] for i in kept) / 3
    even = -sum(sum(log_p[i]) / 3 for i in kept) / 3
    assert kept_cross_entropy(logits, labels).item() == pytest.approx(plain, abs=1e-12)
    assert even_divergence(logits, labels != IGNORED).item() == pytest.approx(even, abs=1e-12)
    side = Side(logits, logits, labels)
    assert MRKLD().target_loss(side).item() == pytest.approx(plain + 0.1 * even, abs=1e-12)
    soft = logits.flip(0).softmax(dim=1)
    expected = -sum(sum(y * v for y, v in zip(soft[i].tolist(), log_p[i])) for i in kept) / 3
    side = Side(logits, logits, labels, soft)
    assert LRENT(kld=0.1).target_loss(side).item() == pytest.approx(expected + 0.1 * even)
    none = torch.full((4,), IGNORED)
    assert kept_cross_entropy(logits, none).item() == 0.0


def test_angles_in_plain_numbers():
    features, weight = torch.randn(3, 4), torch.randn(5, 4)

    def angle(u, v):
        return math.acos(float(np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)))

    plain = [[angle(x.numpy(), w.numpy()) for w in weight] for x in features]
    side = Side(torch.zeros(3, 5), features)
    with pytest.raises(ValueError, match="HeadInputs"):
        AVH().confidences(side)
    head = nn.Linear(4, 5)
    head.weight.data.copy_(weight)
    with HeadInputs(head) as caught:
        outputs = head(features)
        side = Side(outputs, caught.features, last=caught.last)
    shares = AVH().confidences(side)
    for row, angles in zip(shares.tolist(), plain, strict=True):
        near = [math.pi - a for a in angles]
        assert row == pytest.approx([v / sum(near) for v in near], abs=1e-5)
    hard = visual_hardness(features, weight, torch.tensor([0, 1, 2]))
    assert hard.tolist() == pytest.approx([plain[i][i] / sum(plain[i]) for i in range(3)], abs=1e-5)


def test_mmd_and_coral_in_plain_numbers():
    source, target = torch.randn(2, 5, 3, dtype=torch.float64)
    both = [row.numpy() for row in torch.cat([source, target])]
    squares = [[float(((a - b) ** 2).sum()) for b in both] for a in both]
    mean = sum(map(sum, squares)) / 100

    def kernel(i, j):
        return sum(math.exp(-squares[i][j] / (2 * a * mean)) for a in (0.125, 0.25, 0.5, 1, 2))

    def block(rows, columns):
        return sum(kernel(i, j) for i in rows for j in columns) / 25

    s, t = range(5), range(5, 10)
    expected = block(s, s) + block(t, t) - 2 * block(s, t)
    assert MMD()(source, target).item() == pytest.approx(expected, abs=1e-9)
    gap = np.cov(source.numpy().T) - np.cov(target.numpy().T)
    assert CORAL()(source, target).item() == pytest.approx((gap**2).sum() / 36, abs=1e-12)
    with pytest.raises(ValueError, match="of one layer"):
        MMD()(source, target[:, :2])


@pytest.mark.parametrize("term", [MMD(), CORAL()], ids=["mmd", "coral"])
def test_gradients_of_feature_terms(term):
    source, target = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True).unbind()
    if isinstance(term, MMD):  # the bandwidth is a constant for the gradient
        value = term(source, target)
        value.backward()
        return
    source, target = source.detach().requires_grad_(), target.detach().requires_grad_()
    assert torch.autograd.gradcheck(term, (source, target))


def test_reversed_gradient_and_domain_classifier():
    term = DANN(hidden=8)
    term.prepare(nn.Linear(4, 3), torch.zeros(1, 4))
    x = torch.randn(6, 4, requires_grad=True)
    term(x[:3], x[3:], progress=1.0).backward()
    forward = x.grad.clone()
    told = term.networks["domain"](x.detach().requires_grad_())
    plain = torch.autograd.grad(
        nn.functional.binary_cross_entropy_with_logits(
            term.networks["domain"](y := x.detach().requires_grad_())[:, 0],
            torch.tensor([1.0] * 3 + [0.0] * 3),
        ),
        y,
    )[0]
    factor = 2 / (1 + math.exp(-10)) - 1
    torch.testing.assert_close(forward, -factor * plain)
    assert told.shape == (6, 1)


def test_robust_softmax_in_plain_numbers():
    generator = torch.Generator().manual_seed(2)
    scores, bias = torch.randn(4, 3, generator=generator), torch.randn(3, generator=generator)
    ratio, labels, rho = torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.tensor([0, 2, IGNORED, 1]), 0.1
    known = torch.zeros(4, 3)
    for i, label in enumerate(labels.tolist()):
        if label >= 0:
            known[i, label] = 1
    found = robust_logits(scores, bias, ratio, known, rho)
    for i, k in itertools.product(range(4), range(3)):
        y = float(known[i, k])
        plain = (ratio[i] * scores[i, k] + rho * y) / (rho * y + 1) + bias[k]
        assert found[i, k].item() == pytest.approx(plain.item(), abs=1e-6)
    inputs = [t.double().requires_grad_() for t in (scores, bias, ratio)]
    robust_cross_entropy(*inputs, labels, rho).backward()
    violation = (found.softmax(dim=1) - known)[labels != IGNORED] / 3
    torch.testing.assert_close(inputs[0].grad[labels != IGNORED].float(), violation)
    torch.testing.assert_close(inputs[1].grad.float(), violation.sum(dim=0))
    assert (inputs[0].grad[2] == 0).all()


def test_robust_gradient_is_that_of_the_loss_on_the_target():
    """Without regularisation: the derivative of the importance-weighted loss, weights held."""
    scores = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    ratio, labels = torch.rand(5, dtype=torch.float64) + 0.5, torch.tensor([0, 1, 2, 0, 1])
    none = torch.zeros(3, dtype=torch.float64)

    def on_target(scores):
        each = nn.functional.cross_entropy(ratio[:, None] * scores, labels, reduction="none")
        return (each / ratio).mean()

    (expected,) = torch.autograd.grad(on_target(scores), scores)
    (found,) = torch.autograd.grad(robust_cross_entropy(scores, none, ratio, labels, 0.0), scores)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(on_target, scores)


def test_discrepancies_in_plain_numbers():
    backbone, head = nn.Linear(4, 6), nn.Linear(6, 3)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    method = MCD(balance=0.5)
    method.prepare(head, backbone(x))
    side = Side(head(backbone(x)), backbone(x), y)
    loss = nn.functional.cross_entropy(side.outputs, y)
    batch = Batch(side, side, loss, head)
    one = side.outputs.softmax(dim=1)
    other_logits = method.networks["second"](side.features)
    other = other_logits.softmax(dim=1)
    apart = float((one - other).detach().abs().mean())
    disused = sum(float(-(p.mean(dim=0) + 1e-6).log().mean()) for p in (one, other))
    known = float(loss + nn.functional.cross_entropy(other_logits, y)) + 0.5 * disused
    found = [float(method.loss(batch, phase)) for phase in method.phases]
    assert found == pytest.approx([known, known - apart, *[apart] * 4], abs=1e-5)
    assert [phase.trains for phase in method.phases] == ["all", "head", *["backbone"] * 4]


def test_adversarial_dropout_in_plain_numbers():
    """The source's cross-entropy is that under a mask, and what is beside it stays."""
    head, features, y = nn.Linear(6, 3), torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    side = Side(head(features), features, y)
    loss = nn.functional.cross_entropy(side.outputs, y) + 0.7
    batch, method = Batch(side, side, loss, head), ADR(weight=2.0)
    found = []
    for phase in method.phases[:3]:
        torch.manual_seed(0)
        found.append(float(method.loss(batch, phase)))

    def masked():
        return head(nn.functional.dropout(features, 0.5))

    torch.manual_seed(0)
    known = float(nn.functional.cross_entropy(masked(), y)) + 0.7
    torch.manual_seed(0)
    p, q = masked().softmax(1), masked().softmax(1)
    apart = float(((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)).mean())
    second = float(nn.functional.cross_entropy(masked(), y)) + 0.7
    assert found == pytest.approx([known, second - apart, apart], abs=1e-5)


def test_robust_self_training_in_plain_numbers():
    """Both domains weigh as they are mixed; what is beside the source's loss stays."""
    torch.manual_seed(0)
    head, method = nn.Linear(4, 3), DRST(rho=0.2, bound=3.0)
    f, g = torch.randn(6, 4), torch.randn(3, 4)
    y, z = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, IGNORED, 2])
    method.prepare(head, f)
    sides = []
    for features, labels in ((f, y), (g, z)):
        with HeadInputs(head) as caught:
            sides.append(Side(head(features), features, labels, last=caught.last))
    plain = nn.functional.cross_entropy(sides[0].outputs, y)
    found = method.loss(Batch(*sides, plain + 0.7, head), method.phases[0])
    told = [method.networks["domain"](each)[:, 0] for each in (f, g)]
    robust = [
        robust_cross_entropy(side.features @ head.weight.T, head.bias, r.exp(), side.labels, 0.2)
        for side, r in zip(sides, [each.clamp(-math.log(3), math.log(3)) for each in told])
    ]
    domains = -(told[0].sigmoid().log().mean() + (1 - told[1].sigmoid()).log().mean()) / 2
    expected = (6 * (robust[0] + 0.7) + 3 * robust[1]) / 9 + domains
    torch.testing.assert_close(found, expected)


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
