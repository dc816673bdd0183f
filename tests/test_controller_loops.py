"""What gets between a controller and its steps: compilers, captured graphs, wrappers, faults."""

import copy
import pickle

import pytest
import torch
from optimizer_cases import CASES, Case, network
from optimizer_checkpoints import save_and_load
from optimizer_loops import (
    FACTORS,
    STEPS,
    Fixed,
    Run,
    Turns,
    assert_same,
    control,
    controlled,
    layers_of,
    plain,
    reference,
    trained,
)
from torch import nn
from torch._dynamo.testing import CompileCounter

import l2o

SGD = CASES["SGD"]


# Compilers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_compiled_step_with_a_tensor_rate_is_compiled_once(name):
    case = CASES[name]
    rate = torch.tensor(case.lr, dtype=torch.float64)
    ours, controller = controlled(case, Turns(), lr=rate.clone(), foreach=False)
    theirs, _ = controlled(case, Turns(), lr=rate.clone(), foreach=False)
    torch._dynamo.reset()
    counter = CompileCounter()
    ours.step = torch.compile(ours.optimizer.step, backend=counter)
    seen = []
    for index in range(2 * STEPS):
        ours.one(index)
        theirs.one(index)
        seen.append(counter.frame_count)
    # Compiled in one piece; again once there is state, then never, whatever is decided.
    assert seen[0] == 1
    assert seen[1] == seen[-1] <= 2
    assert len({decision.multipliers for decision in controller.history}) == STEPS + 1
    # Compiled, torch's Adam corrects its biases in single precision.
    assert_same(ours, theirs, narrow=True)


def test_compiled_model_is_looked_through():
    torch._dynamo.reset()
    ours, theirs = network(SGD), reference(SGD)
    compiled = torch.compile(ours, backend="eager")
    optimizer = SGD.make(trained(ours))
    controller = control(Fixed(*FACTORS), optimizer, compiled)
    run = Run(compiled, optimizer)
    run.plain()
    theirs.plain()
    assert list(controller.multipliers) == ["0", "1", "2"]
    assert_same(Run(ours, optimizer), theirs)


# Steps that call no hooks ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_a_loop_may_call_the_controller_itself(mode):
    model = network(SGD)
    optimizer = SGD.make(trained(model))
    controller = control(Fixed(*FACTORS), optimizer, model, mode=mode, hooks=False)
    ours, theirs = Run(model, optimizer), reference(SGD)

    def step():
        controller.before_step()
        optimizer.step()
        controller.step()

    ours.step = step
    ours.plain()
    theirs.plain()
    assert controller.steps == STEPS
    assert [decision.step for decision in controller.history] == [0, 2, 4, 6]
    assert_same(ours, theirs)


class Recorded:
    """A stand-in for a captured graph: it keeps the tensors it was captured with, as a graph does,
    and on replay computes a step of SGD from what they then hold."""

    def __init__(self, optimizer):
        self.held = [
            (parameter, group["lr"])
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]

    @torch.no_grad()
    def replay(self):
        for parameter, rate in self.held:
            if parameter.grad is not None:
                parameter -= rate * parameter.grad


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
def test_rates_are_written_where_a_captured_step_reads_them():
    case = Case("plain SGD", torch.optim.SGD, 0.1)
    rate = torch.tensor(0.1, dtype=torch.float64)
    ours = network(case)
    optimizer = case.make(trained(ours), rate, foreach=False)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    controller = control(Turns(), optimizer, ours, hooks=False)
    theirs, expected = controlled(case, Turns(), lr=rate.clone(), foreach=False)
    follows = torch.optim.lr_scheduler.ExponentialLR(theirs.optimizer, 0.5)
    with controller.applied():
        graph = Recorded(optimizer)
    assert len(graph.held) == len(trained(ours))

    def step():
        controller.before_step()
        graph.replay()
        controller.step()

    run = Run(ours, optimizer, observe=controller.observe)
    run.step = step
    for index in range(2 * STEPS):
        run.one(index)
        theirs.one(index)
        if index % 3 == 0:
            follows.step()
            scheduler.step()
    assert controller.multipliers == expected.multipliers
    assert_same(run, theirs)


