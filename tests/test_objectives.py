"""Objectives: the contract over the table, exact numbers, stacked form = single form."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from l2o.configs.schema import Named
from l2o.envs.objectives import (
    OBJECTIVES,
    Classification,
    Metric,
    Objective,
    Regression,
    Segmentation,
)
from l2o.envs.objectives.build import build_objective
from l2o.envs.tasks import Examples

CLASSES = 3


def example(name, count, seed=0, labels=True):
    """Return outputs and labels of a split of this objective."""
    generator = torch.Generator().manual_seed(seed)
    if name == "regression":
        return torch.randn(2, count, 2, generator=generator).unbind()
    shape = (count, 4, 5) if name == "segmentation" else (count,)
    outputs = torch.randn(count, CLASSES, *shape[1:], generator=generator)
    drawn = torch.randint(0, CLASSES, shape, generator=generator)
    if name == "segmentation":
        drawn[torch.rand(shape, generator=generator) < 0.2] = 255
    return outputs, drawn


def score(objective, outputs, labels, size=None):
    """Score outputs that a model is taken to give, in batches of this size."""
    parts = [each.split(size or len(labels)) for each in (outputs, labels)]
    return objective.score(lambda x: x, list(zip(*parts, strict=True)))


# The contract -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_metrics_say_what_they_are(name):
    objective = build_objective(name, outputs=CLASSES)
    assert objective.name == name
    assert "loss" in objective.metrics
    assert objective.metric() is not None
    assert objective.metric().name == objective.main
    for key, metric in objective.metrics.items():
        assert metric.name == key
        assert metric.direction in ("max", "min")
        assert metric.unit
        assert metric.chance is None or metric.chance > 0
    assert objective == build_objective(Named(name=name), outputs=CLASSES)
    assert hash(objective) == hash(build_objective(name, outputs=CLASSES))
    assert build_objective(objective) is objective
    assert all(metric.chance is None for metric in build_objective(name).metrics.values())


@pytest.mark.parametrize("name", OBJECTIVES)
@given(count=st.integers(1, 9), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_scores_do_not_depend_on_how_a_split_is_cut(name, count, size, seed):
    objective = build_objective(name)
    outputs, labels = example(name, count, seed)
    whole, cut = score(objective, outputs, labels), score(objective, outputs, labels, size)
    assert list(whole) == list(objective.metrics)
    for key, value in whole.items():
        assert cut[key] == pytest.approx(value, rel=1e-5, nan_ok=True), key


@pytest.mark.parametrize("name", OBJECTIVES)
@given(networks=st.integers(1, 4), count=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_stacked_form_is_the_single_form(name, networks, count, seed):
    objective = build_objective(name)
    lengths = [max(1, count - number) for number in range(networks)]
    each = [example(name, length, seed + number) for number, length in enumerate(lengths)]
    like = each[0]
    outputs, labels = (like[i].new_zeros(count, networks, *like[i].shape[1:]) for i in (0, 1))
    held = torch.zeros(count, networks, dtype=torch.bool)
    for number, (own, theirs) in enumerate(each):
        outputs[: len(own), number], labels[: len(own), number] = own, theirs
        held[: len(own), number] = True
    found = objective.stacked_scores(outputs, labels, held)
    assert found.shape == (len(objective.metrics), networks)
    for number, (own, theirs) in enumerate(each):
        single = score(objective, own, theirs)
        for row, key in enumerate(objective.metrics):
            assert float(found[row, number]) == pytest.approx(single[key], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_stacked_losses_and_gradients_are_the_single_ones(name):
    objective = build_objective(name)
    each = [example(name, 5, seed) for seed in range(3)]
    outputs = torch.stack([own for own, _ in each], dim=1).requires_grad_()
    labels = torch.stack([theirs for _, theirs in each], dim=1)
    losses = objective.stacked_loss(outputs, labels)
    (gradient,) = torch.autograd.grad(losses.sum(), outputs)
    for number, (own, theirs) in enumerate(each):
        own.requires_grad_()
        loss = objective.loss(own, theirs)
        torch.testing.assert_close(losses[number], loss)
        torch.testing.assert_close(gradient[:, number], torch.autograd.grad(loss, own)[0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_better_network_scores_better_and_nans_get_no_credit(name):
    objective = build_objective(name)
    _, labels = example(name, 12)
    if name == "regression":
        right, wrong = labels.clone(), labels + 1.0
    else:
        classes = torch.where(labels == 255, 0, labels)
        right = 9.0 * functional.one_hot(classes, CLASSES).movedim(-1, 1).float()
        wrong = -right
    good, bad = score(objective, right, labels), score(objective, wrong, labels)
    lost = score(objective, torch.full_like(right, torch.nan), labels)
    for key, metric in objective.metrics.items():
        assert metric.gain(good[key]) > metric.gain(bad[key]), key
        assert math.isnan(lost[key]) or lost[key] == 0.0, key
        assert lost[key] == 0.0 or metric.direction == "min", key


@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_to_score_is_no_score(name):
    objective = build_objective(name)
    assert all(math.isnan(value) for value in objective.score(lambda x: x, []).values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision_is_scored_as_such(name):
    outputs, labels = example(name, 8)
    objective = build_objective(name)
    whole, half = (score(objective, o, labels) for o in (outputs, outputs.bfloat16()))
    for key, value in whole.items():
        assert half[key] == pytest.approx(value, abs=0.05), key


# Exact numbers ----------------------------------------------------------------------------------


def test_exact_numbers_of_classification():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [3.0, 0.0], [torch.nan, 1.0]])
    labels = torch.tensor([1, 0, 0, 1, 0])
    found = score(Classification(2), logits[:4], labels[:4])
    assert found["accuracy"] == 0.75
    assert found["mean_class_accuracy"] == 0.75
    expected = [math.log(1 + math.exp(g)) for g in (-1.0, -2.0, 0.0, 3.0)]
    assert found["loss"] == pytest.approx(sum(expected) / 4)
    found = score(Classification(2), logits, labels)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["mean_class_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    chances = {name: metric.chance for name, metric in Classification(8).metrics.items()}
    assert chances == {"loss": math.log(8), "accuracy": 1 / 8, "mean_class_accuracy": 1 / 8}


@given(count=st.integers(1, 200), seed=st.integers(0, 99))
def test_scores_of_one_batch_are_those_of_plain_torch_to_the_last_bit(count, seed):
    outputs, labels = example("classification", count, seed)
    found = score(Classification(), outputs, labels)
    assert found["loss"] == float(functional.cross_entropy(outputs, labels))
    assert found["accuracy"] == float((outputs.argmax(-1) == labels).float().mean())


def test_exact_numbers_of_segmentation():
    labels = torch.tensor([[[0, 0, 1], [1, 255, 255]]])
    predicted = torch.tensor([[[0, 1, 1], [1, 0, 1]]])
    outputs = functional.one_hot(predicted, 3).movedim(-1, 1).float()
    found = score(Segmentation(3), outputs, labels)
    # Class 0: 1 of 2; class 1: 2 of 3; class 2 occurs nowhere.
    assert found["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["pixel_accuracy"] == pytest.approx(3 / 4)
    right, wrong = (math.log(2 + math.exp(g)) - g for g in (1.0, 0.0))
    wrong = math.log(2 + math.e)
    right = wrong - 1.0
    assert found["loss"] == pytest.approx((3 * right + wrong) / 4)
    chances = {name: metric.chance for name, metric in Segmentation(19).metrics.items()}
    assert chances == {"loss": math.log(19), "miou": 1 / 37, "pixel_accuracy": 1 / 19}


def test_exact_numbers_of_regression():
    found = score(Regression(), torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.zeros(2, 2))
    assert found == {
        "loss": pytest.approx(21 / 4),
        "rmse": pytest.approx(math.sqrt(21 / 4)),
        "mae": pytest.approx(7 / 4),
    }
    assert score(Regression(), torch.ones(3, 1), torch.zeros(3))["rmse"] == 1.0
    with pytest.raises(ValueError, match="gives 2 numbers for each example and labels have 3"):
        Regression().loss(torch.ones(4, 2), torch.ones(4, 3))


def test_the_loss_of_a_batch_is_a_mean_over_what_counts():
    outputs, labels = example("segmentation", 4)
    plain = functional.cross_entropy(outputs, labels, ignore_index=255)
    torch.testing.assert_close(Segmentation().loss(outputs, labels), plain)
    assert Segmentation().loss(outputs, torch.full_like(labels, 255)) == 0.0
    labels[labels == 255] = 7
    plain = functional.cross_entropy(outputs, labels, ignore_index=7)
    torch.testing.assert_close(Segmentation(ignore_index=7).loss(outputs, labels), plain)


def test_dense_outputs_of_another_size_are_scaled_to_that_of_the_labels():
    outputs, labels = example("segmentation", 3)
    large = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    scaled = functional.interpolate(outputs, size=(8, 10), mode="bilinear", align_corners=False)
    assert score(Segmentation(), outputs, large) == score(Segmentation(), scaled, large)


# Against torchmetrics ---------------------------------------------------------------------------


@given(count=st.integers(1, 40), classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_classification_is_that_of_torchmetrics(count, classes, seed):
    from torchmetrics.classification import MulticlassAccuracy

    generator = torch.Generator().manual_seed(seed)
    # Every class occurs: one that does not is of no weight here, but is there if it is predicted.
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (count,))])
    outputs = torch.randn(len(labels), classes, generator=generator)
    found = score(Classification(), outputs, labels, size=7)
    for name, average in (("mean_class_accuracy", "macro"), ("accuracy", "micro")):
        theirs = MulticlassAccuracy(num_classes=classes, average=average)(outputs, labels)
        assert found[name] == pytest.approx(float(theirs), abs=1e-6)


@given(
    count=st.integers(1, 5),
    classes=st.integers(2, 6),
    ignored=st.floats(0.0, 0.9),
    seed=st.integers(0, 999),
)
def test_segmentation_is_that_of_torchmetrics(count, classes, ignored, seed):
    from torchmetrics import JaccardIndex
    from torchmetrics.classification import MulticlassAccuracy

    generator = torch.Generator().manual_seed(seed)
    shape = (count, 4, 5)
    labels = torch.randint(classes, shape, generator=generator)
    labels[torch.rand(shape, generator=generator) < ignored] = 255
    labels[0, 0, 0] = 0
    outputs = torch.randn(count, classes, 4, 5, generator=generator)
    found = score(Segmentation(), outputs, labels, size=2)
    options = {"num_classes": classes, "ignore_index": 255}
    theirs = JaccardIndex(task="multiclass", **options)(outputs, labels)
    assert found["miou"] == pytest.approx(float(theirs), abs=1e-6)
    theirs = MulticlassAccuracy(average="micro", **options)(outputs, labels)
    assert found["pixel_accuracy"] == pytest.approx(float(theirs), abs=1e-6)


@given(count=st.integers(1, 20), width=st.integers(1, 3), seed=st.integers(0, 99))
def test_regression_is_that_of_torchmetrics(count, width, seed):
    from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

    generator = torch.Generator().manual_seed(seed)
    outputs, labels = torch.randn(2, count, width, generator=generator).unbind()
    found = score(Regression(), outputs, labels, size=4)
    theirs = MeanSquaredError(squared=False)(outputs, labels)
    assert found["rmse"] == pytest.approx(float(theirs), rel=1e-5)
    assert found["mae"] == pytest.approx(float(MeanAbsoluteError()(outputs, labels)), rel=1e-5)


# Bad input, and one's own -----------------------------------------------------------------------


@dataclass(frozen=True)
class Margin(Objective):
    """A user's own: how far the right class is ahead."""

    name: ClassVar[str] = "margin"
    main: ClassVar[str] = "margin"

    outputs: int | None = None
    slack: float = 0.0

    @property
    def metrics(self):
        return {
            "loss": Metric("loss", "min", "logits"),
            "margin": Metric("margin", "max", "logits"),
        }

    def losses(self, outputs, labels):
        return (self.slack - self.tally(outputs, labels)["ahead"]).relu()

    def tally(self, outputs, labels):
        right = outputs.gather(1, labels[:, None])[:, 0]
        others = outputs.scatter(1, labels[:, None], -math.inf).max(dim=1).values
        return {"ahead": right - others}

    def read(self, sums):
        return {"margin": sums["ahead"] / sums["count"]}


