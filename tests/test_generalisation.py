"""IBN-Net, stylised images, and pyramid consistency: exact numbers, and as parts of fine-tunes."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from l2o.configs.schema import FineTuning
from l2o.envs.networks.ibn import to_ibn
from l2o.envs.networks.ibn_norms import HalfInstanceNorm
from l2o.envs.networks.load import load_network
from l2o.envs.networks.saved import load_finetuned, save_network
from l2o.guidance import PyramidConsistency, Stylise, pyramid_distance
from l2o.guidance.stylise import restyled
from l2o.layers.groups import group_layers

MAKE = {
    "timm basic": lambda: timm.create_model("resnet10t", num_classes=4),
    "torchvision basic": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=4),
    "torchvision bottleneck": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=4),
    "timm bottleneck": lambda: timm.create_model("resnet14t", num_classes=4),
}


@pytest.fixture(params=list(MAKE))
def resnet(request):
    torch.manual_seed(0)
    return randomised(MAKE[request.param]())


def randomised(network):
    """Return a network whose batch norms have statistics and affine parameters of their own."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.uniform_(0.5, 1.5)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


# --- IBN-Net


def test_half_instance_norm_keeps_what_the_batch_norm_learned():
    norm = randomised(nn.BatchNorm2d(6))
    x = torch.randn(3, 6, 5, 5)
    half = HalfInstanceNorm(norm).eval()
    found = half(x)
    assert torch.equal(found[:, 3:], norm(x)[:, 3:])
    first = x[:, :3]
    mean = first.mean(dim=(2, 3), keepdim=True)
    std = (first.var(dim=(2, 3), keepdim=True, unbiased=False) + norm.eps).sqrt()
    weight, bias = (p[:3, None, None] for p in (norm.weight, norm.bias))
    assert torch.allclose(found[:, :3], (first - mean) / std * weight + bias, atol=1e-5)