# Wrappers and subclasses -----------------------------------------------------------------------


class Clipped(torch.optim.SGD):
    """Calls the step of its base class: torch runs the hooks of both."""

    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, 0.1)
        result = super().step(closure)
        for group in self.param_groups:  # decay, by the rate that the step went by
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.mul_(1 - 0.1 * group["lr"])
        return result


def test_a_step_within_a_step_is_one_step():
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # hooks of the base class are in place
    case = Case("clipped SGD", Clipped, 0.1, {"momentum": 0.9})
    ours, controller = controlled(case, mode="groups")
    theirs = reference(case)
    ours.plain()
    theirs.plain()
    assert controller.steps == STEPS
    assert controller.mode.name == "groups"
    assert_same(ours, theirs)


def test_a_step_of_its_own_keeps_the_user_s_groups():
    case = Case("clipped SGD", Clipped, 0.1, {"momentum": 0.9})
    _, controller = controlled(case)
    assert controller.mode.name == "update_scale"
    assert controller.mode_reason == "Clipped has a step of its own, not that of SGD"


def test_accelerate_s_optimizer_is_looked_through():
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network(SGD)
    prepared, optimizer = accelerator.prepare(model, SGD.make(trained(model)))
    controller = control(Fixed(*FACTORS), optimizer, prepared)
    assert controller.optimizer is optimizer.optimizer
    theirs = reference(SGD)
    ours = Run(prepared, optimizer)
    for index in range(2 * STEPS):
        with accelerator.accumulate(prepared):
            loss = ours.loss(index)
            controller.observe(loss=loss)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        (theirs.loss(index) / 2).backward()
        if index % 2:
            theirs.step()
            theirs.optimizer.zero_grad()
    assert controller.steps == STEPS
    assert_same(Run(model, optimizer.optimizer), theirs)
    state = optimizer.state_dict()
    controller.detach()
    again = control(Fixed(*FACTORS), optimizer, prepared)
    optimizer.load_state_dict(state)
    assert again.steps == STEPS


def test_several_optimizers_on_one_model():
    def begin(rates):
        model = network(SGD)
        first, second, third = layers_of(model)
        one = torch.optim.SGD(rates(first, FACTORS[0]) + rates(second, FACTORS[1]), lr=0.1)
        return model, one, torch.optim.AdamW(rates(third, 0.5, 0.01), lr=0.01)

    model, one, two = begin(lambda layer, *_: layer)
    controllers = [
        control(Fixed(*FACTORS[:2]), one, model),
        control(Fixed(0.5), two, model),
    ]
    assert [list(c.multipliers) for c in controllers] == [["0", "1"], ["2"]]
    twin, *pair = begin(lambda layer, factor, rate=0.1: [{"params": layer, "lr": rate * factor}])
    for run, optimizers in ((Run(model, one), (one, two)), (Run(twin, pair[0]), pair)):
        for index in range(STEPS):
            run.loss(index).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    assert_same(Run(model, one), Run(twin, pair[0]))


# Faults ----------------------------------------------------------------------------------------


class Fails(torch.optim.SGD):
    """Raises within the step, after the first param group, when told to."""

    fail = False

    def step(self, closure=None):
        if self.fail:
            self.fail = False
            raise MemoryError("no memory")
        return super().step(closure)


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_a_step_that_raised_leaves_no_trace(mode):
    case = Case("failing SGD", Fails, 0.1, {"momentum": 0.9})
    ours, controller = controlled(case, mode=mode)
    theirs = reference(case)
    for index in range(STEPS):
        if index in (1, 3):
            ours.optimizer.fail = True
            with pytest.raises(MemoryError):
                ours.step()
        if index == 3:
            # A checkpoint in between is the user's own.
            state = ours.optimizer.state_dict()
            assert [group["lr"] for group in state["param_groups"]] == [0.1]
        ours.one(index)
        theirs.one(index)
    assert controller.steps == STEPS
    assert_same(ours, theirs)


# Copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copied_optimizer_is_a_plain_one_until_a_controller_is_attached(through):
    ours, controller = controlled(SGD, Turns())
    ours.plain(0, 3)
    model, optimizer = through((ours.model, ours.optimizer))
    assert len(optimizer.param_groups) == 1
    assert "l2o" not in optimizer.state_dict()
    again = control(Turns(), optimizer, model)
    again.load_state_dict(save_and_load(controller.state_dict()))
    twin = Run(model, optimizer, observe=again.observe)
    ours.plain(3)
    twin.plain(3)
    assert_same(twin, ours, exact=True)
    with pytest.raises(TypeError, match="save its state_dict"):
        through(controller)


# What is refused -------------------------------------------------------------------------------


class NoHooks(torch.optim.Optimizer):
    def __init__(self, params):
        self.param_groups = [{"params": list(params), "lr": 0.1}]
        self.state = {}


def test_what_cannot_be_controlled_is_refused_with_the_remedy():
    model = network(SGD)
    policy = Fixed(*FACTORS)

    class Wrapper:
        base = SGD.make(trained(model))

    with pytest.raises(TypeError, match=r"Wrapper, is no torch optimizer; pass its \.base"):
        control(policy, Wrapper(), model)
    with pytest.raises(TypeError, match=r"type float, is no torch optimizer; pass the torch"):
        control(policy, 0.1, model)
    with pytest.raises(TypeError, match="NoHooks has no step hooks"):
        control(policy, NoHooks(trained(model)), model)
    stranger = SGD.make(trained(network(SGD)))
    with pytest.raises(ValueError, match="holds none of the model's trainable parameters"):
        control(policy, stranger, model)
    optimizer = SGD.make(trained(model))
    controller = control(policy, optimizer, model)
    with pytest.raises(ValueError, match=r"call its detach\(\) first"):
        control(policy, optimizer, model)
    controller.detach()
    control(policy, optimizer, model)


class OwnRate(torch.optim.SGD):
    """Chooses its learning rate by itself: its groups have none."""

    def __init__(self, params):
        super().__init__(params, lr=0.1)
        for group in self.param_groups:
            group["lr"] = None

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = 0.1
        result = super().step(closure)
        for group in self.param_groups:
            group["lr"] = None
        return result


def test_an_optimizer_without_a_rate_is_scaled():
    model = network(SGD)
    optimizer = OwnRate(trained(model))
    controller = control(Fixed(*FACTORS), optimizer, model, signals=l2o.SignalSpec())
    assert controller.report()["mode"] == "update_scale"
    assert "without a learning rate" in controller.report()["mode_reason"]
    ours = Run(model, optimizer)
    theirs = reference(Case("SGD", torch.optim.SGD, 0.1))
    ours.plain()
    theirs.plain()
    assert_same(ours, theirs)
    assert controller.observation.isfinite().all()
    controller.detach()
    with pytest.raises(ValueError, match="use mode='update_scale'"):
        control(Fixed(*FACTORS), optimizer, model, mode="groups")


# Reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("AdamW", "groups", "AdamW follows one learning rate per param group"),
        ("LBFGS", "update_scale", "LBFGS takes a single param group"),
        ("Rprop", "update_scale", "Rprop reads the learning rate at its first step only"),
        ("Adafactor", "update_scale", "Adafactor bounds the learning rate"),
        ("8-bit SGD, in bitsandbytes' manner", "update_scale", "EightBitSGD is not known to"),
        ("Prodigy", "update_scale", "Prodigy refuses different learning rates"),
        ("schedule-free AdamW", "groups", "AdamWScheduleFree follows one learning rate"),
    ],
)
def test_the_report_says_which_mode_and_why(name, mode, reason):
    pytest.importorskip(CASES[name].package)
    _, controller = controlled(CASES[name])
    report = controller.report()
    assert (report["mode"], report["processes"]) == (mode, 1)
    assert report["mode_reason"].startswith(reason)
    assert report["steps"] == report["decisions"] == 0


def test_plain_runs_are_what_they_claim():
    """The references themselves: multipliers change what is learned."""
    one, other = plain(SGD), reference(SGD)
    one.plain()
    other.plain()
    with pytest.raises(AssertionError):
        assert_same(one, other)