def test_ones_own_by_dotted_path():
    made = build_objective(Named(name=f"{__name__}:Margin", options={"slack": 1.0}), outputs=3)
    assert made == Margin(3, 1.0)
    outputs, labels = example("classification", 6)
    assert score(made, outputs, labels)["loss"] >= 0.0
    pair = torch.stack([outputs] * 2, dim=1), torch.stack([labels] * 2, dim=1)
    found = made.stacked_scores(*pair, torch.ones(6, 2, dtype=torch.bool))
    assert float(found[1, 1]) == pytest.approx(score(made, outputs, labels)["margin"])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("segmentatoin", "Did you mean 'segmentation'"),
        (Named(name="segmentation", options={"ignore": 0}), "Did you mean 'ignore_index'"),
        (Named(name="segmentation", options={"ignore_index": 0.5}), "no whole number"),
        (f"{__name__}:no_objective", "is no objective; derive it from"),
        (f"{__name__}:Nothing", "cannot import objective"),
    ],
)
def test_bad_names_and_options_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        build_objective(named)


def no_objective(outputs=None):
    return outputs


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"objective 'classification'.*'acuracy'.*'accuracy'"):
        Classification().metric("acuracy")


def test_examples_are_a_data_set():
    data = Examples(torch.arange(6.0).view(3, 2), torch.tensor([4, 5, 6]))
    assert [int(label) for _, label in data] == [4, 5, 6]
    assert torch.equal(data[-1][0], torch.tensor([4.0, 5.0]))
    with pytest.raises(IndexError, match="no example 3"):
        data[3]
