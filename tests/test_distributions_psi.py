"""Distributions over a simulator's parameters: the contract, exact numbers, files."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o.envs.simulators import SIMULATORS, Categorical, Continuous, Integer, Simulator, Space
from l2o.envs.simulators.distributions import DISTRIBUTIONS, Fixed, Product, Structured, Uniform
from l2o.envs.simulators.distributions.widening import Boundary, Widening
from l2o.envs.simulators.distributions.written import (
    distribution_of,
    given_distribution,
    load_distribution,
    save_distribution,
)
from l2o.envs.simulators.learning import ACTIONS, Points, Ranges, Shares
from l2o.files.atomic import DamagedFileError

SPACE = Space(
    {
        "tilt": Continuous(0.0, 30.0, 5.0, "in degrees"),
        "buttons": Integer(0, 8, 4, "most buttons"),
        "light": Categorical(("front", "left", "right"), "front", "where light is from"),
    }
)
MIXTURE = Structured(SPACE, {"upright": {"weight": 3, "ranges": {"tilt": 0}}, "any": {}})
MEMBERS = {
    "point": {"psi": {"tilt": 3.0, "light": "left"}},
    "uniform": {"ranges": {"tilt": [10, 20], "buttons": 2}, "weights": {"light": {"left": 3}}},
    "structured": {
        "scenarios": {
            "dark": {"weight": 3, "ranges": {"tilt": [0, 1], "light": ["left"]}},
            "any": {},
        }
    },
    "product": {"mean": {"tilt": 10}, "std": {"tilt": 2, "buttons": 1}, "weights": {}},
}


@pytest.fixture(params=list(DISTRIBUTIONS))
def distribution(request):
    return distribution_of(SPACE, {"kind": request.param, **MEMBERS[request.param]})


def draws(distribution, count=400, seed=0):
    generator = np.random.default_rng(seed)
    return [distribution.draw(generator) for _ in range(count)]


# --- the contract


def test_every_draw_is_a_point_of_the_space(distribution):
    points = draws(distribution)
    for point in points:
        assert SPACE.complete(point) == point
    assert points == draws(distribution)


def test_plain_data_come_back_as_the_same_distribution(distribution):
    plain = json.loads(json.dumps(distribution.to_plain()))
    again = distribution_of(SPACE, plain)
    assert type(again) is type(distribution)
    assert again.to_plain() == distribution.to_plain()
    assert draws(again, 20) == draws(distribution, 20)


def test_ends_and_shares_tell_where_the_draws_lie(distribution):
    points = draws(distribution, 2000)
    for name in ("tilt", "buttons"):
        low, high = distribution.ends(name)
        values = [point[name] for point in points]
        assert np.mean([low - 0.5 <= value <= high + 0.5 for value in values]) > 0.94
        assert distribution.shares(name) == {}
    assert distribution.ends("light") is None
    shares = distribution.shares("light")
    assert sum(shares.values()) == pytest.approx(1.0)
    for choice, share in shares.items():
        found = np.mean([point["light"] == choice for point in points])
        assert found == pytest.approx(share, abs=0.05)
    for ask in (distribution.ends, distribution.shares):
        with pytest.raises(ValueError, match=r"'tlit'.*'tilt'"):
            ask("tlit")


def test_simulators_draw_from_it(distribution):
    del distribution
    simulator = SIMULATORS["digits"](16)
    for kind in DISTRIBUTIONS:
        options = {"scenarios": {"all": {}}} if kind == "structured" else {}
        psi = distribution_of(simulator.parameters, {"kind": kind, **options})
        assert simulator.render(psi, 10, seed=0).images.shape == (10, 16, 16, 3)


# --- exact numbers


def test_exact_ends_and_shares():
    uniform = Uniform(SPACE, {"tilt": (10, 20)}, {"light": {"front": 1, "left": 3}})
    assert uniform.ends("tilt") == (10.0, 20.0)
    assert uniform.ends("buttons") == (0.0, 8.0)
    assert uniform.shares("light") == {"front": 0.25, "left": 0.75, "right": 0.0}
    some = Uniform(SPACE, {"light": ("left", "right")})
    assert some.shares("light") == {"front": 0.0, "left": 0.5, "right": 0.5}
    scenarios = {"dark": {"weight": 3, "ranges": {"light": "left"}}, "any": {"weight": 1}}
    mixed = Structured(SPACE, scenarios)
    assert mixed.shares("light") == pytest.approx(
        {"front": 1 / 12, "left": 10 / 12, "right": 1 / 12}
    )
    product = Product(SPACE, {"tilt": 29.0, "buttons": 3.5}, {"tilt": 2.0})
    assert product.ends("tilt") == (25.0, 30.0)
    assert product.ends("buttons") == (3.5, 3.5)
    assert Fixed(SPACE, {"tilt": 3}).shares("light") == {"front": 1.0, "left": 0.0, "right": 0.0}


def test_parameters_of_a_scenario_come_together():
    scenarios = {
        "a": {"ranges": {"tilt": [0, 1], "light": "left"}},
        "b": {"ranges": {"tilt": [20, 30], "light": "right"}},
    }
    for point in draws(Structured(SPACE, scenarios), 100):
        assert (point["tilt"] <= 1) == (point["light"] == "left")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"kind": "unifrom"}, r"'unifrom'.*'uniform'"),
        ({"kind": "uniform", "rnges": {}}, "rnges"),
        ({"kind": "uniform", "ranges": {"tilt": [0, 99]}}, r"tilt=99 .*\[0.0, 30.0\]"),
        ({"kind": "uniform", "weights": {"tilt": {"a": 1}}}, "tilt is a number"),
        ({"kind": "uniform", "weights": {"light": {"lft": 1}}}, "'left'"),
        ({"kind": "uniform", "weights": {"light": {"left": -1}}}, "weight -1 of 'left'"),
        ({"kind": "uniform", "weights": {"light": {"left": 0}}}, "sum to 0"),
        (
            {"kind": "uniform", "ranges": {"light": "left"}, "weights": {"light": {"left": 1}}},
            "light: given in ranges and in weights",
        ),
        ({"kind": "structured", "scenarios": {}}, "one or more"),
        ({"kind": "structured", "scenarios": {"a": {"wight": 1}}}, "'wight'.*'weight'"),
        ({"kind": "product", "mean": {"tilt": 31}}, "tilt=31"),
        ({"kind": "product", "std": {"tilt": float("nan")}}, "std of tilt is nan"),
        ({"kind": "product", "std": {"light": 1}}, "light is a choice"),
        ({"kind": "point", "psi": {"tlit": 1}}, "'tlit'.*'tilt'"),
        ({"tilt": 31}, "tilt=31"),
    ],
)
def test_what_is_not_in_the_space_is_refused(plain, message):
    with pytest.raises(ValueError, match=message):
        distribution_of(SPACE, plain)


# --- automatic widening


def test_ends_move_by_what_was_measured_there():
    widening = Widening(SPACE, {"tilt": 6}, low=0.4, high=0.8, step=0.1, buffer=2)
    upper = Boundary("tilt", True)
    assert widening.distribution().ends("tilt") == (6.0, 6.0)
    assert [widening.tell(upper, p) for p in (0.7, 0.9)] == ["", "wider"]
    assert widening.distribution().ends("tilt") == (6.0, 9.0)
    assert [widening.tell(upper, p) for p in (0.5, 0.7)] == ["", ""]
    assert [widening.tell(upper, p) for p in (0.3, 0.5)] == ["", "narrower"]
    assert widening.distribution().ends("tilt") == (6.0, 6.0)
    # The start is never left behind, nor the bounds.
    assert [widening.tell(upper, 0.0) for _ in range(2)] == ["", ""]
    lower = Boundary("tilt", False)
    for _ in range(6):
        widening.tell(lower, 1.0)
    assert widening.distribution().ends("tilt") == (0.0, 6.0)
    # Whole numbers move by one at least.
    small = Widening(SPACE, step=0.01, buffer=1)
    assert small.tell(Boundary("buttons", True), 1.0) == "wider"
    assert small.distribution().ends("buttons") == (4.0, 5.0)
    assert small.at(Boundary("buttons", True)).ends("buttons") == (5.0, 5.0)
    assert small.distribution().shares("light")["front"] == 1.0


def test_a_curriculum_goes_on_where_it_was():
    one = Widening(SPACE, buffer=2)
    one.tell(Boundary("tilt", True), 0.9)
    other = Widening(SPACE, buffer=2)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.tell(Boundary("tilt", True), 0.9) == "wider"


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), max_size=40))
@settings(max_examples=30)
def test_ranges_stay_within_bounds_and_hold_the_start(measured):
    widening = Widening(SPACE, step=0.4, buffer=1)
    for place, performance in measured:
        name = ("tilt", "buttons")[place // 2]
        widening.tell(Boundary(name, bool(place % 2)), performance)
    now = widening.distribution()
    for name, (low, start, high) in {"tilt": (0, 5, 30), "buttons": (0, 4, 8)}.items():
        ends = now.ends(name)
        assert low <= ends[0] <= start <= ends[1] <= high


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Widening(SPACE, low=0.9), "below high"),
        (lambda: Widening(SPACE, step=0.0), "step=0.0"),
        (lambda: Widening(SPACE, buffer=0), "buffer=0"),
        (lambda: Widening(Space({"light": SPACE["light"]})), "choices alone"),
        (lambda: Widening(SPACE).tell(Boundary("tilt", True), float("nan")), "nan is not finite"),
        (lambda: Widening(SPACE).tell(Boundary("light", True), 1.0), "light is a choice"),
    ],
)
def test_impossible_curricula_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# --- actions


@pytest.mark.parametrize("kind", list(ACTIONS))
@given(numbers=st.lists(st.floats(-3, 3), min_size=7, max_size=7))
@settings(max_examples=40)
def test_any_action_is_a_distribution(kind, numbers):
    actions = ACTIONS[kind](SPACE, MIXTURE)
    vector = np.array(numbers)[: actions.width]
    distribution = actions.distribution(vector)
    points = draws(distribution, 5)
    assert all(SPACE.complete(point) == point for point in points)
    again = actions.distribution(actions.vector(distribution))
    for name in ("tilt", "buttons"):
        assert again.ends(name) == pytest.approx(distribution.ends(name))


def test_shares_are_of_the_scenarios_that_are_begun_with():
    actions = Shares(SPACE, MIXTURE)
    assert actions.names == ("upright.share", "any.share")
    made = actions.distribution(np.array([1.0, -1.0]))
    assert made.weights["upright"] == pytest.approx(1 / (1 + np.exp(-6)))
    assert made.scenarios["upright"].ends("tilt") == (0.0, 0.0)
    assert actions.vector(MIXTURE) == pytest.approx([np.log(3) / 6, -np.log(3) / 6])
    assert actions.vector(Uniform(SPACE)).tolist() == [0.0, 0.0]
    for start in (None, Uniform(SPACE)):
        with pytest.raises(ValueError, match=r"give start=\{kind: structured"):
            Shares(SPACE, start)


def test_what_actions_stand_for():
    assert Ranges(SPACE).names[:3] == ("tilt.middle", "tilt.width", "buttons.middle")
    whole = Ranges(SPACE).vector(Uniform(SPACE))
    assert whole.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    made = Ranges(SPACE).distribution(np.array([-1.0, -1.0, 0.0, 0.0, 1.0, -1.0, -1.0]))
    assert made.ends("tilt") == (0.0, 0.0)
    assert made.ends("buttons") == (2.0, 6.0)
    assert made.shares("light")["front"] == pytest.approx(1 / (1 + 2 * np.exp(-6)))
    point = Points(SPACE).distribution(np.array([0.0, -1.0, -1.0, 0.5, -1.0]))
    assert point.psi == {"tilt": 15.0, "buttons": 0, "light": "left"}
    assert Points(SPACE).vector(point).tolist() == [0.0, -1.0, -1.0, 1.0, -1.0]
    for wrong in ([0.0], [float("nan")] * 5):
        with pytest.raises(ValueError, match=r"must be 5 numbers without NaN"):
            Points(SPACE).distribution(np.array(wrong))


# --- files


class Buttons(Simulator):
    """A simulator of a user's own."""

    name = "buttons"
    parameters = SPACE
    classes = ("one", "two")
    mask_classes = ("ground", "button")

    def draw(self, point, label, generator):
        image = np.full((self.size, self.size, 3), int(point["tilt"]), np.uint8)
        return image, np.ones((self.size, self.size), np.uint8)


