"""RLlib's PPO as a search over a simulator's parameters."""

import numpy as np
import pytest
import torch

from l2o.envs.simulators import Continuous, Space
from l2o.envs.simulators.distributions import Uniform
from l2o.policies.reinforce.simulators import SEARCHES, Tried

pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
pytestmark = pytest.mark.timeout(900)  # Ray takes long to start where others are at work
SPACE = Space({f"p{i}": Continuous(0.0, 1.0, 0.5, "a parameter") for i in range(3)})
GOAL = np.array([0.95, 0.1, 0.9])


def search(budget=400):
    return SEARCHES["rllib_ppo"](
        space=SPACE, start=Uniform(SPACE), actions="point", seed=0, budget=budget, batch=8
    )


def worth(points):
    return -np.square(np.atleast_2d(points) - GOAL).sum(axis=1)


def counted(asked):
    def try_(asks):
        asked.append(len(asks))
        points = np.array([[*ask.distribution.psi.values()] for ask in asks])
        return Tried(worth(points), np.zeros(len(asks), bool))

    return try_


def test_it_finds_what_is_better_and_goes_on_as_if_never_stopped(ray_cluster):
    one, asked = search(), []
    before = worth([*one.distribution().psi.values()])
    for _ in range(25):
        one.iterate(counted(asked), 8)
    assert asked == [8] * 25, "each trial of the budget once"
    assert worth([*one.distribution().psi.values()]) > before / 2

    other = search()
    other.load_state_dict(one.state_dict())
    torchs = torch.get_rng_state()
    for each in (one, other):
        for _ in range(2):
            each.iterate(counted([]), 8)
    assert one.distribution().psi == pytest.approx(other.distribution().psi)
    assert torch.equal(torchs, torch.get_rng_state())
    one.iterate(counted(asked), 3)
    assert asked[-1] == 3


def test_impossible_options_are_refused(ray_cluster):
    with pytest.raises(ValueError, match="budget of 4"):
        search(budget=4)
