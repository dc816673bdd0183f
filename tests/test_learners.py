"""What every learning algorithm of the table does alike: metrics, plain state, going on, export."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_train import config

from l2o.policies.algorithms import ALGORITHMS

OPTIONS = {
    "ppo": {"decisions": 16, "minibatches": 2, "epochs": 1},
    "sac": {"decisions": 16, "learning_starts": 8, "batch_size": 8, "gradient_steps": 1},
    "reinforce": {"episodes": 4},
    "offline": {"tasks": 2, "trees": 2},
    "evolution": {"episodes": 4},
}


def make(name, **fields):
    options = OPTIONS[name]
    given = config(
        algorithm={"name": name, "options": options},
        environment={"base_lr": [0.01, 0.1], "group": 2},
        network={"anchor": "update", "hidden": 8},
        **fields,
    )
    return ALGORITHMS[name](given, **options)


def test_every_algorithm_is_tried():
    # RLlib's needs a cluster: tests/test_rllib.py.
    assert OPTIONS.keys() == ALGORITHMS.keys() - {"rllib_ppo"}


def test_a_learner_is_imported_when_it_is_used():
    code = (
        "from sys import modules; from l2o.policies.algorithms import ALGORITHMS\n"
        "print('evolution' in ALGORITHMS, len(ALGORITHMS), 'l2o.policies.evolution' in modules)\n"
        "print(ALGORITHMS['evolution'].__name__, 'l2o.policies.sb3.ppo' in modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"True {len(OPTIONS) + 1} False\nEvolutionLearner False\n"


@pytest.mark.parametrize("name", OPTIONS)
def test_an_iteration_learns_and_its_state_goes_on_elsewhere(name):
    first, second = make(name), make(name)
    try:
        before = first.policy().network.state_dict()
        metrics = first.iterate()
        told = {"return", "target_accuracy", "seconds", "seconds_collecting", "seconds_learning"}
        assert told <= metrics.keys()
        assert all(np.isfinite(value) for value in metrics.values())
        shares = [value for key, value in metrics.items() if key.startswith("share_")]
        assert sum(shares) == pytest.approx(1.0)
        assert metrics["seconds_collecting"] < metrics["seconds"]
        learned = first.policy()
        after = learned.network.state_dict()
        assert any(not torch.equal(before[key], after[key]) for key in before)
        # Plain data: it passes through a file that nothing is executed from.
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.load_state_dict(torch.load(file, weights_only=True))
        assert second.episodes == first.episodes > 0
        assert second.fine_tune_steps == first.fine_tune_steps > 0
        again = second.policy().network.state_dict()
        assert all(torch.equal(after[key], again[key]) for key in after)
        second.iterate()
        assert second.episodes > first.episodes
        # What was exported is a copy: learning on does not move it.
        first.iterate()
        assert all(torch.equal(after[key], learned.network.state_dict()[key]) for key in after)
        assert not any(tensor.is_cuda for tensor in learned.network.parameters())
    finally:
        first.close()
        second.close()
