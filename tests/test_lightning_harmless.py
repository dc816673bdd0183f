"""The callback for Lightning does no harm: multipliers of one change nothing, nothing is left."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from fits import Module, fit
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning
from loops import STEPS, Data, Net, Watchful, adamw, equal
from torch import nn

import l2o
from l2o.integrations.lightning import LRCallback
from l2o.integrations.networks import grouping_of, network_of
from l2o.integrations.pending_losses import PendingLosses


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Constant(l2o.Policy):
    """The same multiplier for every layer, always."""

    signals = l2o.SignalSpec(("present", "loss"))
    interval = 2

    def __init__(self, multiplier=1.0):
        self.multiplier = multiplier

    def __call__(self, observation, state):
        return torch.full((len(observation),), self.multiplier), state


class ByHand(LightningModule):
    """Manual optimization of one network, in the ways there are."""

    def __init__(self, raw=False, every=1, directly=False, closure=False):
        super().__init__()
        self.automatic_optimization = False
        self.net, self.raw, self.every = Net(), raw, every
        self.directly, self.closure = directly, closure

    def configure_optimizers(self):
        return adamw(self.net)

    def training_step(self, batch, index):
        optimizer = self.optimizers(use_pl_optimizer=not self.raw)

        def backward():
            loss = self.net(**batch)["loss"] / self.every
            loss.backward() if self.directly else self.manual_backward(loss)
            return loss

        if self.closure:
            optimizer.zero_grad()
            optimizer.step(closure=backward)
            return None
        loss = backward()
        if (index + 1) % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss


class Shared(LightningModule):
    """Two optimizers that step on one loss."""

    def __init__(self, raw=False):
        super().__init__()
        self.automatic_optimization = False
        self.net, self.raw = Net(), raw

    def configure_optimizers(self):
        body = [*self.net.first.parameters(), *self.net.second.parameters()]
        return torch.optim.SGD(body, lr=0.1), torch.optim.SGD(self.net.head.parameters(), lr=0.2)

    def training_step(self, batch, index):
        optimizers = self.optimizers(use_pl_optimizer=not self.raw)
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(self.net(**batch)["loss"])
        for optimizer in optimizers:
            optimizer.step()


RUNS = {
    "automatic": (Module, {}),
    "accumulation": (Module, {"accumulate_grad_batches": 3}),
    "clipping": (Module, {"gradient_clip_val": 0.1}),
    "bf16": (Module, {"precision": "bf16-mixed"}),
    "by hand": (ByHand, {}),
    "raw": (lambda: ByHand(raw=True), {}),
    "raw, accumulation by hand": (lambda: ByHand(raw=True, every=3), {}),
    "own backward": (lambda: ByHand(directly=True), {}),
    "closure": (lambda: ByHand(closure=True), {}),
    "raw closure": (lambda: ByHand(raw=True, closure=True), {}),
    "shared loss": (Shared, {}),
    "shared loss, raw": (lambda: Shared(raw=True), {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_multipliers_of_one_change_nothing(name, tmp_path):
    make, options = RUNS[name]
    plain, mine, callback = make(), make(), LRCallback(Constant())
    wanted = fit(plain, [], tmp_path, **options)
    got = fit(mine, [callback], tmp_path, **options)
    assert equal(mine, plain)
    assert got.global_step == wanted.global_step
    assert all(c.report()["interventions"] == {} for c in callback.controllers)
    assert len(callback.history) >= 2
    for module in mine.modules():
        assert not any(v for k, v in vars(module).items() if k.endswith("_hooks"))
    for optimizer in got.optimizers:
        assert not any(v for k, v in vars(optimizer).items() if k.endswith("_step_post_hooks"))


def losses_of(module, folder, **options):
    policies = [Watchful() for _ in range(options.pop("optimizers", 1))]
    callback = LRCallback(policies, interval=1)
    fit(module, [callback], folder, **options)
    return [policy.losses for policy in policies]


WAYS = {
    "by hand": lambda: ByHand(),
    "raw": lambda: ByHand(raw=True),
    "closure": lambda: ByHand(closure=True),
    "raw closure": lambda: ByHand(raw=True, closure=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_loss_is_seen_by_the_step_that_it_led_to(way, tmp_path):
    # SGD: the same steps, whoever makes them, so that the losses are the same, too.
    wanted = losses_of(Module(), tmp_path, max_steps=1)[0][:1]
    seen = losses_of(WAYS[way](), tmp_path)[0]
    assert len(seen) == STEPS
    assert seen[:1] == pytest.approx(wanted)
    assert len(set(seen)) == STEPS


def test_losses_accumulated_by_hand_are_averaged(tmp_path):
    seen = losses_of(ByHand(raw=True, every=2), tmp_path)[0]
    net = Net()
    first = [float(net(**batch)["loss"].detach()) / 2 for batch in list(Data().loader())[:2]]
    assert len(seen) == STEPS // 2
    assert seen[0] == pytest.approx(sum(first) / 2)


@pytest.mark.parametrize("raw", [False, True])
def test_optimizers_that_step_on_one_loss_are_both_told(raw, tmp_path):
    one, two = losses_of(Shared(raw), tmp_path, optimizers=2)
    assert len(one) == STEPS
    assert one == two


def test_losses_that_go_past_lightning_are_those_returned(tmp_path):
    seen = losses_of(ByHand(directly=True), tmp_path)[0]
    # A step later than otherwise: Lightning tells what a training step returned when it is over.
    assert len(seen) == STEPS
    assert seen[1:] == pytest.approx(losses_of(ByHand(), tmp_path)[0][:-1], rel=1e-2)


def test_pending_losses_keep_one_number():
    losses = PendingLosses()
    for value in range(1000):
        losses.add(torch.tensor(float(value)))
    assert sum(isinstance(value, torch.Tensor) for value in vars(losses).values()) == 1
    assert losses.take("a") == 499.5
    assert losses.take("a") is None
    losses.begin_batch()
    assert losses.take("b") is None


# Layers that come later -------------------------------------------------------------------------


class Thawed(LightningModule):
    """Backbone and heads; optimizers begin with the heads."""

    def __init__(self, rate, heads=1):
        super().__init__()
        torch.manual_seed(0)
        self.rate = rate
        self.backbone = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(8, 3) for _ in range(heads))
        self.head = self.heads[0] if heads == 1 else None
        self.automatic_optimization = heads == 1

    def configure_optimizers(self):
        self.backbone.requires_grad_(False)
        return [torch.optim.SGD(head.parameters(), lr=self.rate) for head in self.heads]

    def training_step(self, batch, index):
        maps = self.backbone(batch["x"])
        losses = [nn.functional.cross_entropy(head(maps), batch["labels"]) for head in self.heads]
        if self.automatic_optimization:
            return losses[0]
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(sum(losses))
        for optimizer in self.optimizers():
            optimizer.step()
        return None


class AddGroup(Callback):
    """Thaws the backbone by hand, for the last optimizer."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            pl_module.backbone.requires_grad_(True)
            group = {"params": list(pl_module.backbone.parameters()), "lr": pl_module.rate}
            trainer.optimizers[-1].add_param_group(group)


