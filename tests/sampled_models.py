"""Models and meters whose large tensors are read by a sample."""

import torch
from torch import nn

import l2o
from l2o.measuring.meter import Meter
from l2o.measuring.sampling import Budget
from l2o.signals.table import rows_of

NEEDS = frozenset({"gradient", "update", "drift"})

TIGHT = Budget(whole=0, share=0.05, least=0, floor=64, most=1 << 12)


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(16, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 36, 300), nn.Linear(300, 9)
    )


def meter_of(model, budget=None):
    return Meter(l2o.group_layers(model), NEEDS, budget=budget)


def measure(meter, step=1):
    count = len(meter.groups)
    return rows_of(meter.measure(step, torch.ones(count), [0.1] * count))


def moved(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model
