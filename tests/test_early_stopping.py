"""Early stopping: when it stops, and that its state rides along."""

from __future__ import annotations

import pytest
import torch
from test_schedules import observe
from torch import Tensor

from l2o.deciding.early_stopping import EarlyStopping
from l2o.deciding.policy import Policy, State
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.signals.spec import SignalSpec


class Counting(Policy):
    """Remembers how often it was asked, and multiplies by one more than that."""

    signals = SignalSpec(("present", "loss"))
    interval = 7

    def initial_state(self, num_layers: int) -> State:
        return {"calls": torch.zeros(num_layers)}

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        assert observation.shape[-1] == 2
        calls = state["calls"] + 1
        return calls.clone(), {"calls": calls}


def run(policy: EarlyStopping, losses: list[float | None], layers: int = 2) -> list[float]:
    state = policy.initial_state(layers)
    out = []
    for loss in losses:
        row = [1.0, 0.0, loss or 0.0, float(loss is not None)]
        multipliers, state = policy(torch.tensor([row] * layers), state)
        assert all(isinstance(value, Tensor) for value in state.values())
        out.append(multipliers[0].item())
    return out


def test_early_stopping_waits_for_patience_then_stops_for_good() -> None:
    policy = EarlyStopping(Counting(), patience=2)
    assert policy.interval == 7
    assert policy.signals.names == ("present", "loss", "validation_loss", "has_validation_loss")
    assert run(policy, [0.5, 0.4, 0.45, 0.3, 0.35, 0.31, 0.1]) == [1, 2, 3, 4, 5, 0, 0]


def test_early_stopping_ignores_decisions_without_a_new_loss() -> None:
    policy = EarlyStopping(Counting(), patience=2)
    assert run(policy, [None, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6]) == [1, 2, 3, 4, 5, 6, 7]
    assert run(policy, [0.5, 2.0, 2.0]) == [1, 2, 0]


def test_early_stopping_budget() -> None:
    policy = EarlyStopping(SchedulePolicy("constant"), patience=None, budget=0.3)
    assert policy.signals.names == SchedulePolicy.signals.names
    state = policy.initial_state(4)
    for step in range(10):
        multipliers, state = policy(observe(step / 10), state)
        assert multipliers[0] == float(step < 3)
    with pytest.raises(ValueError, match="total_steps"):
        policy(observe(None), state)


def test_early_stopping_nests_and_its_state_rides_in_checkpoints(tmp_path: object) -> None:
    policy = EarlyStopping(EarlyStopping(Counting(), patience=1), patience=5)
    state = policy.initial_state(1)
    _, state = policy(torch.tensor([[1.0, 0.0, 0.5, 1.0]]), state)
    path = f"{tmp_path}/state.pt"
    torch.save(state, path)
    loaded = torch.load(path, weights_only=True)
    multipliers, _ = policy(torch.tensor([[1.0, 0.0, 0.6, 1.0]]), loaded)
    assert multipliers.tolist() == [0.0]


@pytest.mark.parametrize(
    "arguments", [{"patience": 0}, {"patience": None}, {"budget": 0.0}, {"budget": 1.5}]
)
def test_early_stopping_errors(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"patience|budget"):
        EarlyStopping(Counting(), **arguments)  # type: ignore[arg-type]
