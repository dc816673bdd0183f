"""Measures against plain loops."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import l2o.measures
from l2o.benchmarks.report.figures.attention import draw_attention
from l2o.extras import MissingExtraError
from l2o.measures import (
    MEASURES,
    Outputs,
    attention_maps,
    class_accuracy,
    cosine_drift,
    hyperspherical_energy,
    linear_cka,
)


def plain_energy(rows: list[list[float]], s: float) -> float:
    """Mean over all ordered pairs, with bare floats."""
    units = []
    for row in rows:
        length = math.sqrt(sum(v * v for v in row))
        units.append([v / length for v in row])
    terms = []
    for i, one in enumerate(units):
        for j, other in enumerate(units):
            if i != j:
                distance = math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other)))
                terms.append(distance**-s if s > 0 else math.log(1 / distance))
    return sum(terms) / len(terms)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 7),
    width=st.integers(2, 5),
    s=st.sampled_from([0, 1, 2, 0.5]),
    seed=st.integers(0, 999),
)
def test_energy_equals_plain_loop(count: int, width: int, s: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=generator, dtype=torch.float64)
    assert hyperspherical_energy(features, s) == pytest.approx(plain_energy(features.tolist(), s))


def test_energy_knows_order_and_limits() -> None:
    torch.manual_seed(0)
    spread = torch.randn(50, 8)
    crowded = spread + 5.0
    for s in (0, 1, 2):
        assert hyperspherical_energy(spread, s) < hyperspherical_energy(crowded, s)
        assert hyperspherical_energy(3 * spread, s) == pytest.approx(
            hyperspherical_energy(spread, s), rel=1e-5
        )
    assert hyperspherical_energy(torch.ones(2, 3), 1) == math.inf
    assert math.isnan(hyperspherical_energy(torch.tensor([[1.0], [math.nan]]), 0))
    with pytest.raises(ValueError, match="at least 2"):
        hyperspherical_energy(torch.ones(1, 3))
    with pytest.raises(ValueError, match="s must be"):
        hyperspherical_energy(torch.eye(2), -1)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 20), classes=st.integers(1, 5), seed=st.integers(0, 999))
def test_class_accuracy_equals_plain_loop(count: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    logits[::7] = math.nan
    found = class_accuracy(logits, labels).tolist()
    for k in range(classes):
        mine = [i for i in range(count) if labels[i] == k]
        right = [i for i in mine if i % 7 and max(range(classes), key=lambda c: logits[i, c]) == k]
        wanted = len(right) / len(mine) if mine else math.nan
        assert found[k] == pytest.approx(wanted, nan_ok=True)


def plain_cka(x: list[list[float]], y: list[list[float]]) -> float:
    """The feature-space form: ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of centred features."""

    def centre(rows: list[list[float]]) -> list[list[float]]:
        means = [sum(column) / len(rows) for column in zip(*rows)]
        return [[v - m for v, m in zip(row, means)] for row in rows]

    def cross(a: list[list[float]], b: list[list[float]]) -> float:
        total = 0.0
        for i in range(len(a[0])):
            for j in range(len(b[0])):
                total += sum(r[i] * q[j] for r, q in zip(a, b)) ** 2
        return total

    x, y = centre(x), centre(y)
    return cross(x, y) / math.sqrt(cross(x, x) * cross(y, y))


def test_cka_equals_plain_loop_and_ignores_the_basis() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    assert linear_cka(x, y) == pytest.approx(plain_cka(x.tolist(), y.tolist()))
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    assert linear_cka(x, 2 * x @ rotation + 3) == pytest.approx(1.0)
    assert math.isnan(linear_cka(x, torch.ones(6, 2)))
    with pytest.raises(ValueError, match="6 and 5"):
        linear_cka(x, y[:5])


def test_cosine_drift_equals_plain_loop() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    cosines = []
    for a, b in zip(one.flatten(1).tolist(), other.flatten(1).tolist()):
        dot = sum(u * v for u, v in zip(a, b))
        cosines.append(dot / math.sqrt(sum(u * u for u in a) * sum(v * v for v in b)))
    assert cosine_drift(one, other) == pytest.approx(1 - sum(cosines) / 5)
    with pytest.raises(ValueError, match="one shape"):
        cosine_drift(one, other[:, :2])


FULL: dict[str, Any] = {
    "logits": torch.eye(3),
    "labels": torch.tensor([0, 1, 1]),
    "features": torch.eye(3),
    "proxy_logits": torch.eye(2),
    "proxy_labels": torch.tensor([0, 0]),
    "maps": {"a": torch.eye(3), "b": torch.rand(3, 2, 2)},
    "start_maps": {"a": torch.eye(3), "b": torch.rand(3, 2, 2), "c": torch.eye(3)},
}
WANTED = {
    "hyperspherical_energy": {"energy_0": -math.log(2) / 2, "energy_1": 0.5**0.5, "energy_2": 0.5},
    "class_accuracy": {
        "class_accuracy_0": 1.0,
        "class_accuracy_1": 0.5,
        "class_accuracy_2": math.nan,
        "mean_class_accuracy": 0.75,
    },
    "proxy_accuracy": {"proxy_accuracy": 0.5},
    "cka": {"cka_a": 1.0},
    "cosine_drift": {"cosine_drift_a": 0.0},
}


@pytest.mark.parametrize("name", MEASURES)
def test_contract(name: str) -> None:
    measure = MEASURES[name]()
    assert measure.needs
    found = measure(Outputs(**FULL))
    assert all(isinstance(value, float) for value in found.values())
    wanted = WANTED[name]
    assert {k: found[k] for k in wanted} == pytest.approx(wanted, nan_ok=True, abs=1e-7)
    assert measure(Outputs(**{k: FULL[k] for k in measure.needs})).keys() == found.keys()
    for missing in measure.needs:
        with pytest.raises(ValueError, match=missing):
            measure(Outputs(**{k: v for k, v in FULL.items() if k != missing}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_accuracy(torch.zeros(2, 3), torch.tensor([0])), "must be"),
        (lambda: class_accuracy(torch.zeros(1, 3), torch.tensor([3])), r"0 \.\.\. 2"),
        (
            lambda: MEASURES["cka"]()(Outputs(maps={"a": torch.eye(2)}, start_maps={})),
            "layer 'a' must",
        ),
    ],
)
def test_bad_outputs(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.head = nn.Linear(3 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().flatten(1))


def test_grad_cam_equals_plain_loop() -> None:
    torch.manual_seed(2)
    model, images = Small(), torch.rand(5, 1, 8, 8)
    classes = torch.tensor([0, 1, 2, 3, 0])
    found = attention_maps(model, "conv", images, classes)
    assert found.shape == (5, 8, 8)
    maps = model.conv(images).detach().requires_grad_()
    model.head(maps.relu().flatten(1)).gather(1, classes[:, None]).sum().backward()
    raw = torch.zeros(5, 4, 4)
    for n in range(5):
        for h in range(4):
            for w in range(4):
                alphas = [maps.grad[n, c].mean().item() for c in range(3)]
                total = sum(a * maps[n, c, h, w].item() for c, a in enumerate(alphas))
                raw[n, h, w] = max(total, 0.0)
    resized = nn.functional.interpolate(raw[:, None], (8, 8), mode="bilinear")[:, 0]
    for n in range(5):
        peak = resized[n].max()
        torch.testing.assert_close(found[n], resized[n] / (peak if peak > 0 else 1.0))
    with pytest.raises(ValueError, match="Did you mean 'conv'"):
        attention_maps(model, "conv1", images, classes)
    with pytest.raises(ValueError, match="name a convolution"):
        attention_maps(model, "head", images, classes)


def test_grad_cam_without_captum_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(
        MissingExtraError, match=r'Grad-CAM needs captum: pip install "l2o\[captum\]"'
    ):
        attention_maps(Small(), "conv", torch.rand(1, 1, 8, 8), torch.tensor([0]))


def test_attention_figure() -> None:
    images, maps = torch.rand(4, 3, 8, 8), torch.rand(4, 8, 8)
    runs = {"plain": maps, "guided": maps / 2}
    figure = draw_attention(images, runs, {"plain": [True] * 4, "guided": [False] * 4})
    assert len(figure.axes) == 12
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["image", "plain", "guided"]
    assert torch.equal(torch.as_tensor(figure.axes[8].images[1].get_array()), maps[0] / 2)
    with pytest.raises(ValueError, match="'plain'"):
        draw_attention(images, {"plain": maps[:2]})


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(l2o.measures.__path__)])
def test_docstrings_run(module: str) -> None:
    found = importlib.import_module(f"l2o.measures.{module}")
    names = {"torch": torch, "Outputs": Outputs}
    assert doctest.testmod(found, extraglobs=names).failed == 0
