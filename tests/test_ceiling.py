"""The ceiling: how far multipliers may go beyond 1, by what a step does to the loss."""

import doctest
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import l2o.guarding.ceiling
from l2o.guarding.ceiling import GROWTH, MEMORY, SHARE, Ceiling, _water_level
from l2o.signals.table import ROWS, MeasuredTable

MISSING = math.nan


def measured(descents, used=None, loss=1.0, guidance=None):
    """Return a window of which the ceiling's own fields are known.

    Args:
        descents: ⟨g, −Δθ⟩ by layer.
        used: the multipliers it was measured with; None: ones.
        loss: its mean loss.
        guidance: 1 for the rows of guidance terms; None: there are none.
    """
    rows = torch.full((len(ROWS), len(descents)), MISSING)
    made = MeasuredTable(rows)
    made.gradient_dot_update = torch.tensor(descents)
    made.multiplier = torch.tensor(used or [1.0] * len(descents))
    made.is_guidance = torch.tensor(guidance or [0.0] * len(descents))
    made.loss = torch.tensor(loss)
    return made


def limit(chosen, *args, **options):
    return Ceiling().limit(torch.tensor(chosen), measured(*args, **options)).tolist()


def close(values):
    return pytest.approx(values, rel=1e-5)


def plainly(chosen, window, before):
    """Return what the ceiling says, layer by layer, and the descents that it remembers."""
    descents, bounded = [], []
    for i, asked in enumerate(chosen):
        used, fall = float(window.multiplier[i]), float(window.gradient_dot_update[i])
        known = math.isfinite(fall) and used > 0
        now = max(fall, 0.0) / used if known else 0.0
        descents.append(max(now, MEMORY * before[i]) if before else now)
        bounded.append(min(asked, max(GROWTH * used, 1.0) if known else 1.0))
    guides = [bool(row) for row in window.is_guidance]
    expected = [0.0 if g else m * d for m, d, g in zip(bounded, descents, guides, strict=True)]
    level = _water_level(expected, SHARE * float(window.loss))
    cut = [
        max(m * min(level / max(e, 1e-30), 1.0), min(m, 1.0))
        for m, e in zip(bounded, expected, strict=True)
    ]
    kept = [asked if g else m for asked, m, g in zip(chosen, cut, guides, strict=True)]
    return kept, descents


@given(seed=st.integers(0, 2**31), layers=st.integers(1, 20), most=st.sampled_from([1.0, 50.0]))
def test_all_layers_at_once_are_as_one_by_one(seed, layers, most):
    draw = random.Random(seed)
    ceiling, before = Ceiling(), None
    for _ in range(3):
        falls = [draw.choice([MISSING, 0.0, -1.0, draw.uniform(0, 0.2)]) for _ in range(layers)]
        used = [draw.choice([0.0, draw.uniform(0.01, 5.0)]) for _ in range(layers)]
        guidance = [float(draw.random() < 0.2) for _ in range(layers)]
        window = measured(falls, used, draw.uniform(0.1, 3.0), guidance)
        chosen = [draw.uniform(0.0, most) for _ in range(layers)]
        expected, before = plainly(chosen, window, before)
        assert ceiling.limit(torch.tensor(chosen), window).tolist() == close(expected)
        assert ceiling.state_dict()["descent"].tolist() == close(before)


def test_the_docstrings_run():
    assert doctest.testmod(l2o.guarding.ceiling, extraglobs={"torch": torch}).failed == 0


def test_what_the_loss_can_give_passes():
    # 4 · 0.05 + 2 · 0.02 = 0.24 ≤ SHARE · 1
    assert limit([4.0, 2.0, 0.5], [0.05, 0.02, 0.0]) == [4.0, 2.0, 0.5]


def test_the_formula_and_the_water_level():
    # D = (0.4, 0.06, 0.03), and c + 0.06 + 0.03 = 0.25: only the first layer is above c = 0.16.
    assert limit([4.0, 3.0, 1.5], [0.1, 0.02, 0.02]) == close([1.6, 3.0, 1.5])
    # D = (0.4, 0.3, 0.03): two above c = 0.11.
    assert limit([4.0, 3.0, 1.5], [0.1, 0.1, 0.02]) == close([1.1, 1.1, 1.5])


def test_descents_are_of_the_multiplier_that_they_were_measured_with():
    # Per multiplier: 0.2 / 2 = 0.1 and 0.01 / 0.5 = 0.02.
    found = limit([8.0, 2.0], [0.2, 0.01], used=[2.0, 0.5])
    # Growth bounds 8 · 1 by 8 and 2 by 2; D = (0.8, 0.04); c = 0.25 − 0.04.
    assert found == close([2.1, 2.0])


@pytest.mark.parametrize(("loss", "top"), [(1.0, 2.5), (4.0, 4.0), (0.4, 1.0), (MISSING, 2.5)])
def test_the_budget_is_a_share_of_the_loss_or_of_one_nat(loss, top):
    assert limit([4.0], [0.1], loss=loss) == close([top])


