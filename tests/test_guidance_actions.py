"""Weights of guidance as actions: losses and controller."""

import copy
import math

import numpy as np
import pytest
import torch
from test_guidance import example

import l2o
from l2o.control.controller import LRController
from l2o.deciding.policy import Policy
from l2o.guidance import GUIDANCE, L2SP, GuidanceSum, ProxyKL, copy_parameters
from l2o.signals import DEFAULT_SIGNALS
from l2o.signals.spec import SignalSpec

NAMES = (*DEFAULT_SIGNALS, "is_guidance")


@pytest.mark.parametrize("name", GUIDANCE)
def test_a_scale_multiplies_the_weight(name):
    term, student, teacher = example(name)
    scaled = copy.deepcopy(term)
    for each in (term, scaled):
        each(student, teacher)  # a first key for the contrastive queue
    scaled.rescale(0.25)
    whole = term(student, teacher).item()
    assert scaled(student, teacher).item() == pytest.approx(0.25 * whole, rel=1e-6)
    assert (term.scale, scaled.scale, scaled.weight) == (1.0, 0.25, 0.5)


def test_a_scale_goes_with_schedules_and_comes_before_the_cap():
    term = ProxyKL({"schedule": "linear", "value": 0.4}, cap=0.5)
    term.rescale(3.0)
    assert term.weight_at(0.5) == pytest.approx(0.6)
    assert term.weigh(torch.tensor(0.5), 0.5).item() == pytest.approx(0.3)
    assert term.weigh(torch.tensor(1.0), 0.5).item() == 0.5
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale must be a number"):
            term.rescale(bad)
    assert term.scale == 3.0


class Scripted(Policy):
    """Gives rows of multipliers, one by one, for two layers and a guidance term."""

    signals = SignalSpec(("present", "is_guidance", "current_factor", "loss", "size", "depth"))
    interval = 2
    guidance_actions = ("l2_sp",)

    def __init__(self, *rows):
        self.rows = [torch.tensor(row) for row in rows]
        self.seen = []

    def initial_state(self, num_layers):
        return {"calls": torch.zeros((), dtype=torch.long), "of": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        self.seen.append(observation)
        calls = int(state["calls"])
        rows = self.rows[min(calls, len(self.rows) - 1)]
        return rows, {"calls": state["calls"] + 1, "of": state["of"]}


ROWS = ((0.5, 1.0, 2.0), (0.1, 1.0, 0.0), (1.0, 0.5, 0.5))
WEIGHT = 0.3


class Loop:
    """A user's loop, with L2-SP on all parameters: loss, step, and what the controller is told."""

    def __init__(self, policy=None, **options):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)).double()
        self.start = copy_parameters(dict(self.model.named_parameters()))
        self.guidance = GuidanceSum({"l2_sp": L2SP(WEIGHT), "other": L2SP(0.1)})
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.controller = policy and LRController(
            policy, self.optimizer, self.model, total_steps=6, guidance=self.guidance, **options
        )

    def loss(self, index):
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        return self.model(x).square().mean()

    def run(self, steps):
        held = {"parameters": dict(self.model.named_parameters())}
        for index in steps:
            loss = self.loss(index)
            if self.controller:
                self.controller.observe(loss=loss)
            (loss + self.guidance(held, {"parameters": self.start})).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return self