def test_a_written_distribution_is_read_back(tmp_path):
    simulator = Buttons(16)
    learned = Uniform(SPACE, {"tilt": (1, 2)})
    save_distribution(tmp_path / "simulator.json", simulator, learned, {"trials": 3})
    for given_as in (tmp_path, tmp_path / "simulator.json"):
        assert given_distribution(simulator, str(given_as)).to_plain() == learned.to_plain()
    by_hand = tmp_path / "mine.yaml"
    by_hand.write_text("kind: uniform\nranges: {tilt: [1, 2]}\n")
    assert load_distribution(by_hand, simulator).ends("tilt") == (1.0, 2.0)
    with pytest.raises(ValueError, match=r"of simulator 'buttons', not of 'digits'"):
        load_distribution(tmp_path, SIMULATORS["digits"](16))
    text = (tmp_path / "simulator.json").read_text()
    (tmp_path / "simulator.json").write_text(text.replace('"trials": 3', '"trials": 4'))
    with pytest.raises(DamagedFileError, match="damaged"):
        load_distribution(tmp_path, simulator)
    by_hand.write_text("kind: uniform\nranges: {tilt: [1, 99]}\n")
    with pytest.raises(ValueError, match=r"mine.yaml: tilt=99"):
        load_distribution(by_hand, simulator)
    by_hand.write_text("- 1\n")
    with pytest.raises(DamagedFileError, match="'distribution'"):
        load_distribution(by_hand, simulator)
    with pytest.raises(DamagedFileError, match=r"none\.json"):
        load_distribution(tmp_path / "none.json", simulator)
