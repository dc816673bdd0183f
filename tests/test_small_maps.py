"""Depthwise convolutions whose kernels are larger than their maps."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from l2o.envs.networks.load import load_network
from l2o.envs.networks.small_maps import CroppedConv2d, crop_kernels


@settings(deadline=None)
@given(
    kernel=st.tuples(st.sampled_from([1, 3, 5, 7]), st.sampled_from([3, 5, 7])),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    bias=st.booleans(),
    channels_last=st.booleans(),
)
def test_it_is_torchs_convolution(kernel, size, bias, channels_last):
    padding = (kernel[0] // 2, kernel[1] // 2)
    plain = nn.Conv2d(3, 3, kernel, padding=padding, groups=3, bias=bias).double()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image = torch.randn(2, 3, *size, dtype=torch.double).contiguous(memory_format=layout)
    cropped = copy.deepcopy(plain)
    assert crop_kernels(cropped) == 1
    answers, gradients = [], []
    for convolution in (plain, cropped):
        taken = image.clone().requires_grad_()
        answers.append(convolution(taken))
        answers[-1].square().sum().backward()
        gradients.append([taken.grad, *(each.grad for each in convolution.parameters())])
    torch.testing.assert_close(answers[1], answers[0])
    for ours, torchs in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, groups=4, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="reflect"),
        nn.Conv2d(4, 4, 2, padding="same", groups=4),
        nn.Conv2d(4, 4, 1, groups=4),
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(convolution):
    assert crop_kernels(nn.Sequential(convolution)) == 0
    assert type(convolution) is nn.Conv2d


def test_a_network_keeps_its_names_weights_and_answers():
    loaded = load_network("timm:tf_efficientnet_lite0", classes=10, pretrained=False)
    cropped = loaded.build()
    assert sum(isinstance(each, CroppedConv2d) for each in cropped.modules()) == 12
    plain = copy.deepcopy(cropped)
    for each in plain.modules():
        if isinstance(each, CroppedConv2d):
            each.__class__ = nn.Conv2d
    images = torch.randn(4, 3, 32, 32)
    assert list(cropped.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(cropped.eval()(images), plain.eval()(images), atol=1e-4, rtol=1e-4)


def test_it_can_be_traced():
    network = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, groups=2))
    crop_kernels(network)
    image = torch.rand(1, 2, 1, 1)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(image), network(image))


def test_an_empty_batch_stays_empty():
    cropped = nn.Conv2d(2, 2, 3, padding=1, groups=2)
    crop_kernels(cropped)
    torch.testing.assert_close(
        cropped(torch.zeros(0, 2, 1, 1)), torch.zeros(0, 2, 1, 1), check_stride=False
    )