@pytest.mark.parametrize("loss", [0.0, -3.0, -math.inf])
def test_a_loss_with_nothing_to_give_leaves_the_user_s_own_rates(loss):
    assert limit([4.0, 1.0, 0.3], [0.1, 0.1, 0.1], loss=loss) == [1.0, 1.0, close(0.3)]


def test_a_descent_beyond_what_float32_holds_takes_part():
    assert limit([0.0, 4.0], [1e3, 0.1], used=[1e-45, 1.0]) == close([0.0, 2.5])
    assert limit([3.0, 4.0], [1e3, 0.1], used=[1e-38, 1.0]) == close([1.0, 1.25])


def test_uphill_steps_take_nothing_off():
    assert limit([4.0, 4.0], [-5.0, 0.0]) == [4.0, 4.0]


@pytest.mark.parametrize("descent", [MISSING, math.inf, -math.inf])
def test_layers_of_which_nothing_was_measured_stay_at_1(descent):
    assert limit([4.0, 0.5, 4.0], [descent, descent, 0.01]) == [1.0, 0.5, 4.0]


def test_a_layer_that_stood_still_may_come_to_1():
    assert limit([4.0, 0.5], [0.0, 0.0], used=[0.0, 0.0]) == [1.0, 0.5]


@pytest.mark.parametrize(("used", "top"), [(0.01, 1.0), (0.5, 2.0), (1.0, 4.0), (3.0, 12.0)])
def test_multipliers_grow_fourfold_at_a_decision_at_most(used, top):
    assert limit([100.0], [0.0], used=[used]) == close([top])
    assert GROWTH == 4.0


def test_guidance_rows_pass_and_take_nothing_of_the_budget():
    found = limit([4.0, 50.0, 7.0], [0.1, 9.0, MISSING], guidance=[0.0, 1.0, 1.0])
    assert found == close([2.5, 50.0, 7.0])


def test_the_steepest_descent_fades_by_decisions():
    ceiling, chosen = Ceiling(), torch.tensor([4.0])
    assert ceiling.limit(chosen, measured([0.25])).tolist() == [1.0]
    # 0.25 · 0.7 = 0.175 and so on, though nothing was steep since.
    for decision in range(1, 6):
        wanted = min(4.0, max(1.0, SHARE / (0.25 * MEMORY**decision)))
        assert ceiling.limit(chosen, measured([0.0])).tolist() == close([wanted])


def test_layers_that_came_begin_without_a_memory():
    ceiling = Ceiling()
    ceiling.limit(torch.tensor([4.0]), measured([0.25]))
    assert ceiling.limit(torch.tensor([4.0, 4.0]), measured([0.0, 0.0])).tolist() == [4.0, 4.0]


def test_state_round_trip():
    first, second = Ceiling(), Ceiling()
    assert first.state_dict() == {"descent": None}
    first.limit(torch.tensor([4.0, 2.0]), measured([0.2, 0.1]))
    state = first.state_dict()
    second.load_state_dict(state)
    again = measured([0.0, 0.0])
    chosen = torch.tensor([4.0, 4.0])
    assert torch.equal(second.limit(chosen, again), first.limit(chosen, again))
    assert state["descent"].tolist() == close([0.2, 0.1])  # a copy, not what is written on
    second.load_state_dict({})
    assert second.limit(chosen, again).tolist() == [4.0, 4.0]


NUMBER = st.floats(0.0, 1e4, width=32)
LAYERS = st.lists(
    st.tuples(NUMBER, st.one_of(st.just(MISSING), st.floats(-1e3, 1e3, width=32)), NUMBER),
    min_size=1,
    max_size=6,
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=200)
@given(LAYERS, st.one_of(st.just(MISSING), st.floats(-1.0, 1e3, width=32)))
def test_what_holds_for_any_window(layers, loss):
    chosen, descents, used = (list(column) for column in zip(*layers, strict=True))
    found = limit(chosen, descents, used=used, loss=loss)
    budget = SHARE * (1.0 if math.isnan(loss) else max(loss, 0.0))
    above = 0.0
    for value, wanted, descent, factor in zip(found, chosen, descents, used, strict=True):
        assert min(wanted, 1.0) <= value <= wanted
        assert value <= max(1.0, GROWTH * factor) * (1 + 1e-6)
        known = not math.isnan(descent) and factor > 0
        if not known:
            assert value <= 1.0
        elif value > 1.0:
            above += value * max(descent, 0.0) / factor
    # Only steps at the user's own rates may take off more than the budget.
    assert above <= budget * (1 + 1e-4) + 1e-6


@settings(max_examples=200)
@given(st.lists(st.floats(0.0, 1e3, width=32), min_size=1, max_size=6), st.floats(0.0, 100.0))
def test_water_level_fills_the_budget(amounts, budget):
    level = _water_level(amounts, budget)
    if sum(amounts) <= budget:
        assert level == math.inf
    elif level != math.inf:
        assert sum(min(amount, level) for amount in amounts) == pytest.approx(budget, rel=1e-4)
    else:  # the sum, in single precision, is the budget
        assert sum(amounts) == pytest.approx(budget, rel=1e-5)
