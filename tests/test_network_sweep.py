"""Small networks of many kinds of timm's: both heads answer as timm does, to the bit."""

import pytest
import timm
import torch

from l2o.envs.networks.load import load_network

NAMES = [
    *timm.list_models("test_*"),
    *("cait_xxs24_224", "edgenext_xx_small", "ghostnet_050", "lcnet_035", "mobilenetv3_small_050"),
    *(
        "mobilevitv2_050",
        "pit_ti_224",
        "repvgg_a0",
        "starnet_s1",
        "tinynet_e",
        "xcit_nano_12_p16_224",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_timm_answers_as_timm_does(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = timm.create_model(name).eval()
    network = load_network(f"timm:{name}", classes=3, pretrained=False)
    model = network.build().eval()
    images = torch.randn(1, 3, *network.inputs.size)
    with torch.no_grad():
        features = model.forward_features(images)
        wanted = original(images)
        assert torch.equal(network.proxy_head(features), wanted)
        assert torch.equal(model.forward_head(features), model(images))
    assert model(images).shape == (1, 3)
    assert sum(p.numel() for p in network.proxy_head.parameters()) < sum(
        p.numel() for p in original.parameters()
    )
