"""Losses and terms of adaptation against plain references."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from l2o.adaptation import (
    ADR,
    AVH,
    CORAL,
    DANN,
    DRST,
    IGNORED,
    LRENT,
    MCD,
    MMD,
    MRKLD,
    Batch,
    HeadInputs,
    Side,
    even_divergence,
    kept_cross_entropy,
    robust_cross_entropy,
    robust_logits,
    visual_hardness,
)


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
