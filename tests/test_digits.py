"""The digits family: purity, disjoint splits, cached pretraining, clear errors."""

import dataclasses
import pickle
import warnings

import numpy as np
import pytest
import torch
from documented import documented_fields

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.tasks import TASKS
from l2o.envs.tasks.digits import DigitsFamily
from l2o.envs.tasks.digits.fonts import FONT_FAMILIES, fonts_of, load_glyphs
from l2o.envs.tasks.digits.options import DigitsOptions
from l2o.envs.tasks.digits.photographs import PHOTOGRAPHS, find_textured, load_pyramid
from l2o.envs.tasks.digits.real import draw_real
from l2o.envs.tasks.digits.synthetic import Rendering, draw_colours, draw_synthetic
from l2o.envs.tasks.digits.writers import WRITERS, images_of, load_digits
from l2o.envs.tasks.proxy import pretrain
from l2o.envs.tasks.proxy.family import ProxyFamily
from l2o.envs.tasks.proxy.networks import NETWORKS, Shape
from l2o.envs.tasks.textures.options import TexturesOptions

PARTS = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))


def small(split="train", **overrides):
    return DigitsFamily(**{"split": split, "networks": 2, "pretrain_steps": 4, **overrides})


def cache_files(tmp_path):
    return sorted((tmp_path / "digits").iterdir())


def test_same_seed_gives_bit_equal_task():
    first, second = small().sample(5), small().sample(5)
    for part in PARTS:
        assert torch.equal(getattr(first, part).images, getattr(second, part).images)
        assert torch.equal(getattr(first, part).labels, getattr(second, part).labels)
    assert torch.equal(first.teacher_logits, second.teacher_logits)
    assert dict(first.description) == dict(second.description)
    models = (first.build_model(), first.build_model(), second.build_model())
    for name, tensor in models[0].state_dict().items():
        assert all(torch.equal(tensor, other.state_dict()[name]) for other in models[1:])


def test_other_seed_gives_other_task():
    first, second = small().sample(0), small().sample(1)
    assert not torch.equal(first.source_validation.images, second.source_validation.images)
    heads = [task.build_model().head.weight for task in (first, second)]
    assert not torch.equal(*heads)


def test_shapes_and_ranges():
    task = small(source_images=(40, 80)).sample(0)
    assert 40 <= len(task.source_train) <= 80
    assert len(task.target_validation) == 256
    assert len(task.target_test) == 512
    for part in PARTS:
        examples = getattr(task, part)
        assert examples.images.shape[1:] == (3, 16, 16)
        assert examples.images.dtype == torch.float32
        assert examples.images.min() >= -1
        assert examples.images.max() <= 1
        assert examples.labels.dtype == torch.int64
        assert set(examples.labels.tolist()) == set(range(10))
    assert task.build_model()(task.source_train.images[:3]).shape == (3, 10)
    assert torch.bincount(task.source_validation.labels).max() == 26


def test_teacher_is_the_proxy_model():
    task = small().sample(0)
    model = task.build_model()
    with torch.no_grad():
        features = model.forward_features(task.source_train.images)
        assert torch.equal(task.proxy_head(features), task.teacher_logits)
    assert not torch.equal(task.proxy_head.weight, model.get_classifier().weight)
    assert not any(parameter.requires_grad for parameter in task.proxy_head.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_splits_are_disjoint():
    train, heldout = small(), small("heldout")
    assert not set(WRITERS["train"]) & set(WRITERS["heldout"])
    images = [set(images_of(WRITERS[split]).tolist()) for split in WRITERS]
    assert not images[0] & images[1]
    assert images[0] | images[1] == set(range(1797))
    assert not set(fonts_of("train")) & set(fonts_of("heldout"))
    assert not set(FONT_FAMILIES["train"]) & set(FONT_FAMILIES["heldout"])
    weights = [family.sample(0).build_model().conv1.weight for family in (train, heldout)]
    assert not torch.equal(*weights)
    for photograph in PHOTOGRAPHS:
        halves = [load_pyramid(photograph, split)[0] for split in WRITERS]
        assert halves[0].shape == halves[1].shape
        assert not torch.equal(*halves)


def test_proxy_and_target_share_no_writer_and_no_photograph():
    for seed in range(4):
        facts = small().sample(seed).description
        assert not set(facts["proxy_writers"]) & set(facts["target_writers"])
        assert facts["proxy_photograph"] != facts["target_photograph"]
        assert set(facts["proxy_writers"]) | set(facts["target_writers"]) == set(WRITERS["train"])


def test_roles_share_no_real_digit(monkeypatch):
    drawn = []

    def spy(indices, *args, **kwargs):
        drawn.append(set(np.asarray(indices).tolist()))
        return draw_real(indices, *args, **kwargs)

    monkeypatch.setattr("l2o.envs.tasks.digits.family.draw_real", spy)
    family = small()
    task = family.sample(0)
    drawn.append(set(family.recipe(task.description["network"]).train_images.tolist()))
    assert len(drawn) == 4
    assert sum(map(len, drawn)) == len(set.union(*drawn))


def test_cache_hit_gives_equal_weights_without_training(tmp_path, monkeypatch):
    recipe = small().recipe(0)
    made = pretrain.load_pretrained(recipe)
    assert len(cache_files(tmp_path)) == 1
    monkeypatch.setattr(pretrain, "pretrain", lambda *_: pytest.fail("trained again"))
    loaded = pretrain.load_pretrained(recipe)
    assert all(torch.equal(made[name], loaded[name]) for name in made)


@pytest.mark.parametrize("damage", [b"", b"not a safetensors file", None])
def test_damaged_cache_file_is_made_anew(tmp_path, damage):
    recipe = small().recipe(0)
    made = pretrain.load_pretrained(recipe)
    (file,) = cache_files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-7] if damage is None else damage)
    with pytest.warns(UserWarning, match="made anew"):
        again = pretrain.load_pretrained(recipe)
    assert all(torch.equal(made[name], again[name]) for name in made)
    assert file.read_bytes() == whole
    assert cache_files(tmp_path) == [file]


