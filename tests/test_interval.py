"""Decision windows that grow: the exact sequence, in controller, FineTune, stacks, policies."""

import doctest
import importlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stacked import LAYERS, advance, assert_equal, in_double, pair
from tiny import TinyFamily
from torch import nn

import l2o
from l2o.benchmarks.cells.cell import stops
from l2o.configs.errors import ConfigError
from l2o.configs.load import load_config
from l2o.configs.schema import FineTuning
from l2o.deciding.asg_policy import ASG_SIGNALS, ASGPolicy
from l2o.deciding.bundle import CARD, BundleError
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.stacked import StackedFineTuneEnv, Start
from l2o.intervals import INTERVALS, ASGRelease, Every, Growing, Interval, Windows
from l2o.intervals.plain import as_interval, as_plain
from l2o.intervals.unloaded import Unloaded
from l2o.networks.asg import ASGPolicyNetwork
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import Bins
from l2o.signals.spec import SignalSpec

RULE = {"first": 2, "growth": 0.5, "share": 0.1}
"""Over 20 steps: max(2, 2 + done // 2); the last window is cut short, and not measured."""
ENDS = [2, 5, 9, 15, 20]


def test_the_published_sequence():
    """max(10, steps // 20 + done // 20), by hand, for 300 steps and for ten times as many."""
    rule = Growing(10, growth=0.05, share=0.05)
    windows = np.diff([0, *Windows(rule, 300).ends(300)]).tolist()
    assert windows == [15, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 11]
    assert np.diff([0, *Windows(rule, 3000).ends(3000)]).tolist()[:4] == [150, 157, 165, 173]
    # Without the length, the part that is a share of it is not there.
    assert Windows(rule).ends(300)[:3] == [10, 20, 30]


def test_the_release_s_sequence():
    """Of VisDA's 30 epochs and of segmentation's 50: the numbers of a simulation of the release."""
    visda = per_epoch(ASGRelease(), epochs=30, steps=4763)
    assert visda[0] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 4763]
    assert visda[1] == [4763 + end for end in (238, 476 + 238, 3 * 476 + 238, 7 * 476 + 238, 4763)]
    counts = [len(ends) for ends in visda]
    assert counts == [10, 5, 4, 3, 3, 3, 3, *[2] * 13, *[1] * 10]
    assert sum(counts) - 1 == 66  # counted at their ends, the last left out
    segmentation = per_epoch(ASGRelease(first=20, epochs=50), epochs=50, steps=2000)
    assert sum(map(len, segmentation)) - 1 == 84


