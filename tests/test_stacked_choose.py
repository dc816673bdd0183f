"""The fastest way of stacking is taken, where its numbers are right."""

import pytest
import torch
from test_stacked import LAYERS, advance, assert_equal, assert_scores_equal, in_double, pair
from tiny import TinyFamily, TinyNetwork
from torch import nn

from l2o.configs.schema import FineTuning
from l2o.envs.stacked import Start
from l2o.envs.stacked.choose import choose_stack
from l2o.envs.stacked.substituted import SubstitutedStack
from l2o.envs.stacked.vmapped import VmappedStack


class Convolutions(nn.Module):
    """Frozen batch norm, group norm, pooling and a residual connection."""

    def __init__(self, twist=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8).eval()
        self.block = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.other = nn.GroupNorm(2, 8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.layer_norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)
        self.twist = twist

    def forward_features(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = nn.functional.relu(x + self.other(self.block(x)))
        if self.twist == "mixes":
            x = x.flip(1)
        if self.twist == "reuses":
            x = self.block(x)
            x = nn.functional.relu(x) + x
        x = self.pool(x).flatten(1)
        return self.layer_norm(x) if self.twist != "attends" else x[:, :8].softmax(-1)

    def forward_head(self, x):
        return self.head(x)

    def get_classifier(self):
        return self.head


@pytest.mark.parametrize(
    ("twist", "kind"),
    [
        (None, SubstitutedStack),
        ("mixes", VmappedStack),
        ("reuses", VmappedStack),
        ("attends", VmappedStack),
    ],
)
def test_the_fast_way_is_taken_only_where_its_numbers_are_right(twist, kind):
    model = Convolutions(twist)
    chosen, reason = choose_stack(model, nn.Linear(8, 4), torch.zeros(3, 6, 6))
    assert chosen is kind
    assert bool(reason) == (kind is VmappedStack)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.PReLU(), "PReLU has no stacked form"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "pads with 'reflect'"),
        (nn.BatchNorm2d(3, momentum=None), "BatchNorm2d has no running statistics"),
        (nn.Flatten(0), "does not begin at dimension 1"),
    ],
)
def test_layers_without_a_stacked_form_fall_back(layer, reason):
    model = Convolutions()
    model.stem = nn.Sequential(layer, model.stem)
    chosen, why = choose_stack(model, nn.Linear(8, 4), torch.zeros(3, 6, 6))
    assert chosen is VmappedStack
    assert reason in why


def test_the_general_way_gives_the_same_numbers():
    starts = [Start(in_double(TinyFamily().sample(n)), n, 0.02) for n in range(3)]
    runs, singles = pair(starts, FineTuning(interval=5), substitute=False)
    for _ in range(4):
        advance(runs, singles, torch.ones(3, LAYERS))
        assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


def test_shared_weights_fall_back():
    model = TinyNetwork()
    model.second.weight = nn.Parameter(torch.randn(8, 8))
    model.third = nn.Linear(8, 8)
    model.third.weight = model.second.weight
    chosen, reason = choose_stack(model, nn.Linear(8, 4), torch.zeros(6))
    assert chosen is VmappedStack
    assert "shared with second" in reason