def test_ibn_a_changes_the_first_norm_of_stages_1_to_3(resnet):
    weights = {name: p.clone() for name, p in resnet.state_dict().items()}
    made = to_ibn(resnet, "a")
    for number, stage in enumerate((made.layer1, made.layer2, made.layer3, made.layer4), 1):
        for block in stage:
            assert isinstance(block.bn1, HalfInstanceNorm) == (number < 4)
            assert isinstance(block.bn2, nn.BatchNorm2d)
    assert isinstance(made.bn1, nn.BatchNorm2d)
    state = made.state_dict()
    assert all(torch.equal(state[n], w) for n, w in weights.items() if n in state)
    old = weights["layer2.0.bn1.running_mean"]
    assert torch.equal(state["layer2.0.bn1.batch.running_mean"], old[len(old) // 2 :])
    assert made(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_ibn_b_normalises_the_stem_and_two_sums(resnet):
    weights = {name: p.clone() for name, p in resnet.state_dict().items()}
    stem = resnet.bn1.weight.clone()
    sums, x = {}, torch.randn(2, 3, 64, 64)
    made = to_ibn(resnet, "b")
    assert isinstance(made.bn1, nn.InstanceNorm2d)
    assert torch.equal(made.bn1.weight, stem)
    blocks = {f"layer{n}": getattr(made, f"layer{n}")[-1] for n in (1, 2, 3)}
    for name, block in blocks.items():
        block.register_forward_hook(lambda _, __, out, name=name: sums.update({name: out}))
    added = [n for n in made.state_dict() if "sum_norm" in n]
    assert len(added) == 4
    state = made.state_dict()
    kept = [n for n in weights if not n.startswith("bn1.")]
    assert all(torch.equal(state[n], weights[n]) for n in kept)
    made(x)
    # Before the rectifier the mean over each map is 0, and so after it far from the third stage's.
    for name in ("layer1", "layer2"):
        norm = next(m for n, m in blocks[name].named_modules() if n.endswith("sum_norm"))
        assert norm.affine
        assert (norm.weight == 1).all()
        assert sums[name].min() == 0


def test_a_block_with_a_normalised_sum_is_the_plain_one_and_a_norm():
    torch.manual_seed(0)
    plain = randomised(torchvision.models.resnet18())
    block, x = plain.layer1[-1], torch.randn(2, 64, 8, 8)
    out = block.bn2(block.conv2(functional.relu(block.bn1(block.conv1(x))))) + x
    made = to_ibn(plain, "b").layer1[-1]
    assert torch.allclose(made(x), functional.instance_norm(out).relu(), atol=1e-5)


INVERTED = ("tf_efficientnet_lite0", "mobilenetv3_small_100", "efficientnetv2_rw_t")


def inverted(name, **options):
    torch.manual_seed(0)
    return randomised(timm.create_model(name, num_classes=4, **options))


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_ibn_a_leaves_the_coarsest_maps_of_an_efficientnet(output_stride):
    plain = inverted(INVERTED[0], output_stride=output_stride)
    weights = {name: p.clone() for name, p in plain.state_dict().items()}
    made = to_ibn(plain, "a")
    changed = [isinstance(b.bn1, HalfInstanceNorm) for s in made.blocks for b in s]
    assert changed == [number < 5 for number, s in enumerate(made.blocks) for _ in s]
    state = made.state_dict()
    assert all(torch.equal(state[n], w) for n, w in weights.items() if n in state)
    assert len(weights) - sum(n in state for n in weights) == 5 * sum(changed)
    assert made(torch.randn(2, 3, 64, 64)).shape == (2, 4)


@pytest.mark.parametrize("name", INVERTED)
def test_ibn_b_normalises_the_stem_and_two_sums_of_an_inverted_network(name):
    made = to_ibn(inverted(name), "b")
    found = [n for n, m in made.named_modules() if isinstance(m, nn.InstanceNorm2d)]
    assert found[0] == "bn1.instance"
    assert len(found) == 3
    sums, x = [], torch.randn(2, 3, 64, 64)
    for each in found[1:]:
        made.get_submodule(each).register_forward_hook(lambda _, __, out: sums.append(out))
    assert made(x).shape == (2, 4)
    assert [out.shape[-1] for out in sums] == [16, 8]
    for out in sums:
        assert out.mean(dim=(2, 3)).abs().max() < 1e-4


def test_half_a_norm_with_a_rectifier_of_its_own_keeps_it():
    plain = inverted(INVERTED[0])
    norm, x = plain.blocks[1][0].bn1, torch.randn(2, 96, 5, 5)
    found = HalfInstanceNorm(norm)(x)
    first = functional.instance_norm(
        x[:, :48], weight=norm.weight[:48], bias=norm.bias[:48], eps=norm.eps
    )
    assert torch.allclose(found[:, 48:], norm(x)[:, 48:], atol=1e-6)
    assert torch.allclose(found[:, :48], norm.act(first), atol=1e-6)


def test_a_transformed_network_may_classify_pixels_on_finer_maps():
    head = {"name": "fcn", "options": {"output_stride": 16}}
    name = "timm:test_efficientnet+ibn-a"
    network = load_network(name, classes=3, pretrained=False, head=head, inputs={"size": 64})
    assert any(isinstance(m, HalfInstanceNorm) for m in network.build().modules())
    assert network.build().forward_features(torch.randn(2, 3, 64, 64)).shape[-2:] == (4, 4)


def test_what_is_no_resnet_is_refused():
    with pytest.raises(ValueError, match="not transformed already"):
        to_ibn(to_ibn(inverted(INVERTED[0]), "a"), "a")
    with pytest.raises(ValueError, match="is no ResNet"):
        to_ibn(torchvision.models.squeezenet1_0(), "a")
    with pytest.raises(ValueError, match=r"'c'.*a, b"):
        to_ibn(MAKE["timm basic"](), "c")
    with pytest.raises(ValueError, match="not transformed already"):
        to_ibn(to_ibn(MAKE["timm basic"](), "a"), "a")
    with pytest.raises(ValueError, match=r"'ibn-c'.*ibn-a"):
        load_network("timm:resnet10t+ibn-c", classes=2, pretrained=False)


@pytest.mark.parametrize(
    "name", ["timm:resnet10t+ibn-a", "torchvision:resnet18+ibn-b", "timm:test_efficientnet+ibn-a"]
)
def test_by_name_it_is_loaded_saved_and_loaded_back(name, tmp_path):
    network = load_network(name, classes=3, pretrained=False, inputs={"size": 64})
    model = network.build().eval()
    assert len(group_layers(model, head=model.get_classifier())) == network.layers
    save_network(model, network, tmp_path / "net")
    again = load_finetuned(tmp_path / "net").network
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), again(x))


# --- styles


def test_a_restyled_image_has_the_mean_and_spread_of_its_style():
    generator = torch.Generator().manual_seed(0)
    image = 0.4 + 0.2 * torch.rand(2, 3, 16, 16, generator=generator)
    style = 0.3 + 0.1 * torch.rand(2, 3, 16, 16, generator=generator)
    found = restyled(image, style, 1.0, 0.2)
    for moment in ("mean", "std"):
        mine, wanted = (getattr(each.flatten(2), moment)(2) for each in (found, style))
        assert torch.allclose(mine, wanted, atol=1e-3)
    assert torch.equal(restyled(image, style, 0.0, 0.2), image)
    half = restyled(image, style, 0.5, 0.2)
    assert torch.allclose(half, (image + found) / 2, atol=1e-6)


def test_low_amplitudes_are_the_styles_and_phases_the_images():
    generator = torch.Generator().manual_seed(1)
    image, style = (torch.rand(1, 1, 8, 8, generator=generator) for _ in range(2))
    from l2o.guidance.stylise import _exchange

    found, ours, theirs = (
        torch.fft.fft2(each) for each in (_exchange(image, style, 0.3), image, style)
    )
    low = [0, 1, 7]
    for y in range(8):
        for x in range(8):
            wanted = theirs if y in low and x in low else ours
            assert found[0, 0, y, x].abs() == pytest.approx(
                float(wanted[0, 0, y, x].abs()), abs=1e-4
            )
    assert _exchange(image, style, 0.0) is image


def test_styles_are_drawn_by_torchs_generator_and_read_from_folders(tmp_path):
    for number in range(2):
        pixels = np.full((9, 7, 3), 40 + 100 * number, np.uint8)
        pixels[::2] += 20
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    stylise = Stylise(str(tmp_path))
    images = torch.rand(6, 3, 12, 12)
    views = []
    for _ in range(2):
        torch.manual_seed(3)
        views.append(stylise(images))
    assert torch.equal(*views)
    means = views[0].mean(dim=(1, 2, 3))
    assert set((means * 255).round(decimals=-1).int().tolist()) == {50, 150}
    assert len(Stylise().styles) >= 1
    normalised = Stylise(torch.zeros(1, 3, 4, 4), low=-1.0, high=1.0)
    assert normalised(2 * images - 1).mean() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"styles": "nowhere"}, "is no folder"),
        ({"styles": torch.rand(3, 4, 4)}, "no images"),
        ({"styles": torch.full((1, 3, 4, 4), 3.0)}, "values from 3"),
        ({"strength": 1.5}, "strength"),
        ({"window": -0.1}, "window"),
    ],
)
def test_impossible_styles_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Stylise(**options)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no image files"):
        Stylise(tmp_path)


