"""Candidates: a group's fine-tunes try variants of the teacher, and what did best is taught."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies
from test_imitation import ENVIRONMENT, settings

from l2o.policies.common.networks import build_layer_network
from l2o.policies.imitation import imitate
from l2o.policies.imitation.candidates import Candidates, moved
from l2o.policies.imitation.practice import Share, play

GROUP = ENVIRONMENT | {"group": 2}


def grouped(candidates=(), **imitation):
    told = {"schedule": "linear", "episodes": 16, "epochs": 3, "candidates": candidates}
    return settings(environment=GROUP, imitation=told | imitation)


def share(given, **fields):
    return Share(**({"config": given, "first": 0, "environments": 8, "episodes": 8} | fields))


@given(
    strategies.lists(strategies.floats(0.0, 1.0), min_size=3, max_size=3),
    strategies.floats(0.005, 1.0),
)
def test_what_is_taught_is_the_mean_weighted_by_how_it_ended(accuracies, temperature):
    decades = [(0.0, 0.5), (1.0, 0.0), (-2.0, 0.25)]
    tried = Candidates(decades, temperature, group=3)
    for place, accuracy in enumerate(accuracies):
        tried.note(3 + place, accuracy)
    weights = np.exp(np.array(accuracies) / temperature)
    expected = (weights[:, None] * np.array(decades)).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(tried.preferred()[1, 0], expected, rtol=1e-5, atol=1e-6)


def test_episodes_that_not_all_of_a_group_have_ended_teach_nothing():
    tried = Candidates([(0.0, 0.0), (1.0, 0.0)], 0.1, group=2)
    assert tried.preferred() == {}
    for environment in (0, 0, 1, 2):
        tried.note(environment, 0.5)
    assert list(tried.preferred()) == [(0, 0)]


def test_rates_are_moved_within_the_range():
    actions = torch.tensor([[0.0, 0.5, -0.5]])
    heads = torch.tensor([[0.0, 0.0, 1.0]])
    found = moved(actions, heads, torch.tensor([[3.0, -1.0]]), half=5.0)
    torch.testing.assert_close(found, torch.tensor([[0.6, 1.0, -0.7]]))


def test_the_better_candidate_is_taught():
    """One hardly moves the head: it stays at chance, and is not what the pupil is told."""
    given = grouped([(0.0, 0.0), (0.0, -3.0)], temperature=0.005)
    shown, preferred = play(share(given))
    assert preferred
    mean = np.mean(list(preferred.values()), axis=0)
    assert mean[0] == 0
    assert mean[1] > -1.0
    plain, _ = play(share(grouped(noise=0.0)))
    assert not torch.equal(shown.wanted[0], plain.wanted[0])
    # At the first decision all of a group see the same; they are told the same, too.
    assert torch.equal(shown.wanted[0, 0], shown.wanted[0, 1])
    assert torch.equal(plain.seen[0], shown.seen[0])
    # Head: the teacher's, moved by what its group prefers, in a range of 7 decades.
    head = torch.tensor([float(preferred[number // 2, 0][1]) for number in range(8)])
    torch.testing.assert_close(shown.wanted[0, :, 2], plain.wanted[0, :, 2] + head / 3.5)


def test_the_pupil_plays_what_the_candidates_were_tried_on():
    given = grouped([(0.0, 0.0), (1.0, 0.0)])
    network = build_layer_network(given)
    tried, preferred = play(share(given))
    played, same = play(share(given, pupil=network, preferred=preferred))
    assert same is preferred
    assert torch.equal(tried.seen[0], played.seen[0])
    assert torch.equal(tried.wanted[0], played.wanted[0])
    # What comes after the last episode that was tried is not taught: no layer is present.
    longest = 1 + max(number for _, number in preferred)
    episodes = played.starts.cumsum(dim=0) - 1
    assert not played.seen[episodes >= longest].any()


def test_pupils_of_a_group_differ():
    given = grouped()
    played, _ = play(share(given, pupil=build_layer_network(given)))
    assert torch.equal(played.seen[0, 0], played.seen[0, 1])
    assert not torch.equal(played.seen[1, 0], played.seen[1, 1])


def test_shares_draw_what_one_process_would():
    given = grouped([(0.0, 0.0), (1.0, 0.0)], noise=0.0)
    whole, preferred = play(share(given))
    parts = [play(share(given, first=f, environments=4, episodes=4)) for f in (0, 4)]
    seen = torch.cat([part.seen[:3] for part, _ in parts], dim=1)
    torch.testing.assert_close(seen, whole.seen[:3])
    assert np.allclose(parts[1][1][0, 0], preferred[2, 0])


def test_imitation_by_two_processes_teaches_too():
    given = grouped([(0.0, 0.0), (0.5, 0.0)], epochs=60).model_copy(update={"workers": 2})
    told = imitate(build_layer_network(given), given)
    assert told["after"] < told["before"] / 4


def test_as_many_candidates_as_a_group_has_fine_tunes():
    given = grouped([(0.0, 0.0), (1.0, 0.0)])
    few = given.imitation.model_copy(update={"candidates": ((0.0, 0.0),)})
    with pytest.raises(ValueError, match=r"1 entries; give one for each of .*group=2"):
        imitate(build_layer_network(given), given.model_copy(update={"imitation": few}))
    # Found in the config already, before any work.
    with pytest.raises(ValueError, match=r"1 entries; give one for each of .*group=2"):
        grouped([(0.0, 0.0)])
