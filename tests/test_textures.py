"""The textures family: purity, disjoint splits and roles, cached pretraining, clear errors."""

import pickle
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from l2o.envs.tasks import TASKS
from l2o.envs.tasks.proxy import pretrain
from l2o.envs.tasks.textures import TexturesFamily, synthetic
from l2o.envs.tasks.textures.light import Light, relight, turn
from l2o.envs.tasks.textures.photographs import (
    FIELDS,
    PHOTOGRAPHS,
    SHORT_SIDE,
    SIZE,
    TILES,
    draw_patches,
    find_textured,
    load_photograph,
    load_scaled,
    photograph_path,
)
from l2o.envs.tasks.textures.real import PROXY, ROLES, TARGET
from l2o.extras import MissingExtraError

pytest.importorskip("skimage")

PARTS = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))


def small(split="train", **overrides):
    return TexturesFamily(**{"split": split, "networks": 2, "pretrain_steps": 4, **overrides})


def test_is_in_the_table_and_held_out_by_default():
    assert TASKS["textures"] is TexturesFamily
    assert TexturesFamily().split == "heldout"


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
    for part in PARTS:
        mine, other = getattr(first, part).images, getattr(second, part).images
        assert mine.shape != other.shape or not torch.equal(mine, other)
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
        counts = torch.bincount(examples.labels, minlength=8)
        assert len(counts) == task.num_classes == 8
        assert counts.max() - counts.min() <= 1
    assert task.build_model()(task.source_train.images[:3]).shape == (3, 8)


def test_teacher_is_the_proxy_model():
    task = small().sample(0)
    model = task.build_model()
    with torch.no_grad():
        features = model.forward_features(task.source_train.images)
        assert torch.equal(task.proxy_head(features), task.teacher_logits)
    assert not torch.equal(task.proxy_head.weight, model.get_classifier().weight)
    assert not any(parameter.requires_grad for parameter in task.proxy_head.parameters())


def test_splits_share_no_photograph_and_no_network():
    files = [set(PHOTOGRAPHS[split]) for split in ("train", "heldout")]
    assert [len(each) for each in files] == [8, 8]
    assert not files[0] & files[1]
    for split in PHOTOGRAPHS:
        coloured = [load_photograph(file).std(dim=0).max() > 0.01 for file in PHOTOGRAPHS[split]]
        assert sum(coloured) == 4
    first, second = (small(split).sample(0).build_model() for split in ("train", "heldout"))
    assert not torch.equal(first.conv1.weight, second.conv1.weight)


def covered(file, field, role, scales):
    """Return which pixels of a photograph, in tiles, the patches of a role may touch."""
    tiles = set()
    for scale in scales:
        tile = int(SHORT_SIDE / TILES / scale)
        corners = find_textured(file, scale, field, ROLES[role])
        assert len(corners), (file, field, role, scale)
        for shift in (0, SIZE - 1):
            places = torch.div(corners + shift, tile, rounding_mode="floor")
            tiles |= set(map(tuple, places.tolist()))
    return tiles


@pytest.mark.parametrize("split", PHOTOGRAPHS)
def test_roles_share_no_tile(split):
    for file in PHOTOGRAPHS[split][:3]:
        proxy, target = FIELDS
        roles = [
            covered(file, proxy, "proxy_train", PROXY.scales),
            covered(file, proxy, "proxy_test", PROXY.scales),
            covered(file, target, "target_validation", TARGET.scales),
            covered(file, target, "target_test", TARGET.scales),
        ]
        assert sum(map(len, roles)) == len(set.union(*roles))


@pytest.mark.parametrize("split", PHOTOGRAPHS)
def test_every_role_has_patches(split):
    for file in PHOTOGRAPHS[split]:
        for field in FIELDS:
            for role in ROLES:
                condition = PROXY if role.startswith("proxy") else TARGET
                covered(file, field, role, condition.scales)


def test_fields_alternate_as_proxies():
    assert {small().recipe(number).field for number in range(2)} == set(FIELDS)
    facts = small().sample(3).description
    assert {facts["proxy_field"], facts["target_field"]} == set(FIELDS)


def test_textured_patches_are_the_upper_half():
    corners = find_textured("brick.png", 2.0, "black", (0, 2))
    image = load_scaled("brick.png", 2.0)
    tile = 48
    texture = {}
    for top in range(image.shape[1] - 15):
        for left in range(image.shape[2] - 15):
            row, column = top // tile, left // tile
            within = top % tile <= tile - 16 and left % tile <= tile - 16
            if within and row % 4 in (0, 2) and (row + column) % 2 == 0:
                patch = image[:, top : top + 16, left : left + 16].double()
                texture[top, left] = patch.std(dim=(1, 2), correction=0).mean().item()
    threshold = np.quantile(list(texture.values()), 0.5)
    clear = {place for place, value in texture.items() if value > threshold + 1e-4}
    near = {place for place, value in texture.items() if value > threshold - 1e-4}
    found = set(map(tuple, corners.tolist()))
    assert clear <= found <= near


def test_patch_is_cut_from_the_photograph():
    generator, same = np.random.default_rng(3), np.random.default_rng(3)
    patch = draw_patches(np.array([1]), "train", "white", (1,), (2.0, 3.0), generator)[0]
    scale = (2.0, 3.0)[same.integers(2, size=1)[0]]
    corners = find_textured("brick.png", scale, "white", (1,))
    top, left = corners[int(same.random(1)[0] * len(corners))].tolist()
    image = load_scaled("brick.png", scale)
    assert torch.equal(patch, image[:, top : top + 16, left : left + 16])