def test_unwritable_cache_costs_only_the_caching(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set L2O_CACHE"):
        assert pretrain.load_pretrained(small().recipe(0))


def test_each_argument_of_a_recipe_has_its_own_file(tmp_path):
    for steps in (2, 3):
        small(pretrain_steps=steps, networks=1).prepare(progress=False)
    assert len(cache_files(tmp_path)) == 2


def test_global_random_state_is_untouched():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    small().sample(0).build_model()
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_axes_are_drawn_within_their_range():
    family = small(width=(4, 6), depth=(3, 5), networks=4, fonts_per_task=(1, 3), colours=7)
    shapes = {(family.recipe(n).width, family.recipe(n).depth) for n in range(4)}
    assert shapes == {(4, 3), (6, 3), (4, 5), (6, 5)}
    assert family.max_layers == 7
    facts = family.sample(3).description
    assert 1 <= len(facts["fonts"]) <= 3
    assert len(facts["colours"]) == 7
    fixed = [small(photograph="flower").recipe(network).photograph for network in range(2)]
    assert fixed == ["flower", "flower"]
    assert {small().recipe(network).photograph for network in range(2)} == set(PHOTOGRAPHS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "trian"}, ["'trian'", "Did you mean 'train'"]),
        ({"photograph": "chnia"}, ["'chnia'", "Did you mean 'china'"]),
        ({"networks": 0}, ["networks=0", "[1, 1000]", "give"]),
        ({"networks": 2.5}, ["networks=2.5", "whole number", "give"]),
        ({"depth": (4, 9)}, ["depth=(4, 9)", "[2, 3, 4, 5, 8, 14, 28]", "give"]),
        ({"base_lr": (0.1, 0.2)}, ["base_lr=(0.1, 0.2)", "number", "give"]),
        ({"width": None}, ["width=None", "numbers", "give"]),
        ({"depth": ()}, ["depth=()", "[2, 3, 4, 5, 8, 14, 28]", "give"]),
        ({"rotation": (20, 5)}, ["rotation=(20, 5)", "ascending", "give"]),
        ({"contrast": 0.7}, ["contrast=0.7", "[0, 0.5]", "give"]),
        ({"fonts_per_task": 40}, ["fonts_per_task=40", "[1, 12]", "give"]),
        ({"source_images": 8}, ["source_images=8", "[32, 100000]", "give"]),
        ({"shear": "much"}, ["shear='much'", "number", "give"]),
        ({"base_lr": float("nan")}, ["base_lr=nan", "give"]),
        ({"target_test_images": 0}, ["target_test_images=0", "give"]),
    ],
)
def test_errors_name_value_rule_and_remedy(arguments, words):
    with pytest.raises(ValueError) as error:
        DigitsFamily(**arguments)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_seed_must_be_a_natural_number():
    with pytest.raises(ValueError, match="seed=-1"):
        small().sample(-1)


def test_task_and_family_can_be_sent_to_another_process():
    family = small()
    task = pickle.loads(pickle.dumps(family)).sample(0)
    again = pickle.loads(pickle.dumps(task))
    assert torch.equal(again.build_model().head.weight, task.build_model().head.weight)


@pytest.mark.parametrize("font", [font for split in FONT_FAMILIES for font in fonts_of(split)])
def test_fonts_draw_ten_distinct_digits(font):
    glyphs = load_glyphs(font)
    assert glyphs.bitmaps.shape == (10, 96, 96)
    assert glyphs.outlines.abs().max() < 1, "a digit is cut off by the canvas"


