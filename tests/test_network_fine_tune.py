"""Pretrained networks are fine-tuned by a task: for images, and for pixels."""

import math

import pytest
import torch

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.networks.load import load_network
from l2o.envs.tasks.base import Examples, Task

CASES = {
    "network_cases:own": "linear",
    "timm:test_resnet": {"name": "mlp", "hidden": 8},
    "timm:deit_tiny_distilled_patch16_224": "linear",
    "timm:tf_efficientnet_lite0": {"name": "fcn", "hidden": 8},
    "torchvision:lraspp_mobilenet_v3_large": "linear",
}


def make_task(name, head):
    inputs = {"size": [64, 64]}
    network = load_network(name, classes=3, pretrained=False, head=head, inputs=inputs)
    dense = network.build().eval()(torch.zeros(1, 3, 64, 64)).dim() != 2
    generator = torch.Generator().manual_seed(0)

    def examples(number):
        shape = (number, 64, 64) if dense else (number,)
        labels = torch.randint(0, 3, shape, generator=generator)
        return Examples(torch.randn(number, 3, 64, 64, generator=generator), labels)

    proxy = Examples(torch.randn(4, 3, 64, 64), torch.arange(4) % network.proxy_classes)
    return Task(
        name="test",
        seed=0,
        build_model=network.build,
        proxy_head=network.proxy_head,
        source_train=examples(8),
        source_validation=examples(4),
        target_validation=examples(4),
        target_test=examples(4),
        proxy_test=proxy,
        num_classes=3,
        objective="segmentation" if dense else "classification",
        proxy_objective="classification",
        batch_size=4,
        steps=4,
        base_lr=0.01,
        network=network,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_fine_tune_runs_with_guidance(name):
    task = make_task(name, CASES[name])
    config = FineTuning(interval=2, guidance={"proxy_kl": {"weight": 0.3}})
    tune = FineTune(task, config, base_lr=0.01)
    backbone = next(tune.model.parameters())
    before = backbone.detach().clone()
    tune.advance(4)
    scores = tune.scores("target_test")
    assert tune.done
    assert not tune.diverged
    assert all(math.isfinite(value) for value in scores.values())
    assert math.isfinite(tune.last_proxy_kl)
    assert tune.last_proxy_kl > -1e-6
    assert math.isfinite(tune.proxy_scores()["loss"])
    assert not torch.equal(backbone, before)
    assert ("miou" in scores) == (task.objective == "segmentation")
