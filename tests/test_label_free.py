"""Choosing a network without labels: scores against plain numbers."""

import math

import numpy as np
import pytest
import torch

from l2o.adaptation import LABEL_FREE, Predictions


def test_label_free_scores_in_plain_numbers():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(6, 3, generator=generator)
    features = torch.randn(6, 2, generator=generator)
    losses = torch.rand(6, generator=generator)
    found = Predictions(logits, features, features + 0.1, losses, features - 0.1)
    p = logits.double().softmax(dim=1).numpy()
    entropy = -(p * np.log(p)).sum(axis=1).mean()
    mean = p.mean(axis=0)
    assert LABEL_FREE["entropy"](found) == pytest.approx(-entropy)
    assert LABEL_FREE["information"](found) == pytest.approx(-(mean * np.log(mean)).sum() - entropy)
    units = p / np.linalg.norm(p, axis=1, keepdims=True)
    density = 0.0
    for i in range(6):
        near = np.array([math.exp(units[i] @ units[j] / 0.05) for j in range(6) if j != i])
        near /= near.sum()
        density -= (near * np.log(near)).sum() / 6
    assert LABEL_FREE["snd"](found) == pytest.approx(density)
    # The same domain: all weights 1, so the risk is the plain mean of the losses.
    same = Predictions(logits, features, features, losses, features)
    assert LABEL_FREE["dev"](same) == pytest.approx(-float(losses.mean()), abs=1e-6)
    assert math.isfinite(LABEL_FREE["dev"](found))
    with pytest.raises(ValueError, match="source_losses"):
        LABEL_FREE["dev"](Predictions(logits, features))