def test_a_controller_scales_the_weight_of_each_window_the_first_step_included():
    mine, plain = Loop(Scripted(*ROWS)).run(range(6)), Loop()
    layers = [list(layer.parameters()) for layer in plain.model]
    optimizer = torch.optim.SGD([{"params": p} for p in layers], lr=0.1, momentum=0.9)
    for index in range(6):
        *rates, scale = ROWS[index // 2]
        moved = sum(
            (p - plain.start[name]).square().sum() for name, p in plain.model.named_parameters()
        )
        loss = plain.loss(index) + (WEIGHT * scale + 0.1) / 2 * moved
        optimizer.zero_grad()
        loss.backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = 0.1 * torch.tensor(rate).item()
        optimizer.step()
    for one, other in zip(mine.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert mine.guidance.terms["other"].scale == 1.0


def test_its_row_shows_what_is_known_and_history_and_multipliers_have_it():
    policy = Scripted(*ROWS)
    loop = Loop(policy).run(range(2))
    first, second = policy.seen
    assert first[2].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    loss = second[0, 3].item()
    assert loss != 0.0
    assert second[2].tolist() == [1.0, 1.0, 2.0, pytest.approx(loss), 0.0, 0.0]
    assert second[:2, :3].tolist() == [[1.0, 0.0, 0.5], [1.0, 0.0, 1.0]]
    controller = loop.controller
    assert controller.rows == ["0", "1", "guidance/l2_sp"]
    assert controller.multipliers == pytest.approx({"0": 0.1, "1": 1.0, "guidance/l2_sp": 0.0})
    assert controller.get_last_lr() == pytest.approx({"0": 0.01, "1": 0.1})
    decision = controller.history[0]
    assert decision.multipliers == (0.5, 1.0, 2.0)
    assert decision.learning_rates == (0.05, 0.1)
    controller.detach()
    assert loop.guidance.terms["l2_sp"].scale == 1.0


def test_a_missing_row_is_a_flagged_zero_in_every_default_signal():
    policy = Scripted(*ROWS)
    policy.signals = SignalSpec(NAMES)
    Loop(policy).run(range(2))
    row = dict(zip(NAMES, policy.seen[1][2].tolist(), strict=True))
    known = {"present", "is_guidance", "multiplier", "loss", "has_loss", "progress"}
    known |= {"steps_left", "has_progress"}
    assert {name for name, value in row.items() if value != 0.0} == known
    assert row["multiplier"] == pytest.approx(math.log10(2) / 3)


def test_pictures_and_events_have_the_guidance_beside_the_layers(tmp_path):
    class Writer:
        def __init__(self):
            self.tags = set()

        def add_scalar(self, tag, value, step):
            self.tags.add(tag)

    controller = Loop(Scripted(*ROWS)).run(range(6)).controller
    figure = controller.plot(tmp_path / "rates.png")
    above, below = figure.axes
    assert above.get_ylabel() == "learning rate"
    assert below.get_ylabel() == "× guidance"
    (line,) = below.get_lines()
    drawn = line.get_ydata()
    assert drawn[[0, 2]].tolist() == [2.0, 0.5]
    assert np.isnan(drawn[1])
    tags = controller.log_to(Writer()).tags
    assert tags == {
        *("learning_rate/0", "learning_rate/1"),
        *("multiplier/0", "multiplier/1", "multiplier/guidance/l2_sp"),
    }


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_resumed_run_goes_on_bit_equal(done):
    whole = Loop(Scripted(*ROWS)).run(range(6))
    first, again = Loop(Scripted(*ROWS)).run(range(done)), Loop(Scripted((0.3, 0.3, 0.3)))
    assert again.guidance.terms["l2_sp"].scale == pytest.approx(0.3)
    again.controller.policy.rows = [torch.tensor(row) for row in ROWS]
    again.model.load_state_dict(first.model.state_dict())
    saved = copy.deepcopy(first.optimizer.state_dict())
    again.optimizer.load_state_dict(saved)
    assert again.guidance.terms["l2_sp"].scale == first.guidance.terms["l2_sp"].scale
    again.run(range(done, 6))
    for one, other in zip(again.model.parameters(), whole.model.parameters()):
        assert torch.equal(one, other)
    without = Loop()
    plain = LRController(None, without.optimizer, without.model, signals=Scripted.signals)
    with pytest.raises(ValueError, match="guidance/l2_sp"):
        plain.load_state_dict(saved["l2o"])


class Fails(Scripted):
    """Fails at the second decision."""

    def __call__(self, observation, state):
        if state["calls"] >= 1:
            raise RuntimeError("boom")
        return super().__call__(observation, state)


def test_when_the_policy_fails_the_last_multipliers_stay_or_terms_get_their_weights_back():
    kept = Loop(Fails(*ROWS)).run(range(4))
    assert kept.controller.multipliers == {"0": 0.5, "1": 1.0, "guidance/l2_sp": 2.0}
    guard = l2o.Guard(fallback=l2o.SchedulePolicy("constant", "layerwise_decay"))
    fallen = Loop(Fails(*ROWS), guard=guard).run(range(4))
    plain = Loop(l2o.SchedulePolicy("constant", "layerwise_decay"), guard=None).run(range(4))
    assert fallen.controller.multipliers == {
        **plain.controller.multipliers,
        "guidance/l2_sp": 1.0,
    }
    assert fallen.guidance.terms["l2_sp"].scale == 1.0


@pytest.mark.parametrize("policy", [Scripted, Fails])
def test_a_bad_window_lowers_learning_rates_and_leaves_guidance(policy):
    loop = Loop(policy((0.5, 1.0, 2.0)), guard=l2o.Guard(roll_back=True))
    for _ in range(2):
        loop.controller.observe(loss=math.nan)
        loop.run([0])
    assert loop.controller.multipliers == pytest.approx(
        {"0": 0.05, "1": 0.1, "guidance/l2_sp": 2.0}
    )
    assert loop.guidance.terms["l2_sp"].scale == 2.0
    assert loop.controller.report()["interventions"]["rolled back to the last good weights"] == 1


def test_terms_that_do_not_fit_the_policy_are_named_with_the_remedy():
    loop = Loop()
    attach = {"optimizer": loop.optimizer, "model": loop.model}
    with pytest.raises(ValueError, match=r"guidance l2_sp, but the run has no guidance; give"):
        LRController(Scripted(*ROWS), **attach)
    with pytest.raises(ValueError, match=r"l2_sp, but the run has proxy_kl"):
        LRController(Scripted(*ROWS), **attach, guidance={"proxy_kl": ProxyKL()})
    with pytest.raises(TypeError, match="must be terms"):
        LRController(None, **attach, guidance={"proxy_kl": 0.3})
    controller = LRController(None, **attach, guidance={"l2_sp": L2SP()})
    with pytest.raises(ValueError, match="3 layer groups need as many"):
        controller.set_multipliers(torch.ones(2))
    controller.detach()
    plain = LRController(l2o.SchedulePolicy("constant"), **attach, guidance={"l2_sp": L2SP()})
    assert list(plain.multipliers) == ["0", "1"]
