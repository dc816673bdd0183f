"""Samples in checkpoints: they go on, are taken over, or begin anew."""

import copy

import pytest
import torch
from sampled_models import TIGHT, convolutions, measure, meter_of, moved
from torch import nn

from l2o.measuring.sampling import Budget
from l2o.signals.table import ROW


def test_a_checkpoint_holds_samples_and_goes_on_from_them():
    model = convolutions()
    meter = meter_of(model, TIGHT)
    moved(model)
    state = copy.deepcopy(meter.state_dict())
    assert sum(len(e["sample"]) if isinstance(e, dict) else e.numel() for e in state["start"]) < (
        0.1 * sum(p.numel() for p in model.parameters())
    )
    again = meter_of(model, TIGHT)
    again.load_state_dict(state)
    found, wanted = (measure(each).nan_to_num(7.0) for each in (again, meter))
    assert torch.equal(found, wanted)


def test_a_whole_start_of_an_older_checkpoint_loads():
    model = convolutions()
    exact = meter_of(model)
    start = exact.state_dict()
    assert all(isinstance(entry, torch.Tensor) for entry in start["start"])
    sampled = meter_of(model, TIGHT)
    moved(model)
    fresh = meter_of(model, TIGHT)
    fresh.load_state_dict(start)
    assert torch.equal(measure(fresh)[ROW["drift_norm"]], measure(sampled)[ROW["drift_norm"]])
    torch.testing.assert_close(
        measure(fresh)[ROW["weight_norm"]], measure(exact)[ROW["weight_norm"]], rtol=0.02, atol=0
    )


@pytest.mark.parametrize("budget", [None, Budget(whole=0, share=0.3, least=0, floor=64)])
def test_samples_of_another_size_are_taken_over(budget):
    """Layers that thaw make another budget; where a layer began is what it was."""
    model = convolutions()
    meter = meter_of(model, TIGHT)
    moved(model)
    other = meter_of(model, budget)
    other.load_state_dict(meter.state_dict())
    for name in ("drift_norm", "weight_norm", "start_norm"):
        assert torch.equal(measure(other)[ROW[name]], measure(meter)[ROW[name]])


@pytest.mark.parametrize("budget", [None, TIGHT])
def test_a_state_of_other_shapes_is_refused_or_begins_anew(budget):
    model, grown = convolutions(), convolutions()
    grown[3] = nn.Linear(64 * 36, 301)
    state = meter_of(model, budget).state_dict()
    moved(grown)
    meter = meter_of(grown, budget)
    with pytest.raises(ValueError, match="watched other parameters"):
        meter.load_state_dict(state)
    meter.load_state_dict(state, strict=False)
    drift = measure(meter)[ROW["drift_norm"]]
    assert drift[1] == 0.0
    assert drift[0] > 0.0
    assert drift[2] > 0.0
