"""Simulators: the space of their parameters, the contract over the table, and drawn garments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o.envs.simulators import SIMULATORS, Categorical, Continuous, Integer, Space
from l2o.envs.simulators.garments.outline import Garment, rounded
from l2o.envs.simulators.garments.simulator import draw_texture

SPACE = Space(
    {
        "tilt": Continuous(0.0, 30.0, 5.0, "in degrees"),
        "buttons": Integer(0, 8, 4, "most buttons"),
        "light": Categorical(("front", "left", "right"), "front", "where light is from"),
    }
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)

# --- spaces


def test_a_point_and_its_flat_vector():
    point = {"tilt": 15.0, "buttons": 2, "light": "right"}
    assert SPACE.width == 5
    assert SPACE.flatten(point).tolist() == [0.5, 0.25, 0.0, 0.0, 1.0]
    assert SPACE.unflatten(np.array([0.5, 0.25, 0.0, 0.0, 1.0])) == point
    assert SPACE.default == {"tilt": 5.0, "buttons": 4, "light": "front"}
    assert SPACE.complete({"tilt": 1}) == {"tilt": 1.0, "buttons": 4, "light": "front"}


@given(st.integers(0, 2**32))
def test_points_come_back_from_their_vectors(seed):
    point = SPACE.sample(1, seed)[0]
    found = SPACE.unflatten(SPACE.flatten(point))
    assert found.pop("tilt") == pytest.approx(point.pop("tilt"))
    assert found == point


@given(st.lists(NUMBERS, min_size=5, max_size=5))
def test_any_vector_is_a_point(numbers):
    point = SPACE.unflatten(np.array(numbers))
    assert SPACE.complete(point) == point


@given(NUMBERS, NUMBERS, st.text(max_size=5))
def test_any_values_are_clipped_into_the_space(tilt, buttons, light):
    point = SPACE.clip({"tilt": tilt, "buttons": buttons, "light": light})
    assert SPACE.complete(point) == point


def test_clipping_takes_the_nearest():
    assert SPACE.clip({"tilt": 99, "buttons": -3}) == {"tilt": 30, "buttons": 0, "light": "front"}


def test_a_part_of_a_space_is_a_space():
    part = SPACE.narrow(tilt=(10, 20), buttons=3, light=("left", "right"))
    points = part.sample(200, seed=0)
    assert {point["light"] for point in points} == {"left", "right"}
    assert {point["buttons"] for point in points} == {3}
    tilts = [point["tilt"] for point in points]
    assert 10 <= min(tilts) < 10.5
    assert 19.5 < max(tilts) <= 20
    assert part.default == {"tilt": 10.0, "buttons": 3, "light": "left"}
    assert {point["buttons"] for point in SPACE.sample(300, 0)} == set(range(9))
    assert points == part.sample(200, seed=0) != part.sample(200, seed=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Space({}), "at least one"),
        (lambda: SPACE.complete({"tlit": 1}), "'tlit'.*'tilt'"),
        (lambda: SPACE.complete({"tilt": 31}), r"tilt=31 .*\[0.0, 30.0\]"),
        (lambda: SPACE.complete({"tilt": "steep"}), "tilt='steep'"),
        (lambda: SPACE.complete({"tilt": float("nan")}), "tilt=nan"),
        (lambda: SPACE.complete({"buttons": 2.5}), "buttons=2.5 is no whole number"),
        (lambda: SPACE.complete({"buttons": True}), "buttons=True"),
        (lambda: SPACE.complete({"light": "lfet"}), "'lfet'.*'left'"),
        (lambda: SPACE.clip({"tlit": 1}), "'tlit'.*'tilt'"),
        (lambda: SPACE.narrow(tilt=(20, 10)), "must ascend"),
        (lambda: SPACE.narrow(tilt=(1, 2, 3)), "pair"),
        (lambda: SPACE.narrow(buttons=(0, 9)), "buttons=9"),
        (lambda: SPACE.narrow(light=()), "distinct names"),
        (lambda: SPACE.narrow(lihgt="left"), "'lihgt'.*'light'"),
        (lambda: SPACE.unflatten(np.zeros(4)), r"\(4,\).*\(5,\)"),
        (lambda: Continuous(1.0, 0.0, 0.5, ""), "ascend"),
        (lambda: Continuous(0.0, float("inf"), 0.5, ""), "finite"),
        (lambda: Integer(0, 3, 7, ""), "ascend"),
        (lambda: Categorical(("a", "a"), "a", ""), "distinct"),
        (lambda: Categorical(("a", "b"), "c", ""), "'c'"),
    ],
)
def test_what_is_not_in_a_space_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# --- the contract, over the table


# Of a scene of the user's: it has tests of its own.
@pytest.fixture(params=[name for name in SIMULATORS if name != "blender"])
def simulator(request):
    return SIMULATORS[request.param](28)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_parameters_are_documented(simulator):
    assert simulator.name in SIMULATORS
    for dimension in simulator.parameters.values():
        assert len(dimension.about) > 10


def test_rendering_is_a_pure_function_of_its_arguments(simulator):
    psi = simulator.parameters.default
    images, labels, masks = first = simulator.render(psi, 30, seed=3)
    assert images.shape == (30, 28, 28, 3)
    assert masks.shape == (30, 28, 28)
    assert (images.dtype, labels.dtype, masks.dtype) == (np.uint8, np.int64, np.uint8)
    assert same(first, simulator.render({}, 30, seed=3))
    other = simulator.render(psi, 30, seed=4)
    assert not np.array_equal(images, other.images)


@pytest.mark.parametrize("whole", [False, True])
def test_a_small_set_is_the_beginning_of_a_large_one(simulator, whole):
    psi = simulator.parameters if whole else {}
    many = simulator.render(psi, 25, seed=1)
    assert same(simulator.render(psi, 7, seed=1), [each[:7] for each in many])
    assert [len(each) for each in simulator.render(psi, 0, seed=1)] == [0, 0, 0]


def test_classes_are_balanced(simulator):
    kinds = len(simulator.classes)
    labels = simulator.labels(5 * kinds + 3, seed=2)
    counts = np.bincount(labels, minlength=kinds)
    assert counts.max() - counts.min() == 1
    assert not np.array_equal(labels[:kinds], labels[kinds : 2 * kinds])


def test_a_distribution_draws_a_point_for_each_image(simulator):
    class Recorded:
        points = []

        def draw(self, generator):
            self.points.append(simulator.parameters.draw(generator))
            return self.points[-1]

    simulator.render(Recorded(), 5, seed=0)
    assert len({tuple(point.items()) for point in Recorded.points}) == 5


def test_masks_name_what_pixels_are(simulator):
    masks = simulator.render({}, 20, seed=0).masks
    assert set(np.unique(masks)) == set(range(len(simulator.mask_classes)))


@pytest.mark.parametrize("size", [32, 96])
def test_any_size(simulator, size):
    images, _, masks = type(simulator)(size).render({}, 3, seed=0)
    assert images.shape == (3, size, size, 3)
    assert masks.shape == (3, size, size)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s: s.render({"no such": 1}, 1, 0), "unknown parameter 'no such'"),
        (lambda s: s.render({}, -1, 0), "n=-1"),
        (lambda s: s.render({}, 1, -1), "seed=-1"),
        (lambda s: type(s)(7), "size=7"),
        (lambda s: type(s)(28.0), "size=28.0"),
    ],
)
def test_impossible_arguments_are_refused(simulator, wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong(simulator)


# --- garments


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_point_of_the_space_renders_every_garment(data):
    simulator = SIMULATORS["garments"](28)
    numbers = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0])
    width = simulator.parameters.width
    vector = np.array(data.draw(st.lists(numbers, min_size=width, max_size=width)))
    psi = simulator.parameters.unflatten(vector)
    images, _, masks = simulator.render(psi, 10, seed=data.draw(st.integers(0, 2**40)))
    assert np.array_equal(images[..., 0] > 0, masks > 0)
    assert (masks > 0).any(axis=(1, 2)).all()
    assert (images[..., 0] == images[..., 1]).all()
    assert (images[..., 0] == images[..., 2]).all()


def test_garments_fill_their_images_and_the_ground_is_black():
    psi = {"smallest": 1.0, "shift": 0.0}
    images, labels, masks = SIMULATORS["garments"](28).render(psi, 100, seed=0)
    assert np.array_equal(images[..., 0] > 0, masks > 0)
    high, wide = masks.any(axis=2).sum(axis=1), masks.any(axis=1).sum(axis=1)
    assert np.maximum(high, wide).min() >= 27
    trouser, sneaker = (labels == place for place in (1, 7))
    assert (high[trouser] > wide[trouser]).all()
    assert (high[sneaker] < wide[sneaker]).all()


def test_parameters_do_what_they_say():
    simulator = SIMULATORS["garments"](28)

    def differ(one, other):
        images = [simulator.render(psi, 10, seed=0).images for psi in (one, other)]
        return not np.array_equal(*images)

    space = simulator.parameters
    calm = {name: space[name].clip(0) for name in ("tilt", "shear", "stretch", "noise", "blur")}
    for name, dimension in space.items():
        extremes = [dimension.value(np.eye(dimension.width)[-1] * share) for share in (0, 1)]
        if dimension.width > 1:
            extremes = [dimension.choices[0], dimension.choices[-1]]
        assert differ(*({**calm, name: value} for value in extremes)), name


def test_without_variety_garments_of_a_class_have_one_cut():
    names = ("cut", "details", "buttons", "tilt", "shear", "stretch", "seams")
    still = dict.fromkeys(names, 0) | {"smallest": 1.0}
    _, labels, masks = SIMULATORS["garments"](28).render(still, 60, seed=0)
    for label in range(10):
        first, *others = masks[labels == label]
        assert all(np.array_equal(first, other) for other in others), label


def test_textures_are_drawn_by_their_weights():
    weights = {"plain": 0.0, "striped": 1.0, "checked": 0.0, "camouflage": 3.0, "knit": 0.0}
    generator = np.random.default_rng(0)
    drawn = [draw_texture(weights, 1.0, generator) for _ in range(4000)]
    assert set(drawn) == {"striped", "camouflage"}
    assert drawn.count("striped") / 4000 == pytest.approx(0.25, abs=0.03)
    assert {draw_texture(weights, 0.0, generator) for _ in range(50)} == {"plain"}
    assert draw_texture(dict.fromkeys(weights, 0.0), 1.0, generator) == "plain"


def test_rounding_cuts_corners():
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    cut = rounded(square, 1)
    assert cut.tolist() == [[1, 0], [3, 0], [4, 1], [4, 3], [3, 4], [1, 4], [0, 3], [0, 1]]
    line = rounded(square[:3], 1, closed=False)
    assert line.tolist() == [[0, 0], [3, 0], [4, 1], [4, 4]]
    assert rounded(square, 0) is square
    garment = Garment()
    garment.whole([(0, 0), (1, 0), (1, 2)])
    right = [[0, 0], [1, 0], [1, 2]]
    assert garment.shapes[0].points.tolist() == [*right, [-1, 2], [-1, 0], [0, 0]]
