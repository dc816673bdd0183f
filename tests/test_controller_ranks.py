"""Two processes decide as one: data-parallel and fully sharded training over gloo."""

import pytest
import ranks_worker
import torch

SIZE = 2


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(ranks_worker.work, (str(folder), SIZE), nprocs=SIZE)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


@pytest.mark.parametrize("kind", ranks_worker.KINDS, ids="-".join)
def test_processes_decide_the_same_as_one(results, kind):
    first, second = (result[kind] for result in results)
    assert first["processes"] == second["processes"] == SIZE
    assert first["multipliers"] == second["multipliers"]
    assert all(map(torch.equal, first["weights"], second["weights"]))
    assert first["resumed_equal"]
    assert second["resumed_equal"]

    model = ranks_worker.network()
    _, optimizer, controller = ranks_worker.begin("alone", kind[1], model)
    seen = []
    for index in range(ranks_worker.STEPS):
        x, y = ranks_worker.batch(index, 0, 1)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        controller.observe(loss=loss, val_loss=1.0 + index + 0.5)  # the mean of both processes
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (index + 1) % ranks_worker.INTERVAL == 0:
            seen.append(controller.observation.clone())
    for theirs in (first, second):
        torch.testing.assert_close(
            torch.stack(theirs["observations"]), torch.stack(seen), rtol=1e-3, atol=1e-4
        )
    one = torch.tensor([decision.multipliers for decision in controller.history])
    torch.testing.assert_close(torch.tensor(first["multipliers"]), one, rtol=1e-2, atol=1e-4)
    assert one.std(dim=0).min() > 0
    for mine, wanted in zip(first["weights"], model.parameters()):
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-5)
    assert first["lrs"] == [0.01]


def test_unrelated_processes_are_left_alone(results):
    assert [result["alone"] for result in results] == [
        {"processes": 1, "steps": 8},
        {"processes": 1, "steps": 6},
    ]


def test_a_process_group_may_be_given(results):
    first, second = (result["by_hand"] for result in results)
    assert first == second
    assert first["processes"] == SIZE
    wanted = torch.tensor(results[0]["ddp", "groups"]["multipliers"])
    torch.testing.assert_close(torch.tensor(first["multipliers"]), wanted, rtol=1e-3, atol=1e-4)


def test_flattened_parameters_are_refused_with_the_remedy(results):
    assert all("shard the model with torch.distributed" in result["flat"] for result in results)
