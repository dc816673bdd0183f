"""Evolution strategies: the gradient estimate, pairs on shared episodes, learning, resume."""

import numpy as np
import pytest
import torch
from test_train import config

from l2o.policies.common.checkpoint import load_checkpoint
from l2o.policies.evolution import EvolutionLearner
from l2o.policies.evolution.gradient import antithetic_noise, estimate_gradient
from l2o.policies.train import Training, train


def settings(**fields):
    base = {
        "environment": {"base_lr": [0.001, 0.1], "group": 4},
        "algorithm": {"name": "evolution"},
        "environments": 8,
        "episodes": 16,
    }
    return config(**(base | fields))


def test_the_estimate_is_the_formula():
    generator = np.random.default_rng(0)
    noise, returns = generator.normal(size=(3, 4, 5)), generator.normal(size=(3, 4))
    left = [[r - np.mean(row) for r in row] for row in returns]
    scale = np.sqrt(np.mean(np.square(left)))
    expected = np.zeros(5)
    for g in range(3):
        for i in range(4):
            expected += left[g][i] / scale * noise[g][i] / (3 * 4 * 0.2)
    np.testing.assert_allclose(estimate_gradient(noise, returns, 0.2), expected, rtol=1e-12)


def test_it_points_up_a_slope_that_differs_from_episode_to_episode_in_height():
    generator = np.random.default_rng(1)
    slope = generator.normal(size=6)
    noise = np.stack([antithetic_noise(200, 6, generator) for _ in range(20)])
    height = generator.normal(size=(20, 1)) * 100
    got = estimate_gradient(noise, noise @ slope + height, 1.0)
    cosine = got @ slope / np.linalg.norm(got) / np.linalg.norm(slope)
    assert cosine > 0.99


def test_equal_returns_move_nothing():
    noise = antithetic_noise(4, 3, np.random.default_rng(0))[None]
    assert (estimate_gradient(noise, np.ones((1, 4)), 0.1) == 0).all()


def test_pairs_are_opposite_and_act_without_noise():
    learner = EvolutionLearner(settings(), sigma=0.3)
    try:
        learner._begin()
        np.testing.assert_array_equal(learner._noise[::2], -learner._noise[1::2])
        first = {name: tensor[0] for name, tensor in learner._stacked.items()}
        seen = torch.from_numpy(learner._seen)
        actions = learner._run(learner._stacked, seen)
        assert torch.equal(actions, learner._run(learner._stacked, seen))
        torch.testing.assert_close(actions[0], learner._decide(first, seen[0]))
        assert not torch.allclose(actions[0], actions[1])
    finally:
        learner.close()


def test_a_run_learns_saves_and_goes_on(tmp_path):
    train(settings(), tmp_path)
    longer = Training(settings(episodes=32), tmp_path)
    try:
        longer.resume(load_checkpoint(tmp_path, True))
        before = [tensor.clone() for tensor in longer.learner._tensors]
        assert longer.learner.episodes >= 16
        longer.run(progress=False)
        assert longer.learner.episodes >= 32
        moved = zip(before, longer.learner._tensors, strict=True)
        assert any(not torch.equal(one, other) for one, other in moved)
    finally:
        longer.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"environment": {"group": 1}}, ["environment.group", "1"]),
        ({"stacked": False}, ["stacked=true"]),
        ({"network": {"recurrent": True}}, ["recurrent=false"]),
        ({"environment": {"group": 2, "multipliers": {"kind": "bins"}}}, ["kind: log"]),
        ({"algorithm": {"name": "evolution", "options": {"sigma": 0.0}}}, ["sigma"]),
    ],
)
def test_what_does_not_fit_is_refused(fields, words, tmp_path):
    with pytest.raises(ValueError) as error:
        train(settings(**fields), tmp_path)
    assert all(word in str(error.value) for word in words), str(error.value)
