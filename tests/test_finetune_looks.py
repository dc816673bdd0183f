"""Where a fine-tune's report looks for evidence: in maps that have places enough."""

import pytest
import torch
from torch import nn

from l2o.service.finetuning.figures import last_maps


class Halvings(nn.Module):
    """Convolutions that halve an image, one after the other."""

    def __init__(self, count):
        super().__init__()
        self.convs = nn.Sequential(*[nn.Conv2d(1, 1, 3, 2, 1) for _ in range(count)])

    def forward_features(self, images):
        return self.convs(images)


@pytest.mark.parametrize(
    ("side", "halvings", "taken"),
    [
        (64, 5, "convs.3"),  # 4 x 4; the last has 2 x 2
        (224, 5, "convs.4"),  # 7 x 7
        (6, 3, "convs.1"),  # 3, 2, 1: none has enough, the last has one place
        (1, 1, None),
    ],
)
def test_the_last_maps_with_places_enough_are_taken(side, halvings, taken):
    assert last_maps(Halvings(halvings), torch.zeros(1, 1, side, side)) == taken


def test_a_network_without_maps_has_none():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    network.forward_features = network.forward
    assert last_maps(network, torch.zeros(1, 1, 2, 2)) is None