def per_epoch(interval, epochs, steps):
    """Return the ends of windows within each epoch."""
    ends = np.array(Windows(interval, epochs * steps).ends(epochs * steps))
    return [ends[(ends - 1) // steps == epoch].tolist() for epoch in range(epochs)]


@settings(max_examples=100, deadline=None)
@given(first=st.integers(1, 30), epochs=st.integers(1, 40), total=st.integers(1, 500))
def test_the_release_s_windows_are_those_of_a_plain_loop(first, epochs, total):
    ends, done = [], 0
    for epoch in range(epochs):
        before, end = (each * total // epochs for each in (epoch, epoch + 1))
        while done < end:
            done = min(done + max(first, (done - before) + before // 20), end)
            ends.append(done)
    assert Windows(ASGRelease(first, epochs), total).whole_ends(total) == ends
    # Where the length is not known, there is one epoch without end.
    ends = Windows(ASGRelease(first, epochs)).whole_ends(total)
    assert ends == [first << power for power in range(len(ends))]


def test_a_config_takes_the_release_s_windows_by_name(tmp_path):
    named = {"name": "asg_release", "options": {"first": 2, "epochs": 2}}
    changed = load_config("train", "asg-2020", [text_of(named), "finetuning.steps=20"])
    run = FineTune(TinyFamily().sample(0), changed.finetuning, policy=Seen())
    ends = []
    while not run.done:
        run.advance(run.window)
        ends.append(run.step)
    assert ends == [2, 4, 8, 10, 12, 14, 18, 20]
    assert as_plain(run.interval) == named
    signals = SignalSpec(("present", "progress"))
    policy = l2o.LearnedPolicy(LayerPolicyNetwork(2, 1), l2o.LogRange(), signals, run.interval)
    l2o.save_policy(tmp_path, policy, {})
    assert l2o.load_policy(tmp_path).decision_interval(20) == ASGRelease(2, 2)


@settings(max_examples=100, deadline=None)
@given(
    first=st.integers(1, 30),
    parts=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    total=st.one_of(st.none(), st.integers(1, 500)),
    data=st.data(),
)
def test_windows_are_those_of_a_plain_loop(first, parts, total, data):
    growth, share = (part / 100 for part in parts)
    rule = Growing(first, growth, share)
    ends, done = [], 0
    while done < 500:
        # In whole hundredths: no rounding.
        done += max(first, parts[1] * (total or 0) // 100 + parts[0] * done // 100)
        ends.append(done)
    windows = Windows(as_interval(as_plain(rule)), total)
    for step in data.draw(st.lists(st.integers(0, 499), min_size=1, max_size=20)):
        assert windows.end_after(step) == next(end for end in ends if end > step)
        assert windows.ends_at(step) == (step == 0 or step in ends)
    fixed, growing = Windows(Every(first)), Windows(Growing(first, growth=0.0))
    assert fixed.ends(100) == growing.ends(100)


def test_a_controller_decides_at_the_ends_of_windows_and_goes_on_after_a_checkpoint():
    def run(controller, optimizer, model, steps):
        for _ in range(steps):
            model(torch.ones(2, 4)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return [decision.step for decision in controller.history]

    def attach():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        policy = SchedulePolicy("cosine", interval=as_interval(RULE))
        return l2o.LRController(policy, optimizer, model, total_steps=20), optimizer, model

    whole = attach()
    assert run(*whole, 24) == [0, 2, 5, 9, 15, 24]
    assert whole[0].state_dict()["interval"] == RULE
    first, again = attach(), attach()
    assert run(*first, 7) == [0, 2, 5]
    again[2].load_state_dict(first[2].state_dict())
    again[1].load_state_dict(first[1].state_dict())
    assert run(*again, 17) == [9, 15, 24]
    assert all(torch.equal(a, b) for a, b in zip(again[2].parameters(), whole[2].parameters()))


@pytest.mark.parametrize("name", INTERVALS)
@settings(max_examples=50, deadline=None)
@given(data=st.data(), total=st.one_of(st.none(), st.integers(1, 500)))
def test_every_interval_keeps_the_contract(name, data, total):
    interval = INTERVALS[name]()
    ends = Windows(interval, total).ends(300)
    assert ends == sorted(set(ends))
    assert ends[-1] == 300
    again = as_interval(json.loads(json.dumps(as_plain(interval))))
    assert type(again) is type(interval)
    assert again == interval == as_interval({"name": name})
    asked = Windows(again, total)
    for step in data.draw(st.lists(st.integers(0, 299), max_size=20)):
        end = asked.end_after(step)
        assert min(end, 300) == next(found for found in ends if found > step)
        assert asked.ends_at(end)
    lengths = np.diff([0, *Windows(interval, total).whole_ends(300)]).tolist()
    assert not interval.constant or len(set(lengths)) == 1
    assert isinstance(interval.at_least(20), Interval)


def test_a_number_stays_a_number():
    every = as_interval(10)
    assert every == 10
    assert json.dumps(as_plain(every)) == "10" == json.dumps(every)
    assert [every.at_least(7), every.at_least(15)] == [10, 15]
    rule = as_interval(RULE)
    assert rule.at_least(100) is rule


class Doubling(Interval):
    """An interval of somebody's own."""

    def __init__(self, first=1):
        self.first = first

    def window(self, done, total_steps=None):
        return max(self.first, done)


OWN = {"name": f"{__name__}:Doubling", "options": {"first": 3}}


def test_an_interval_of_one_s_own_goes_from_config_to_card(tmp_path):
    finetuning = FineTuning.model_validate({"interval": OWN})
    run = FineTune(TinyFamily().sample(0), finetuning, policy=Seen())
    ends = []
    while not run.done:
        run.advance(run.window)
        ends.append(run.step)
    assert ends == [3, 6, 12, 20]
    assert as_plain(run.interval) == OWN
    signals = SignalSpec(("present", "progress"))
    policy = l2o.LearnedPolicy(LayerPolicyNetwork(2, 1), l2o.LogRange(), signals, run.interval)
    l2o.save_policy(tmp_path, policy, {})
    # Loading a policy imports nothing: an interval of one's own has to be given again.
    loaded = l2o.load_policy(tmp_path)
    assert isinstance(loaded.interval, Unloaded)
    assert as_plain(loaded.interval) == as_plain(run.interval)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"give it: LRController\(\.\.\., interval="):
        l2o.LRController(loaded, optimizer, model)
    controller = l2o.LRController(loaded, optimizer, model, interval=as_plain(loaded.interval))
    assert isinstance(controller.interval, Doubling)


def test_windows_of_no_steps_are_refused_by_name():
    class Standing(Interval):
        def window(self, done, total_steps=None):
            return 0

    with pytest.raises(ValueError, match=r"a window of .*Standing.* after 0 steps must be at"):
        Windows(Standing())


@settings(max_examples=200, deadline=None)
@given(steps=st.integers(1, 400), evaluations=st.integers(1, 40), interval=st.integers(1, 60))
def test_the_curve_is_measured_at_the_nearest_decisions(steps, evaluations, interval):
    """The plain arithmetic of windows that are all alike: to the nearest, halves up."""
    shares = [steps * i / evaluations / interval for i in range(1, evaluations + 1)]
    wanted = {min(steps, max(1, int(share + 0.5)) * interval) for share in shares} | {steps}
    assert stops(steps, evaluations, interval) == sorted(wanted)


def config(**fields):
    return FineTuning.model_validate({"interval": RULE, **fields})


class Seen(Policy):
    """Notes the progress at each decision, and whether a validation loss is known."""

    signals = SignalSpec(("present", "progress", "has_validation_loss", "update_norm"))

    def __init__(self):
        self.rows = []

    def __call__(self, observation, state):
        self.rows.append(observation[0].tolist())
        return torch.full((len(observation),), 0.5), state


def test_fine_tune_measures_at_the_ends_of_windows():
    policy = Seen()
    run = FineTune(TinyFamily().sample(0), config(), policy=policy, validate=True)
    assert [run.window, run.interval] == [2, Growing(**RULE)]
    while not run.done:
        run.advance(run.window)
    assert [round(row[1] * 20) for row in policy.rows] == [0, *ENDS[:-1]]
    assert [row[2] for row in policy.rows] == [0.0, *[1.0] * 4]
    assert all(row[3] < 0.0 for row in policy.rows[1:])


def test_an_episode_has_as_many_steps_as_windows():
    options = {"task": TinyFamily(), "finetuning": {"interval": RULE}}
    env, stack = FineTuneEnv(**options), StackedFineTuneEnv(**options, num_envs=2)
    env.reset(seed=0)
    stack.reset(seed=0)
    for end in ENDS:
        *_, ended, _, info = env.step(env.action_space.sample())
        *_, all_ended, _, infos = stack.step(stack.action_space.sample())
        assert info["step"] == end
        assert infos["step"].tolist() == [end, end]
        assert [ended, *all_ended] == [end == 20] * 3


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("substitute", [True, False])
def test_a_stack_equals_single_runs(validate, substitute):
    """Runs begin at different times, so that windows of different lengths go side by side."""
    torch.manual_seed(0)
    starts = [
        Start(in_double(TinyFamily(steps=steps).sample(steps)), steps, 0.03)
        for steps in (20, 17, 20, 31)
    ]
    runs, singles = pair(starts, config(), validate=validate, substitute=substitute)
    first = [True, True, False, False]
    for turn in range(9):
        only = np.array(first if turn < 2 else [True] * 4)
        advance(runs, singles, torch.rand(4, LAYERS), only)
        assert_equal(runs, singles, 1e-9)
    assert runs.done.all()


def test_the_curve_of_a_benchmark_is_measured_at_ends_of_windows():
    assert stops(20, 4, Growing(**RULE)) == [5, 9, 15, 20]
    assert stops(20, 40, Growing(**RULE)) == ENDS


def test_policies_keep_the_rule_in_their_cards(tmp_path):
    signals = SignalSpec(("present", "progress"))
    rule = as_interval(RULE)
    policy = l2o.LearnedPolicy(LayerPolicyNetwork(2, 1), l2o.LogRange(), signals, rule)
    l2o.save_policy(tmp_path, policy, {})
    assert l2o.read_card(tmp_path)["interval"] == RULE
    assert l2o.load_policy(tmp_path).decision_interval(20) == rule
    asg = ASGPolicy(ASGPolicyNetwork(3), Bins(), SignalSpec(ASG_SIGNALS), rule)
    assert asg.decision_interval(300) == rule
    card = l2o.read_card(tmp_path)
    (tmp_path / CARD).write_text(json.dumps({**card, "interval": {"last": 3}}))
    with pytest.raises(BundleError, match="first, growth and share"):
        l2o.load_policy(tmp_path)


def test_asg_2020_with_the_growing_window_is_an_override():
    rule = "finetuning.interval={first: 10, growth: 0.05, share: 0.05}"
    changed = load_config("train", "asg-2020", [rule])
    ends = Windows(as_interval(changed.finetuning.interval.model_dump()), 150).ends(150)
    assert np.diff([0, *ends]).tolist() == [10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 12, 12, 13, 11]
    assert load_config("train", "asg-2020").finetuning.interval == 10


@pytest.mark.parametrize(
    "module",
    [
        "l2o.intervals.asg_release",
        "l2o.intervals.base",
        "l2o.intervals.every",
        "l2o.intervals.growing",
        "l2o.intervals.plain",
        "l2o.intervals.unloaded",
        "l2o.intervals.windows",
        "l2o.registry",
        "l2o.guidance.rows",
        "l2o.benchmarks.cells.cell",
    ],
)
def test_docstrings_run(module):
    found = importlib.import_module(module)
    assert doctest.testmod(found, extraglobs={"torch": torch}).failed == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "interval must be at least 1"),
        (2.5, "whole number"),
        (True, "whole number"),
        ({"first": 0}, "interval.first must be at least 1"),
        ({"growth": -0.1}, "interval.growth"),
        ({"share": 1.5}, "interval.share"),
        ({"grows": 1}, "first, growth and share"),
        ({"name": "evry"}, "unknown interval 'evry'. Did you mean 'every'"),
        ({"name": "every", "options": {"step": 3}}, "no option 'step'. Did you mean 'steps'"),
        ({"name": "every", "options": {"steps": 0}}, "at least 1"),
        ({"name": "asg_release", "options": {"first": 0}}, "interval.first must be at least 1"),
        ({"name": "asg_release", "options": {"epochs": 1.5}}, "interval.epochs .* whole number"),
        ({"name": "json:dumps", "options": {"obj": 1}}, "must make a subclass"),
    ],
)
def test_bad_intervals_name_value_and_rule(given, message):
    with pytest.raises(ValueError, match=message):
        as_interval(given)
    with pytest.raises((ConfigError, ValueError)):
        InnerLoop.of(load_config("train", "demo", [text_of(given)]).finetuning)


def text_of(given):
    return f"finetuning.interval={json.dumps(given)}"


def test_configs_name_the_field_of_an_interval():
    for wrong, said in (
        ({"growht": 1}, "growht = 1: unknown field. Did you mean finetuning.interval.growth"),
        ({"first": 0}, "finetuning.interval.first = 0: must be greater than 0"),
        ({"name": "every", "option": {}}, "finetuning.interval.option = {}: unknown field"),
        ("often", "finetuning.interval = 'often': must be a valid integer"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_config("train", "demo", [text_of(wrong)])