def test_random_phase_noise_keeps_spectrum_and_mean_of_each_channel():
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    noise = synthetic.randomise_phases(images, np.random.default_rng(0))
    torch.testing.assert_close(noise.mean(dim=(2, 3)), images.mean(dim=(2, 3)))
    before, after = torch.fft.fft2(images.double()), torch.fft.fft2(noise.double())
    torch.testing.assert_close(after.abs(), before.abs(), atol=1e-4, rtol=1e-4)
    # Channels stay correlated as they were: their relative phases are those of the image.
    products = [each[:, 0] * each[:, 1].conj() for each in (after, before)]
    torch.testing.assert_close(*products, atol=1e-2, rtol=1e-4)
    assert (noise - images).abs().mean() > 0.1


def test_noise_is_made_from_what_the_proxy_saw():
    exemplars = synthetic.draw_exemplars(3, "train", "black", np.random.default_rng(0))
    assert exemplars.shape == (8, 3, 3, 16, 16)
    file, allowed = "page.png", torch.zeros(3, 16, 16)
    for scale in PROXY.scales:
        image = load_scaled(file, scale)
        for top, left in find_textured(file, scale, "black", ROLES["proxy_train"]).tolist():
            patch = image[:, top : top + 16, left : left + 16]
            if torch.equal(patch, exemplars[7, 0]):
                allowed = patch
    assert torch.equal(allowed, exemplars[7, 0])


def test_light_is_contrast_and_shift():
    images = 0.4 + 0.2 * torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lit = relight(images, Light((2.0, 2.0), 0.0, 0.0), np.random.default_rng(0))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(lit, mean + 2 * (images - mean))
    shift = relight(images, Light((1.0, 1.0), 0.1, 0.0), np.random.default_rng(0)) - images
    assert shift.abs().max() <= 0.1
    torch.testing.assert_close(shift, shift[:, :1, :1, :1].expand_as(shift), atol=1e-6, rtol=0)
    tinted = relight(images, Light((1.0, 1.0), 0.0, 0.1), np.random.default_rng(0)) - images
    assert (tinted[:, 0] - tinted[:, 1]).abs().max() > 0.01


def test_turning_gives_the_eight_symmetries():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned = turn(image.expand(200, 1, 3, 3), np.random.default_rng(0))
    expected = {tuple(image.rot90(k, (2, 3)).flatten().tolist()) for k in range(4)}
    expected |= {tuple(image.flip(3).rot90(k, (2, 3)).flatten().tolist()) for k in range(4)}
    assert {tuple(each.flatten().tolist()) for each in turned} == expected


def test_cache_hit_gives_equal_weights_without_training(tmp_path, monkeypatch):
    recipe = small().recipe(0)
    made = pretrain.load_pretrained(recipe)
    assert len(list((tmp_path / "textures").iterdir())) == 1
    monkeypatch.setattr(pretrain, "pretrain", lambda *_: pytest.fail("trained again"))
    loaded = pretrain.load_pretrained(recipe)
    assert all(torch.equal(made[name], loaded[name]) for name in made)


def test_importance_is_that_of_its_pretraining():
    task = small().sample(0)
    importance = task.importance()
    backbone = dict(task.build_model().named_parameters())
    assert set(importance) == {name for name in backbone if not name.startswith("head")}
    assert all(importance[name].shape == backbone[name].shape for name in importance)


def test_pretraining_learns():
    recipe = small(pretrain_steps=150).recipe(0)
    model = recipe.build()
    model.load_state_dict(pretrain.load_pretrained(recipe))
    examples = small().sample(0).proxy_test
    with torch.no_grad():
        logits = model(examples.images)
    assert functional.cross_entropy(logits, examples.labels) < 2.0
    assert (logits.argmax(1) == examples.labels).float().mean() > 0.3


def test_architectures_alternate():
    family = small(architecture=("conv", "mlp"), networks=4)
    assert [family.recipe(number).architecture for number in range(4)] == ["conv", "mlp"] * 2
    assert {family.recipe(number).field for number in range(4)} == set(FIELDS)
    assert family.max_layers == 6


def test_global_random_state_is_untouched():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    small().sample(0).build_model()
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_task_and_family_can_be_sent_to_another_process():
    task = pickle.loads(pickle.dumps(small())).sample(0)
    again = pickle.loads(pickle.dumps(task))
    assert torch.equal(again.build_model().head.weight, task.build_model().head.weight)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "trian"}, ["'trian'", "Did you mean 'train'"]),
        ({"architecture": "convv"}, ["'convv'", "Did you mean 'conv'"]),
        ({"networks": 0}, ["networks=0", "[1, 1000]", "give"]),
        ({"exemplars": (4, 2)}, ["exemplars=(4, 2)", "ascending", "give"]),
        ({"source_images": 8}, ["source_images=8", "[32, 100000]", "give"]),
        ({"contrast": 0.5}, ["contrast=0.5", "[1, 10]", "give"]),
        ({"tint": "much"}, ["tint='much'", "number", "give"]),
        ({"base_lr": float("nan")}, ["base_lr=nan", "give"]),
        ({"target_test_images": 0}, ["target_test_images=0", "give"]),
    ],
)
def test_errors_name_value_rule_and_remedy(arguments, words):
    with pytest.raises(ValueError) as error:
        TexturesFamily(**arguments)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(
        MissingExtraError, match=r'needs scikit-image: pip install "l2o\[textures\]"'
    ):
        TexturesFamily()


def test_missing_photograph_names_the_remedy():
    with pytest.raises(FileNotFoundError, match=r"'no\.png'.*pip install \"l2o\[textures\]\""):
        photograph_path("no.png")
