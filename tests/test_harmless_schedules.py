"""Plugging a shipped policy in never blows a run up, whatever the user's schedule and widths."""

import functools

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import l2o

POLICIES = ("asg-base", "asg-lite", "asg-wide")
CLASSES, INPUTS, BATCH = 4, 16, 32
STEPS = 60
OPTIMIZERS = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=3e-3),
}


class ByHand:
    """Rates written into the param groups, as loops without a scheduler do."""

    def __init__(self, optimizer):
        self.optimizer, self.done = optimizer, 0
        self.base = [group["lr"] for group in optimizer.param_groups]
        self.write()

    def write(self):
        factor = (0.1, 1.0, 0.3, 0.03)[min(self.done // 15, 3)]
        for group, lr in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = lr * factor

    def step(self, metric):
        self.done += 1
        self.write()


SCHEDULES = {
    "constant": lambda o: schedulers.LambdaLR(o, lambda step: 1.0),
    "warm-up from 0": lambda o: schedulers.LambdaLR(o, lambda step: min(1.0, step / 20)),
    "one cycle": lambda o: schedulers.OneCycleLR(
        o, o.param_groups[0]["lr"], STEPS + 1, cycle_momentum=False
    ),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, STEPS),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 15),
    "plateau": lambda o: schedulers.ReduceLROnPlateau(o, factor=0.3, patience=8),
    "by hand": ByHand,
}


def batch(index, size=BATCH, shift=0.0):
    """Return noisy points around one centre per class."""
    generator = torch.Generator().manual_seed(index)
    centres = torch.randn(CLASSES, INPUTS, generator=torch.Generator().manual_seed(99))
    y = torch.randint(0, CLASSES, (size,), generator=generator)
    return centres[y] + shift + 1.5 * torch.randn(size, INPUTS, generator=generator), y


def network(width):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(INPUTS, 32), nn.ReLU(), nn.Linear(32, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )


@functools.cache
def pretrained(width):
    """Return the weights of a network that learned a like task, under a head that is new."""
    model = network(width)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for index in range(40):
        x, y = batch(5000 + index, shift=0.5)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    torch.manual_seed(1)
    model[-1].reset_parameters()
    return {name: value.clone() for name, value in model.state_dict().items()}


def run(policy, optimize, schedule, width=32, steps=STEPS, total=STEPS):
    """Return the losses of all steps and the accuracy at the end."""
    model = network(width)
    model.load_state_dict(pretrained(width))
    optimizer = optimize(model.parameters())
    scheduler = schedule(optimizer)
    if policy is not None:
        controller = l2o.LRController(shipped(policy), optimizer, model, total_steps=total)
    losses = []
    for index in range(steps):
        x, y = batch(index)
        loss = nn.functional.cross_entropy(model(x), y)
        losses.append(loss.item())
        if policy is not None:
            controller.observe(loss=loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        metric = (losses[-1],) if isinstance(scheduler, PLATEAUS) else ()
        scheduler.step(*metric)
    x, y = batch(9999, 256)
    with torch.no_grad():
        return losses, float((model(x).argmax(1) == y).float().mean())


PLATEAUS = (schedulers.ReduceLROnPlateau, ByHand)
shipped = functools.cache(l2o.load_policy)
AT_CHANCE = 1 / CLASSES + 0.07
"""Accuracy on 256 examples that guessing passes once in two hundred."""


@functools.cache
def plain(optimizer, schedule):
    return run(None, OPTIMIZERS[optimizer], SCHEDULES[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_worst_loss_is_at_most_twice_the_plain_run_s(policy, optimizer, schedule):
    wanted, reached = plain(optimizer, schedule)
    losses, accuracy = run(policy, OPTIMIZERS[optimizer], SCHEDULES[schedule])
    assert max(losses) <= 2 * max(wanted)
    assert reached > AT_CHANCE
    assert accuracy > AT_CHANCE


BEGINNING = 50


@functools.cache
def plain_beginning(optimizer, width):
    """Return the worst loss at rates that suit the width: steps of SGD are as large as it is."""
    return max(run(None, beginner(optimizer, width), SCHEDULES["constant"], width, BEGINNING)[0])


def beginner(optimizer, width):
    if optimizer == "SGD":
        return lambda params: torch.optim.SGD(params, lr=0.05 * 32 / width, momentum=0.9)
    return lambda params: torch.optim.AdamW(params, lr=3e-3 * 32 / width)


@pytest.mark.parametrize("total", [20, 1000, None])
@pytest.mark.parametrize("width", [512, 8192])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("policy", POLICIES)
def test_wide_heads_begin_no_worse_than_half_again_the_plain_run(policy, optimizer, width, total):
    optimize = beginner(optimizer, width)
    losses, _ = run(policy, optimize, SCHEDULES["constant"], width, BEGINNING, total)
    assert max(losses) <= 1.5 * plain_beginning(optimizer, width)
