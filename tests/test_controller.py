"""The controller: exact learning rates, both modes, checkpoints, guard."""

import copy

import pytest
import torch
from torch import nn

import l2o
from l2o.deciding.early_stopping import EarlyStopping
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.signals.spec import SignalSpec


class Fixed(Policy):
    """Constant multipliers, input to head."""

    interval = 2

    def __init__(self, *multipliers: float) -> None:
        self.values = torch.tensor(multipliers)
        self.calls = 0

    def __call__(self, observation, state):
        self.calls += 1
        return self.values, state


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def step(model, optimizer, index, controller=None):
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(16, 4, generator=generator).to(next(model.parameters()).dtype)
    y = torch.randint(0, 3, (16,), generator=generator)
    loss = nn.functional.cross_entropy(model(x), y)
    if controller is not None:
        controller.observe(loss=loss)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


OPTIMIZERS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01),
    "adam_tensor_lr": lambda groups: torch.optim.Adam(groups, lr=torch.tensor(0.01), foreach=False),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_constant_multipliers_equal_per_group_rates(make, mode):
    factors = [0.0, 0.25, 1.0]
    ours, theirs = network().double(), network().double()
    optimizer = make(ours.parameters())
    l2o.LRController(Fixed(*factors), optimizer, ours, mode=mode)
    rate = optimizer.param_groups[0]["lr"]
    reference = make(
        [
            {"params": list(layer.parameters()), "lr": rate * factor}
            for layer, factor in zip([theirs[0], theirs[2], theirs[4]], factors)
        ]
    )
    for index in range(7):
        for model, opt in ((ours, optimizer), (theirs, reference)):
            step(model, opt, index)
    for mine, wanted in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(mine, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_multiplier_one_is_bit_equal_to_no_controller(make, mode):
    ours, theirs = network(), network()
    optimizer, reference = make(ours.parameters()), make(theirs.parameters())
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, ours, mode=mode)
    for index in range(6):
        step(ours, optimizer, index, controller)
        step(theirs, reference, index)
    for mine, wanted in zip(ours.parameters(), theirs.parameters()):
        assert torch.equal(mine, wanted)


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=12),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    ],
    ids=["cosine", "exponential", "one_cycle", "lambda"],
)
def test_lr_schedulers_compose_and_stay_exact(scheduler):
    ours, theirs = network(), network()
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1)
    controller = l2o.LRController(Fixed(0.1, 0.5, 1.0), optimizer, ours)
    mine, wanted = scheduler(optimizer), scheduler(reference)
    for index in range(8):
        step(ours, optimizer, index)
        step(theirs, reference, index)
        mine.step()
        wanted.step()
        assert mine.get_last_lr()[0] == wanted.get_last_lr()[0]
        rates = controller.get_last_lr()
        assert rates["0"] == pytest.approx(0.1 * wanted.get_last_lr()[0], rel=1e-6)