def test_missing_font_says_what_to_do():
    with pytest.raises(FileNotFoundError, match="reinstall matplotlib"):
        load_glyphs("NoSuchFont")


def test_upright_digit_fills_the_height():
    rendering = Rendering(fonts_of("train")[:1], 0.0, 0.0, [[0, 0, 0, 1, 1, 1]])
    images = draw_synthetic(20, rendering, np.random.default_rng(0)).images
    ink = (images[:, 0] + 1) / 2
    assert torch.all(ink[:, 0].amax(dim=-1) > 0.2)
    assert torch.all(ink[:, -1].amax(dim=-1) > 0.2)


def test_colours_keep_their_contrast():
    pairs = np.array(draw_colours(500, 0.4, np.random.default_rng(0)))
    assert pairs.shape == (500, 6)
    assert np.abs(pairs[:, 3:] - pairs[:, :3]).mean(axis=1).min() >= 0.4


def test_real_image_is_photograph_minus_digit():
    generator, same = np.random.default_rng(3), np.random.default_rng(3)
    images = draw_real(np.array([7]), "china", "train", generator).images
    scale, place = same.integers(3, size=1)[0], same.random(1)[0]
    corners = find_textured("china", "train")[scale]
    top, left = corners[int(place * len(corners))].tolist()
    patch = load_pyramid("china", "train")[scale][:, top : top + 16, left : left + 16]
    expected = (patch - load_digits()[0][7]).abs() * 2 - 1
    assert torch.allclose(images[0], expected)


def test_network_follows_the_convention():
    model = NETWORKS["conv"](Shape(4, 5), 10, torch.Generator().manual_seed(0))
    names = [name for name, _ in model.named_children()]
    assert names == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc", "head"]
    x = torch.zeros(2, 3, 16, 16)
    features = model.forward_features(x)
    assert torch.equal(model.forward_head(features), model(x))
    assert torch.equal(model.forward_head(features, pre_logits=True), features)
    model.reset_classifier(3, torch.Generator().manual_seed(1))
    assert model.get_classifier() is model.head
    assert model(x).shape == (2, 3)


def test_pretraining_learns():
    recipe = small(pretrain_steps=150).recipe(1)
    model = recipe.build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.load_state_dict(pretrain.load_pretrained(recipe))
    examples = draw_real(
        recipe.test_images, recipe.photograph, recipe.split, np.random.default_rng(0)
    )
    with torch.no_grad():
        accuracy = (model(examples.images).argmax(1) == examples.labels).float().mean()
    assert accuracy > 0.3


def test_another_first_network_gives_other_networks() -> None:
    own, other = small(networks=2), small(networks=2, first_network=2)
    assert {own.sample(seed).description["network"] for seed in range(8)} == {0, 1}
    assert {other.sample(seed).description["network"] for seed in range(8)} == {2, 3}
    assert own.recipe(1) == small(networks=4).recipe(1)


@pytest.mark.parametrize("name", [name for name in TASKS if issubclass(TASKS[name], ProxyFamily)])
def test_options_are_one_documented_thing(name):
    """A line for each field, right below it; the family takes them whole or by name."""
    kind = TASKS[name].Options
    assert dataclasses.is_dataclass(kind)
    assert documented_fields(kind) == {field.name for field in dataclasses.fields(kind)}
    options = kind(networks=2, first_network=3)
    whole, by_name = TASKS[name](options), TASKS[name](networks=2, first_network=3)
    assert whole.options == by_name.options == options
    assert whole.recipe(4) == by_name.recipe(4)
    built = build("task", TASKS, Named(name=name, options={"networks": 2, "first_network": 3}))
    assert built.options == options
    assert TASKS[name]().options == kind()


def test_options_of_another_family_or_given_twice_are_refused():
    for wrong in (lambda: DigitsFamily("heldout"), lambda: DigitsFamily(TexturesOptions())):
        with pytest.raises(TypeError, match=r"DigitsFamily takes DigitsOptions\(\.\.\.\)"):
            wrong()
    with pytest.raises(TypeError, match="and networks"):
        DigitsFamily(DigitsOptions(), networks=2)
    with pytest.raises(ValueError, match=r"no option 'netwroks'. Did you mean 'networks'"):
        build("task", TASKS, Named(name="digits", options={"netwroks": 2}))


class Shifted(DigitsFamily):
    """A family of somebody's own, with one argument more."""

    def __init__(self, shift, **fields):
        super().__init__(**fields)
        self.shift = shift


def test_a_family_of_one_s_own_adds_an_argument():
    path = f"{__name__}:Shifted"
    made = build("task", {}, Named(name=path, options={"shift": 2, "networks": 2}))
    assert (made.shift, made.networks) == (2, 2)
    with pytest.raises(ValueError, match=r"no option 'shfit'. Did you mean 'shift'"):
        build("task", {}, Named(name=path, options={"shfit": 2}))
