"""The digits family's further axes: architectures, classes, wrong labels, length, batch size."""

import numpy as np
import pytest
import torch

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.stacked.fine_tune import StackedFineTune
from l2o.envs.stacked.start import Start
from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.digits.writers import load_digits
from l2o.envs.tasks.proxy import NETWORKS
from l2o.envs.tasks.proxy.networks import Shape
from l2o.layers.groups import group_layers

SHAPES = [(name, depth) for name, kind in NETWORKS.items() for depth in kind.depths]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))


def small(**overrides):
    return DigitsFamily(**{"networks": 1, "pretrain_steps": 3, **overrides})


def network(name, depth, seed=0, width=8):
    return NETWORKS[name](Shape(width, depth), 10, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "depth"), SHAPES)
def test_networks_keep_the_convention(name, depth):
    model = network(name, depth)
    images = torch.randn(3, 3, 16, 16)
    features = model.forward_features(images)
    assert features.shape == (3, model.num_features)
    torch.testing.assert_close(model.forward_head(features), model(images))
    assert model.forward_head(features, pre_logits=True) is features
    groups = group_layers(model, head=model.get_classifier())
    assert len(groups) == model.count_layers(depth)
    assert groups[-1].is_head
    model.reset_classifier(4)
    assert model(images).shape == (3, 4)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_weights_come_from_the_generator_alone(name):
    depth = NETWORKS[name].depths[0]
    before = torch.get_rng_state()
    first, second, other = network(name, depth), network(name, depth), network(name, depth, 1)
    assert torch.equal(torch.get_rng_state(), before)
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key])
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_architecture_trains_the_same_stacked(name):
    config = FineTuning(steps=7, interval=5)
    task = small(architecture=name, width=4, source_images=64).sample(0)
    stack = StackedFineTune(config, 2, 10)
    stack.reset({i: Start(task, seed=i) for i in range(2)})
    stack.set_multipliers(torch.full((2, 10), 0.5))
    for _ in range(2):
        stack.advance()
    for seed in range(2):
        single = FineTune(task, config, seed=seed)
        single.controller.set_multipliers(torch.full((len(single.controller.groups),), 0.5))
        single.advance(7)
        weights = stack.weights(seed)
        for key, parameter in single.model.named_parameters():
            torch.testing.assert_close(weights[key], parameter.detach(), rtol=1e-3, atol=1e-5)


def test_architectures_take_turns_and_the_old_networks_stay_what_they_were():
    family = small(networks=12, architecture=["conv", "vit"], width=[4, 8], depth=[2, 3])
    recipes = [family.recipe(number) for number in range(12)]
    assert [r.architecture for r in recipes[:4]] == ["conv", "vit", "conv", "vit"]
    assert {(r.width, r.depth) for r in recipes if r.architecture == "conv"} == {(4, 3), (8, 3)}
    assert {(r.width, r.depth) for r in recipes if r.architecture == "vit"} == {
        (4, 2),
        (8, 2),
        (4, 3),
        (8, 3),
    }
    assert family.max_layers == 5
    assert {r.photograph for r in recipes if r.architecture == "vit"} == {"china", "flower"}


def test_classes_are_a_subset_with_labels_of_their_own():
    task = small(classes=4, source_images=200).sample(3)
    digits = task.description["digits"]
    assert len(digits) == task.num_classes == 4
    assert task.build_model().head.out_features == 4
    assert task.teacher_logits.shape == (200, 10)
    for part in ("source_train", "source_validation", "target_validation", "target_test"):
        assert set(getattr(task, part).labels.tolist()) == {0, 1, 2, 3}
    assert set(task.proxy_test.labels.tolist()) == set(range(10))


def test_real_images_keep_their_digit_under_the_new_label(monkeypatch):
    seen = []
    from l2o.envs.tasks.digits import family as module

    original = module.draw_real

    def draw(indices, *arguments, **options):
        seen.append(np.asarray(indices))
        return original(indices, *arguments, **options)

    monkeypatch.setattr(module, "draw_real", draw)
    task = small(classes=3).sample(1)
    truth = load_digits()[1].numpy()
    digits = np.asarray(task.description["digits"])
    for indices, part in zip(seen, ("target_validation", "target_test"), strict=False):
        assert (digits[getattr(task, part).labels.numpy()] == truth[indices]).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_that_share_of_the_training_labels_is_wrong(share):
    clean = small(source_images=1000).sample(2).source_train.labels
    noisy = small(source_images=1000, label_noise=share).sample(2)
    wrong = (noisy.source_train.labels != clean).float().mean().item()
    assert wrong == pytest.approx(share, abs=0.06 if 0 < share < 1 else 0.0)
    assert noisy.description["label_noise"] == share


def test_lengths_and_batch_sizes_are_drawn_from_the_choices():
    family = small(steps=[10, 20], batch_size=[16, 32], source_images=64)
    tasks = [family.sample(seed) for seed in range(12)]
    assert {task.steps for task in tasks} == {10, 20}
    assert {task.batch_size for task in tasks} == {16, 32}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"architecture": "convv"}, ["convv", "conv"]),
        ({"architecture": []}, ["architecture=[]"]),
        ({"architecture": "vit", "depth": 5}, ["depth=5", "vit", "[2, 3]"]),
        ({"classes": 1}, ["classes=1", "[2, 10]"]),
        ({"label_noise": 1.5}, ["label_noise=1.5"]),
        ({"steps": []}, ["steps=[]"]),
        ({"batch_size": 2000}, ["source_images"]),
    ],
)
def test_errors_name_the_value_and_the_rule(arguments, words):
    with pytest.raises(ValueError) as error:
        DigitsFamily(**arguments)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_group_normalisation_runs_vmapped_too():
    task = small(architecture="residual", width=4, source_images=64).sample(0)
    scores = []
    for substitute in (True, False):
        stack = StackedFineTune(FineTuning(steps=5), 2, 8, substitute=substitute)
        stack.reset({i: Start(task, seed=i) for i in range(2)})
        stack.set_multipliers(torch.ones(2, 8))
        stack.advance(None, ["target_validation"])
        scores.append(stack.scores["target_validation"]["loss"])
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_every_shape_comes_with_each_length_of_pretraining():
    lengths = (10, 20, 30)
    family = DigitsFamily(
        networks=72, architecture=("conv", "mlp"), width=(4, 8), pretrain_steps=lengths
    )
    recipes = [family.recipe(number) for number in range(72)]
    found = {(r.architecture, r.width, r.photograph, r.steps) for r in recipes}
    assert len(found) == 2 * 2 * 2 * 3
    alone = DigitsFamily(networks=2, pretrain_steps=20)
    assert {alone.recipe(number).steps for number in range(2)} == {20}


def test_long_lists_of_what_is_allowed_are_told_by_their_ends():
    with pytest.raises(ValueError, match=r"numbers of 2 to 1000000; give"):
        DigitsFamily(pretrain_steps=(1, 20))