class Unfreeze(BaseFinetuning):
    """Thaws half of the backbone after each epoch."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module, epoch, optimizer):
        for part, when in ((2, 1), (0, 2)):
            if epoch == when and optimizer is pl_module.trainer.optimizers[-1]:
                self.unfreeze_and_add_param_group(
                    pl_module.backbone[part], optimizer, lr=pl_module.rate, initial_denom_lr=1
                )


def backbone_finetuning(rate):
    return BackboneFinetuning(
        1, lambda epoch: 1.0, 1.0, backbone_initial_lr=rate, should_align=False
    )


THAWS = {
    "BackboneFinetuning": (backbone_finetuning, 1),
    "add_param_group": (lambda rate: AddGroup(), 1),
    "add_param_group, two optimizers": (lambda rate: AddGroup(), 2),
    "unfreeze_and_add_param_group": (lambda rate: Unfreeze(), 1),
    "unfreeze_and_add_param_group, two optimizers": (lambda rate: Unfreeze(), 2),
}


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("name", THAWS)
def test_layers_that_are_thawed_follow_the_policy(name, first, tmp_path):
    thaw, heads = THAWS[name]
    plain, mine, callback = Thawed(0.05, heads), Thawed(0.1, heads), LRCallback(Constant(0.5))
    fit(plain, [thaw(0.05)], tmp_path, max_epochs=3)
    callbacks = [callback, thaw(0.1)] if first else [thaw(0.1), callback]
    fit(mine, callbacks, tmp_path, max_epochs=3)
    assert not torch.equal(mine.backbone[0].weight, Thawed(0.1, heads).backbone[0].weight)
    assert equal(mine, plain)
    names = [group.name for group in callback.controllers[-1].groups]
    assert names[:2] == ["backbone.0", "backbone.2"]
    assert callback.controllers[-1].groups[-1].is_head


class Nets(nn.Module):
    def __init__(self, **nets):
        super().__init__()
        for name, net in nets.items():
            setattr(self, name, net)


def test_each_network_of_several_has_its_head():
    whole = Nets(one=Net(), two=Net(), judge=Net())
    whole.judge.requires_grad_(False)
    optimizers = [adamw(whole.one), adamw(whole.two)]
    for name, optimizer in zip(("one", "two"), optimizers, strict=True):
        network = network_of(whole, optimizer, optimizers)
        assert sorted(dict(network.named_children())) == sorted([name, "judge"])
        options = grouping_of(network, optimizer)
        assert options["head"] is getattr(whole, name).head
        groups = l2o.group_layers(network, **options)
        assert [(g.name, g.depth) for g in groups] == [
            (f"{name}.first", 0.0),
            (f"{name}.second", 0.5),
            (f"{name}.head", 1.0),
        ]
        assert groups[-1].is_head


def test_a_frozen_teacher_does_not_hide_the_head(tmp_path):
    class Distilled(Module):
        def __init__(self):
            super().__init__()
            self.teacher = Net().requires_grad_(False)

    callback = LRCallback(Constant())
    fit(Distilled(), [callback], tmp_path)
    assert [(g.name, g.is_head) for g in callback.controller.groups] == [
        ("net.first", False),
        ("net.second", False),
        ("net.head", True),
    ]


def test_children_that_are_trained_are_grouped_as_if_alone():
    alone = Nets(stem=nn.Linear(4, 4), body=nn.Sequential(Net(), Net()), top=nn.Linear(4, 2))
    beside = Nets(**dict(alone.named_children()), judge=Net(), mean=nn.Sequential(Net(), Net()))
    for part in (beside.judge, beside.mean):
        part.requires_grad_(False)
    wanted = l2o.group_layers(alone)
    options = grouping_of(beside, adamw(alone))
    assert l2o.group_layers(beside, **options) == wanted
    assert not any(p.requires_grad for p in beside.judge.parameters())
    beside.judge.requires_grad_(True)
    names = [group.name for group in l2o.group_layers(beside, **options)]
    assert names == ["stem", "body.0", "body.1", "judge.first", "judge.second", "judge.head", "top"]
    assert grouping_of(alone, adamw(alone)) == {}


def test_children_that_can_never_be_trained_do_no_harm():
    numbers = nn.Linear(2, 2)
    numbers.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    numbers.bias = None
    with torch.inference_mode():
        made = nn.Linear(2, 2).requires_grad_(False)
    beside = Nets(net=Net(), numbers=numbers, made=made)
    optimizer = adamw(beside.net)
    groups = l2o.group_layers(beside, **grouping_of(network_of(beside, optimizer), optimizer))
    assert [group.name for group in groups] == ["net.first", "net.second", "net.head"]


def test_a_head_that_the_user_names_is_the_head(tmp_path):
    callback = LRCallback(Constant(), head="second")
    fit(Module(), [callback], tmp_path)
    assert callback.controller.groups[-1].name == "second"


# Copies, exceptions, checkpoints ----------------------------------------------------------------
