"""What each of two processes does in `test_controller_ranks.py`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor

import l2o
from l2o.signals.spec import SignalSpec

STEPS, INTERVAL = 8, 2


def policy() -> l2o.LearnedPolicy:
    """Return a recurrent policy that looks at every signal, and reacts to it."""
    spec = SignalSpec()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = l2o.LayerPolicyNetwork(len(spec), 1, hidden=8, recurrent=True)
    with torch.no_grad():
        network.head[-1].weight.mul_(30)
    return l2o.LearnedPolicy(network, l2o.LogRange(), spec, INTERVAL)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def batch(index: int, rank: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the part of a batch of 16 that falls to a process."""
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(16, 4, generator=generator)
    y = torch.randint(0, 3, (16,), generator=generator)
    return x.chunk(size)[rank], y.chunk(size)[rank]


def run(
    model: nn.Module, optimizer: Any, controller: Any, rank: int, size: int, steps: range
) -> list[Tensor]:
    """Train; return the observations that led to decisions."""
    seen = []
    for index in steps:
        x, y = batch(index, rank, size)
        loss = nn.functional.cross_entropy(model(x), y)
        controller.observe(loss=loss, val_loss=1.0 + index + rank)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (index + 1) % INTERVAL == 0:
            seen.append(controller.observation.clone())
    return seen


def begin(kind: str, mode: str, model: nn.Module) -> tuple[Any, Any, Any]:
    """Return the wrapped model, its optimizer and controller."""
    wrapped = model
    if kind == "ddp":
        wrapped = nn.parallel.DistributedDataParallel(model)
    if kind == "fsdp":
        whole = {model[0].bias}  # not sharded: a whole copy in each process
        for layer in (model[0], model[2], model[4]):
            fully_shard(layer, ignored_params=whole)
        fully_shard(model, ignored_params=whole)
        model[0].bias.register_post_accumulate_grad_hook(average)
    optimizer = torch.optim.AdamW(wrapped.parameters(), lr=0.01)
    controller = l2o.LRController(
        policy(), optimizer, wrapped, total_steps=STEPS, mode=mode, guard=None
    )
    return wrapped, optimizer, controller


def average(parameter: Tensor) -> None:
    """Do for a parameter that is not sharded what FSDP leaves to its user."""
    torch.distributed.all_reduce(parameter.grad)
    parameter.grad /= torch.distributed.get_world_size()


def whole(tensor: Tensor) -> Tensor:
    detached = tensor.detach()
    return detached.full_tensor() if isinstance(detached, DTensor) else detached.clone()


def train(kind: str, mode: str, rank: int, size: int) -> dict[str, Any]:
    """Train for all steps; go back to the middle by checkpoint, and train on again."""
    model = network()
    wrapped, optimizer, controller = begin(kind, mode, model)
    half = STEPS // 2 + 1
    seen = run(wrapped, optimizer, controller, rank, size, range(half))
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    seen += run(wrapped, optimizer, controller, rank, size, range(half, STEPS))
    multipliers = [decision.multipliers for decision in controller.history]
    weights = [whole(p) for p in model.parameters()]
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    run(wrapped, optimizer, controller, rank, size, range(half, STEPS))
    again = [whole(p) for p in model.parameters()]
    return {
        "observations": seen,
        "multipliers": multipliers,
        "weights": weights,
        "resumed_equal": all(map(torch.equal, weights, again)),
        "processes": controller.report()["processes"],
        "lrs": [group["lr"] for group in optimizer.param_groups],
    }


KINDS = [("ddp", "groups"), ("ddp", "update_scale"), ("fsdp", "groups"), ("fsdp", "update_scale")]


def work(rank: int, folder: str, size: int) -> None:
    """Train in every way, and leave the results in a file."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", size)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
    results = {kind: train(*kind, rank, size) for kind in KINDS}
    results["alone"] = alone(rank)
    results["by_hand"] = by_hand(rank, size)
    results["flat"] = flat()
    torch.save(results, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def alone(rank: int) -> dict[str, Any]:
    """Train a model of one's own in each process: nothing says that they belong together."""
    model = network()
    _, optimizer, controller = begin("alone", "groups", model)
    run(model, optimizer, controller, 0, 1, range(STEPS - 2 * rank))
    return {"processes": controller.report()["processes"], "steps": controller.steps}


def by_hand(rank: int, size: int) -> dict[str, Any]:
    """Train data-parallel without a wrapper: the process group has to be given."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(average)
    controller = l2o.LRController(
        policy(),
        optimizer,
        model,
        total_steps=STEPS,
        guard=None,
        process_group=torch.distributed.group.WORLD,
    )
    run(model, optimizer, controller, rank, size, range(STEPS))
    return {
        "processes": controller.report()["processes"],
        "multipliers": [decision.multipliers for decision in controller.history],
    }


def flat() -> str:
    """Return how a model with flattened parameters is refused."""
    model = FullyShardedDataParallel(network(), use_orig_params=True, device_id=torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        l2o.LRController(None, optimizer, model)
    except ValueError as error:
        return str(error)
    return "accepted"
