"""What a controller shows: history, pictures, TensorBoard, learning rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import l2o
from l2o.control.history import Decision, History
from l2o.control.plot import MAX_LINES, plot_history
from l2o.deciding.policy import Policy


class Ramp(Policy):
    """Multipliers that rise from input to head and fall with the decisions; the first is zero."""

    interval = 2

    def initial_state(self, num_layers):
        return {"taken": torch.zeros(())}

    def __call__(self, observation, state):
        taken = state["taken"] + 1
        return torch.linspace(0, 1, len(observation)) / taken, {"taken": taken}


def trained(layers, steps=6, prepare=None, **options):
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(layers)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    controller = l2o.LRController(Ramp(), optimizer, model, **options)
    if prepare is not None:
        prepare(controller)
    for _ in range(steps):
        model(torch.ones(2, 4)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return controller


def test_get_last_lr_and_history_hold_the_rates():
    controller = trained(3)
    assert controller.get_last_lr() == {"0": 0.0, "1": 0.5 * 0.125, "2": 0.5 * 0.25}
    assert [d.step for d in controller.history] == [0, 2, 4, 6]
    assert controller.history[1].learning_rates == (0.0, 0.125, 0.25)


def test_history_is_bounded():
    controller = trained(2, steps=40, history=5)
    assert [d.step for d in controller.history] == [32, 34, 36, 38, 40]
    with pytest.raises(ValueError, match="at least 1"):
        History(0)


@pytest.mark.parametrize("layers", [1, 4, MAX_LINES])
def test_few_groups_are_lines_at_their_rates(layers):
    controller = trained(layers)
    (axes,) = controller.plot().axes
    assert len(axes.lines) == layers
    for index, line in enumerate(axes.lines):
        wanted = [d.learning_rates[index] or math.nan for d in controller.history]
        np.testing.assert_allclose(line.get_ydata()[:-1], wanted)
        assert line.get_xdata().tolist() == [0, 2, 4, 6, 7]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [group.name for group in controller.groups][::-1]


@pytest.mark.parametrize("layers", [MAX_LINES + 1, 40, 100])
def test_many_groups_are_the_rows_of_a_map(layers):
    controller = trained(layers)
    axes, colorbar = controller.plot().axes
    (mesh,) = axes.collections
    wanted = np.array([d.learning_rates for d in controller.history]).T
    shown = mesh.get_array()
    np.testing.assert_array_equal(shown.mask, wanted == 0)
    np.testing.assert_allclose(shown.filled(0), wanted)
    assert "grey: 0" in colorbar.get_ylabel()
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == str(layers - 1)
    assert len(labels) <= 45


def test_plot_writes_a_picture(tmp_path):
    controller = trained(3)
    controller.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    controller.plot(str(tmp_path / "rates.svg"))
    assert "<svg" in (tmp_path / "rates.svg").read_text()


def test_plot_marks_what_the_guard_did_and_draws_extremes():
    bad = Decision(4, (0.0, 0.0), (0.0, 0.0), "the loss is not finite")
    rows = [Decision(0, (1.0, 1.0), (0.1, 0.1)), Decision(2, (1.0,) * 3, (0.1,) * 3), bad]
    (axes,) = plot_history(rows, ["a", "b"], 4).axes
    assert axes.get_title(loc="left").endswith("stepped in: 1 of 2 decisions")
    assert axes.lines[-1].get_xdata() == [4]
    frozen = Decision(0, (0.0,) * 20, (0.0,) * 20)
    plot_history([frozen], [str(i) for i in range(20)], 1).canvas.draw()
    plot_history([Decision(0, (0.0,), (0.0,))], ["a"], 1).canvas.draw()


def test_plot_of_nothing_says_so():
    with pytest.raises(ValueError, match="train a step first"):
        trained(2, steps=0).plot()


def scalars(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {t: [(e.step, e.value) for e in events.Scalars(t)] for t in events.Tags()["scalars"]}


def test_tensorboard_in_one_line(tmp_path):
    controller = trained(3, prepare=lambda controller: controller.log_to(tmp_path / "runs"))
    controller.history.listeners[0].writer.flush()
    found = scalars(tmp_path / "runs")
    assert set(found) == {f"{kind}/{i}" for kind in ("learning_rate", "multiplier") for i in "012"}
    assert found["learning_rate/2"] == [
        (d.step, pytest.approx(d.learning_rates[2])) for d in controller.history
    ]
    assert found["multiplier/1"] == [
        (d.step, pytest.approx(d.multipliers[1])) for d in controller.history
    ]


def test_the_loop_s_own_writer_gets_past_decisions_too(tmp_path):
    controller = trained(2)
    with SummaryWriter(str(tmp_path)) as writer:
        assert controller.log_to(writer) is writer
    assert [step for step, _ in scalars(tmp_path)["multiplier/1"]] == [0, 2, 4, 6]


def test_a_writer_that_fails_does_not_stop_the_training():
    class Full:
        def add_scalar(self, *_):
            raise OSError("disk full")

    controller = trained(2, prepare=lambda controller: controller.log_to(Full()))
    assert controller.report()["interventions"] == {
        "the decision was not recorded: OSError: disk full": 4
    }
    assert controller.get_last_lr() == trained(2).get_last_lr()
    with pytest.raises(TypeError, match="a folder or a writer"):
        controller.log_to(3)
