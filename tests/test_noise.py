"""Noise that lasts: exact moments, and PPO that explores by it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recurrent import OPTIONS
from test_train import config

from l2o.policies.sb3 import PPOLearner
from l2o.policies.sb3.noise import LastingNoise

HEADS = torch.tensor([0.0, 0.0, 1.0]).expand(4000, 3)
LASTING = {"noise_memory": 0.9, "noise_shared": 0.5}


@settings(max_examples=10, deadline=None)
@given(memory=st.floats(0.0, 0.95), shared=st.floats(0.0, 1.0), seed=st.integers(0, 100))
def test_moments_are_those_of_the_formula(memory, shared, seed):
    torch.manual_seed(seed)
    noise = LastingNoise(memory, shared)
    drawn = torch.stack([noise(HEADS) for _ in range(3)])
    covariance = torch.cov(drawn.permute(0, 2, 1).reshape(9, -1))
    layers = torch.tensor([[1.0, shared, 0.0], [shared, 1.0, 0.0], [0.0, 0.0, 1.0]])
    steps = torch.tensor([[memory ** abs(i - j) for i in range(3)] for j in range(3)])
    torch.testing.assert_close(covariance, torch.kron(steps, layers), atol=0.12, rtol=0.0)


def test_without_memory_and_sharing_it_is_white_noise():
    torch.manual_seed(3)
    mine = LastingNoise()(HEADS)
    torch.manual_seed(3)
    assert torch.equal(mine, torch.randn(4000, 3))


def test_another_number_of_environments_begins_anew():
    torch.manual_seed(0)
    noise = LastingNoise(memory=0.999)
    noise(HEADS)
    assert noise(HEADS[:5]).shape == (5, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 1.0}, r"noise_memory must be in \[0, 1\), got 1.0"),
        ({"shared": 1.5}, r"noise_shared must be in \[0, 1\], got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LastingNoise(**options)


@pytest.mark.parametrize("recurrent", [False, True])
def test_ppo_explores_by_it_and_acts_without_it(recurrent):
    given = config(network={"hidden": 8, "recurrent": recurrent})
    learner = PPOLearner(given, **OPTIONS, **LASTING)
    try:
        policy = learner.model.policy
        assert (policy.noise.memory, policy.noise.shared) == (0.9, 0.5)
        seen = torch.zeros(4, *learner.environments.observation_space.shape)
        seen[..., 0] = 1.0
        if recurrent:
            policy.begin(4)
        deviations = []
        for _ in range(40):
            if recurrent:
                policy.memory = torch.zeros_like(policy.memory)
            with torch.no_grad():
                tried = policy.forward(seen)[0]
                if recurrent:
                    policy.memory = torch.zeros_like(policy.memory)
                meant = policy.forward(seen, deterministic=True)[0]
            deviations.append((tried - meant) / policy.log_std.exp().item())
        path = torch.stack(deviations).flatten(1).numpy()
        correlations = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in path.T]
        assert np.mean(correlations) > 0.6
        assert np.isfinite(list(learner.iterate().values())).all()
    finally:
        learner.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"environment": {"base_lr": [0.01, 0.1], "multipliers": {"kind": "bins"}}},
            "noise_memory and noise_shared need multipliers on a log scale",
        ),
        (
            {"environment": {"base_lr": [0.01, 0.1], "signals": ["present", "base_lr", "loss"]}},
            "noise_memory and noise_shared need the signal is_head",
        ),
    ],
)
def test_where_it_cannot_be_it_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PPOLearner(config(**fields), **OPTIONS, **LASTING)