# --- pyramid consistency


def test_the_pyramid_distance_is_the_mean_over_scales():
    one, other = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    whole = (one.mean((2, 3)) - other.mean((2, 3))).abs().mean()
    fine = (one - other).abs().mean()
    assert torch.allclose(pyramid_distance(one, other, (1, 4)), (whole + fine) / 2)
    assert pyramid_distance(one, one) == 0
    features = torch.randn(2, 3)
    assert torch.allclose(pyramid_distance(features, 0 * features), features.abs().mean())
    with pytest.raises(ValueError, match="maps"):
        pyramid_distance(one, other[:, :2])


def test_gradient_flows_to_the_student_alone():
    term = PyramidConsistency(["a"], weight=2.0, augment=None)
    student, teacher = (torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(2))
    term({"a": student}, {"a": teacher}).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    with pytest.raises(ValueError, match="no map of layer 'a'"):
        term({"b": student}, {"a": teacher})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": []}, "no layers"),
        ({"levels": (0,)}, "whole numbers"),
        ({"levels": ()}, "levels"),
    ],
)
def test_impossible_pyramids_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PyramidConsistency(**options)


def test_a_fine_tune_takes_it_by_name():
    from l2o.envs.fine_tuning.fine_tune import FineTune
    from l2o.envs.tasks import DigitsFamily

    family = DigitsFamily(networks=1, width=4, pretrain_steps=40, split="train")
    task = family.sample(0)
    names = [name for name, module in task.build_model().named_modules() if name]
    layer = next(name for name in names if name not in ("head",))
    styles = {"name": "stylise", "styles": torch.rand(2, 3, 16, 16), "low": -1.0, "high": 1.0}
    term = {"layers": [layer], "augment": styles, "weight": 0.5}
    config = FineTuning(steps=2, guidance={"pyramid_consistency": term})
    run = FineTune(task, config, seed=0)
    run.advance(2)
    assert run.step == 2
    assert np.isfinite(run.last_loss)
