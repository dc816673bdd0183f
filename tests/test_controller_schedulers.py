"""Every LR scheduler of torch on top of a controller, made before it or after it."""

import pytest
import torch
from optimizer_cases import Case, network
from optimizer_loops import FACTORS, Fixed, Run, assert_same, control, layers_of, trained
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import SWALR

STEPS = 12

SCHEDULERS = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: schedulers.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.3, 4),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 10, 2.0),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 8, 1e-3),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 4, 2),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=True),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, STEPS + 2),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, 1.0, 3), schedulers.CosineAnnealingLR(o, 9)], [3]
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, 0.1, 4), schedulers.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: SWALR(o, 0.05, anneal_epochs=4),
}


def test_every_scheduler_of_torch_is_here():
    known = set(schedulers.__all__) - {"LRScheduler"}
    assert known <= set(SCHEDULERS)


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler(name, before, mode):
    case = Case("SGD", torch.optim.SGD, 0.1, {"momentum": 0.9})
    model = network(case)
    optimizer = case.make(trained(model))
    if before:
        scheduler = SCHEDULERS[name](optimizer)
    controller = control(Fixed(*FACTORS), optimizer, model, mode=mode)
    if not before:
        scheduler = SCHEDULERS[name](optimizer)
    ours = Run(model, optimizer, observe=controller.observe)

    # The reference follows a scheduler that has an optimizer of its own, with one group.
    follows = case.make([torch.zeros(1, requires_grad=True)])
    wanted = SCHEDULERS[name](follows)
    model = network(case)
    theirs = Run(model, case.make([{"params": layer} for layer in layers_of(model)]))
    for index in range(STEPS):
        for group, factor in zip(theirs.optimizer.param_groups, FACTORS, strict=True):
            group["lr"] = follows.param_groups[0]["lr"] * factor
            group["momentum"] = follows.param_groups[0]["momentum"]
        ours.one(index)
        theirs.one(index)
        follows.step()
        metric = (1.0,) if name == "ReduceLROnPlateau" else ()
        scheduler.step(*metric)
        wanted.step(*metric)
        seen, copied = optimizer.param_groups[0], follows.param_groups[0]
        assert (seen["lr"], seen["momentum"]) == (copied["lr"], copied["momentum"])
    assert len(optimizer.param_groups) == 1
    assert len({decision.learning_rates for decision in controller.history}) > 1
    assert_same(ours, theirs)