class OneRateOnly(torch.optim.Optimizer):
    """Takes one param group and one learning rate, as LBFGS does."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        (group,) = self.param_groups
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter -= group["lr"] * parameter.grad


def test_an_optimizer_that_refuses_group_rates_is_scaled_instead():
    model, reference = network(), network()
    optimizer = OneRateOnly(model.parameters())
    controller = l2o.LRController(Fixed(0.1, 0.5, 0.0), optimizer, model)
    assert controller.report()["mode"] == "update_scale"
    assert "not known to follow" in controller.report()["mode_reason"]
    layers = [reference[0], reference[2], reference[4]]
    rates = zip(layers, (0.01, 0.05, 0.0))
    plain = torch.optim.SGD([{"params": p.parameters(), "lr": lr} for p, lr in rates])
    for index in range(5):
        step(model, optimizer, index, controller)
        step(reference, plain, index)
    for mine, wanted in zip(model.parameters(), reference.parameters()):
        torch.testing.assert_close(mine, wanted)


def test_policy_is_called_every_interval():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    policy = Fixed(1.0, 1.0, 1.0)
    controller = l2o.LRController(policy, optimizer, model, interval=3)
    for index in range(7):
        step(model, optimizer, index)
    assert policy.calls == 3
    assert [decision.step for decision in controller.history] == [0, 3, 6]


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_resume_is_bit_equal(mode, tmp_path):
    spec = SignalSpec()
    torch.manual_seed(1)
    policy = l2o.LearnedPolicy(
        l2o.LayerPolicyNetwork(len(spec), 1, hidden=8, recurrent=True), l2o.LogRange(), spec, 2
    )
    with torch.no_grad():
        policy.network.head[-1].weight.mul_(100)

    def begin():
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        controller = l2o.LRController(policy, optimizer, model, total_steps=12, mode=mode)
        return model, optimizer, controller

    whole = begin()
    for index in range(12):
        step(whole[0], whole[1], index, whole[2])

    first = begin()
    for index in range(5):
        step(first[0], first[1], index, first[2])
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": first[0].state_dict(), "optimizer": first[1].state_dict()}, path)

    second = begin()
    saved = torch.load(path, weights_only=True)
    second[0].load_state_dict(saved["model"])
    second[1].load_state_dict(saved["optimizer"])
    for index in range(5, 12):
        step(second[0], second[1], index, second[2])
    assert second[2].multipliers == whole[2].multipliers
    assert len(set(whole[2].multipliers.values())) > 1
    for mine, wanted in zip(second[0].parameters(), whole[0].parameters()):
        assert torch.equal(mine, wanted)


def test_checkpoints_go_to_and_from_plain_optimizers():
    model = network()
    optimizer = torch.optim.SGD(l2o.param_groups(l2o.group_layers(model), 0.1), momentum=0.9)
    plain = copy.deepcopy(optimizer)
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, model)
    step(model, optimizer, 0)
    plain.load_state_dict(optimizer.state_dict())
    optimizer.load_state_dict(plain.state_dict())
    assert controller.steps == 1


def test_loading_another_layout_is_an_error():
    model, other = network(), nn.Sequential(nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, model)
    stranger = l2o.LRController(Fixed(1.0), torch.optim.SGD(other.parameters(), lr=0.1), other)
    with pytest.raises(ValueError, match="attach the same policy to the same model"):
        stranger.load_state_dict(controller.state_dict())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_loss_lowers_multipliers_and_is_counted_once(bad, caplog):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, model)
    for index in range(4):
        controller.observe(loss=bad)
        step(model, optimizer, index)
    assert max(controller.multipliers.values()) == pytest.approx(0.01)
    assert controller.report()["interventions"] == {"the loss is not finite": 2}
    assert sum("the loss is not finite" in message for message in caplog.messages) == 1


def test_exploding_loss_is_noticed():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, model)
    for index, loss in enumerate([1.0, 1.0, 100.0, 100.0, 1.0, 1.0]):
        controller.observe(loss=loss)
        step(model, optimizer, index)
    assert any(d.trouble and "exceeds 10 times" in d.trouble for d in controller.history)
    assert max(controller.multipliers.values()) == pytest.approx(0.1 * 10**0.2, rel=1e-5)


def test_roll_back_restores_the_last_good_weights():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    guard = l2o.Guard(roll_back=True)
    controller = l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, model, guard=guard)
    for index in range(2):
        step(model, optimizer, index, controller)
    good = copy.deepcopy(model.state_dict())
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    for _ in range(2):
        controller.observe(loss=float("nan"))
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, float("nan"))
        optimizer.step()
    assert all(torch.equal(good[name], value) for name, value in model.state_dict().items())
    assert controller.report()["interventions"]["rolled back to the last good weights"] == 1
    optimizer.zero_grad()
    step(model, optimizer, 9, controller)
    assert all(torch.isfinite(p).all() for p in model.parameters())


class Broken(Fixed):
    """Fails in a chosen way from the second call on."""

    def __init__(self, how):
        super().__init__(0.5, 0.5, 0.5)
        self.how = how

    def __call__(self, observation, state):
        super().__call__(observation, state)
        if self.calls == 1:
            return self.values, state
        if self.how == "raises":
            raise RuntimeError("boom")
        return self.how, state


@pytest.mark.parametrize(
    "how",
    ["raises", torch.full((3,), float("nan")), torch.tensor([-1.0, 1.0, 1.0]), torch.ones(2), None],
    ids=["raises", "nan", "negative", "shape", "none"],
)
def test_a_failing_policy_leaves_the_last_good_multipliers(how):
    model, reference = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain = torch.optim.SGD(reference.parameters(), lr=0.05)
    controller = l2o.LRController(Broken(how), optimizer, model)
    for index in range(6):
        step(model, optimizer, index, controller)
        step(reference, plain, index)
    for mine, wanted in zip(model.parameters(), reference.parameters()):
        torch.testing.assert_close(mine, wanted)
    assert sum(controller.report()["interventions"].values()) == 3


def test_without_a_guard_the_policy_s_exception_comes_through():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    l2o.LRController(Broken("raises"), optimizer, model, guard=None)
    step(model, optimizer, 0)
    with pytest.raises(RuntimeError, match="boom"):
        step(model, optimizer, 1)


def test_a_raising_step_is_undone_at_the_next():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    l2o.LRController(Fixed(0.5, 0.5, 0.5), optimizer, model)

    def closure():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        optimizer.step(closure)
    step(model, optimizer, 0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1]


def test_detach_leaves_a_plain_optimizer():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(Fixed(0.0, 0.0, 0.0), optimizer, model)
    step(model, optimizer, 0)
    controller.detach()
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer, 1)
    assert not torch.equal(before["0.weight"], model.state_dict()["0.weight"])
    assert "l2o" not in optimizer.state_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either the model or its layer groups"),
        ({"model": nn.Linear(2, 2)}, "holds none of the model's trainable parameters"),
        ({"interval": -1}, "interval must be at least 1"),
        ({"total_steps": 0}, "total_steps must be at least 1"),
        ({"mode": "group"}, "Did you mean 'groups'"),
    ],
)
def test_bad_arguments_name_the_remedy(arguments, message):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if arguments and "model" not in arguments:
        arguments = {**arguments, "model": model}
    with pytest.raises(ValueError, match=message):
        l2o.LRController(Fixed(1.0, 1.0, 1.0), optimizer, **arguments)


def test_frozen_parameters_are_left_alone():
    model = network()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = model[0].weight.clone()
    controller = l2o.LRController(Fixed(1.0, 1.0), optimizer, model)
    step(model, optimizer, 0, controller)
    assert list(controller.multipliers) == ["2", "4"]
    assert torch.equal(before, model[0].weight)


def test_schedule_needs_the_length_only_if_it_changes():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    l2o.LRController(SchedulePolicy("constant"), optimizer, model)
    step(model, optimizer, 0)


@pytest.mark.parametrize(
    "policy",
    [
        SchedulePolicy("cosine"),
        SchedulePolicy("constant", "gradual_unfreezing"),
        EarlyStopping(SchedulePolicy("cosine")),
        EarlyStopping(SchedulePolicy("constant"), budget=0.5),
    ],
    ids=repr,
)
def test_a_policy_that_cannot_drive_the_run_is_refused_before_it(policy):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="pass total_steps"):
        l2o.LRController(policy, optimizer, model)
