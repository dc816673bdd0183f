"""What a decision costs the link between host and device: one copy each way, and no other wait."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from far_device import DEVICE, FarDevice
from tape import TapedGraph
from test_stacked import LAYERS, advance, assert_equal, assert_scores_equal, in_double, pair
from test_stacked_env import ENVIRONMENT, assert_same
from tiny import TinyFamily

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.stacked import StackedFineTune, StackedFineTuneEnv, Start, graph
from l2o.envs.stacked.blocks import Blocks
from l2o.envs.stacked.graph import Graphs

PLAIN = {**ENVIRONMENT, "signal_dropout": 0.0}


def environment(count=3, steps=20, environment=PLAIN, **options):
    finetuning = {"interval": 5, **options.pop("finetuning", {})}
    return StackedFineTuneEnv(
        TinyFamily(steps=steps), finetuning, environment, num_envs=count, memory=1 << 30, **options
    )


@pytest.fixture
def far(monkeypatch):
    """A device without a driver; see far_device."""
    monkeypatch.setattr("l2o.envs.fine_tuning.inner_loop.resolve_device", lambda name: DEVICE)
    with FarDevice() as device:
        yield device


@pytest.mark.parametrize("optimizer", ["sgd", "sgd_lr_momentum", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("chunk", [2, 3])
def test_a_decision_is_one_copy_each_way(far, optimizer, chunk):
    env = environment(finetuning={"optimizer": {"name": optimizer}}, chunk=chunk)
    assert env.runs.device == DEVICE
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(3):
        far.counts.clear()
        env.step(env.action_space.sample())
        assert far.counts == {"to device": 1, "to host": 1}


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("high", [0.1, 1e30])
def test_numbers_are_those_of_the_host(monkeypatch, mode, high):
    """Whatever ends, diverges and begins anew; windows in which runs end, too."""
    settings = {**PLAIN, "base_lr": (0.01, high)}
    near = environment(6, 12, settings, autoreset_mode=mode)
    monkeypatch.setattr("l2o.envs.fine_tuning.inner_loop.resolve_device", lambda name: DEVICE)
    expected = [near.reset(seed=1)]
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (7, 6, 4)).astype(np.float32)
    expected += [near.step(action) for action in actions]
    with FarDevice() as device:
        far = environment(6, 12, settings, autoreset_mode=mode, chunk=4)
        got = [far.reset(seed=1)]
        for action in actions:
            device.counts.clear()
            got.append(far.step(action))
            # Only beginning anew takes more: data goes to the device, and results come once more.
            if not got[-1][4].get("_task_seed", np.zeros(1)).any():
                assert device.counts == {"to device": 1, "to host": 1}
            assert device.counts["to host"] <= 2
            assert not device.counts["waits"]
    for one, other in zip(got, expected, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    ended = np.stack([row[2] for row in expected[1:]])
    assert ended.any()
    assert (ended[:2].any()) == (high > 1)


@pytest.mark.parametrize(
    ("use", "found"),
    [
        (lambda x: x.sum().item(), "waits"),
        (lambda x: bool((x > 0).any()), "waits"),
        (lambda x: x[x > 0], "waits"),
        (lambda x: x.nonzero(), "waits"),
        (lambda x: x.cpu(), "to host"),
        (lambda x: torch.ones(3).to(x.device), "to device"),
        (lambda x: x[torch.tensor([0, 1])], "to device"),
    ],
)
def test_the_far_device_notices(use, found):
    with FarDevice() as device:
        x = torch.ones(3, device=DEVICE)
        assert not device.counts
        use(x)
        assert device.counts == {found: 1}


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[[0, 1]],
        lambda x: x + torch.ones(3),
        lambda x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
    ],
)
def test_the_far_device_refuses(use):
    with FarDevice():
        x = torch.ones(3, device=DEVICE)
        with pytest.raises((AssertionError, RuntimeError)):
            use(x)


@pytest.fixture
def taped(monkeypatch):
    """Everything is captured, by a stand-in for CUDA graphs; see tape."""
    made = []

    class Noted(TapedGraph):
        def __init__(self, compute, inputs, shared):
            super().__init__(compute, inputs, shared)
            made.append(self)

    init = Graphs.__init__

    def capturing(self, device, state, shared=None):
        init(self, device, state, shared or object())
        self.capturing = True

    monkeypatch.setattr(graph, "Graph", Noted)
    monkeypatch.setattr(Graphs, "__init__", capturing)
    return made


@pytest.mark.parametrize("optimizer", ["sgd", "sgd_lr_momentum", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_captured_computations_give_the_same_numbers(taped, monkeypatch, optimizer, mode):
    """Whole windows, windows in which runs end, divergence, autoreset, evaluation, validation."""
    settings = {**PLAIN, "base_lr": (0.01, 1e10)}
    finetuning = {"optimizer": {"name": optimizer}}
    captured = environment(5, 12, settings, finetuning=finetuning, autoreset_mode=mode)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (8, 5, 4)).astype(np.float32)
    got = [captured.reset(seed=1), *[captured.step(action) for action in actions]]
    assert len(taped) == 5  # window, step, two splits and the gathering
    monkeypatch.undo()
    plain = environment(5, 12, settings, finetuning=finetuning, autoreset_mode=mode)
    expected = [plain.reset(seed=1), *[plain.step(action) for action in actions]]
    for one, other in zip(got, expected, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)


def test_what_cannot_be_captured_runs_as_it_is(monkeypatch):
    """A failed capture leaves everything as it was."""

    class Failing:
        def __init__(self, compute, inputs, shared):
            compute(*inputs)
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph, "Graph", Failing)
    total = torch.zeros(2)
    graphs = Graphs(torch.device("cpu"), lambda: [total], object())
    graphs.capturing = True
    for _ in range(2):
        graphs.run("add", total.add_, torch.ones(2))
    assert total.tolist() == [2.0, 2.0]
    assert "not permitted" in graphs.reasons["add"]
    assert "add" not in graphs


def test_an_error_of_the_computation_itself_is_raised(monkeypatch):
    class Broken:
        def __init__(self, compute, inputs, shared):
            compute(*inputs)
            raise TypeError("no")

    monkeypatch.setattr(graph, "Graph", Broken)
    total = torch.zeros(2)
    graphs = Graphs(torch.device("cpu"), lambda: [total], object())
    graphs.capturing = True
    with pytest.raises(TypeError):
        graphs.run("add", total.add_, torch.ones(2))
    assert total.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("substitute", [True, False])
def test_those_that_wait_stay_as_they_are_in_captured_windows(taped, substitute):
    starts = [Start(in_double(TinyFamily(steps=28).sample(n)), n, 0.02) for n in range(3)]
    config = FineTuning(interval=5)
    runs, singles = pair(starts, config, validate=True, substitute=substitute)
    generator = torch.Generator().manual_seed(0)
    for turn in range(9):
        only = np.array([turn % 2 == 0, turn % 3 == 0, True])
        advance(runs, singles, torch.rand(3, LAYERS, generator=generator) * 2, only)
        assert_equal(runs, singles, 1e-10)
    assert len(taped) == 3  # window, step, gathering


def test_examples_of_a_larger_task_make_room(taped):
    """Evaluation data that moves is read where it now lies, in captured computations, too."""
    families = [TinyFamily(steps=20, examples=size) for size in (16, 16, 40)]
    tasks = [in_double(family.sample(n)) for n, family in enumerate(families)]
    larger = dataclasses.replace(tasks[1], target_test=in_double(blob_task()).target_test)
    runs, singles = pair([Start(task, 0, 0.02) for task in tasks], FineTuning(interval=5))
    for turn in range(2):
        advance(runs, singles, torch.ones(3, LAYERS))
        assert_scores_equal(runs, singles, 1e-10)
        if not turn:
            runs.reset({1: Start(larger, 5, 0.01)})
            options = {"base_lr": 0.01, "seed": 5, "signals": runs.spec}
            singles[1] = FineTune(larger, FineTuning(interval=5), **options)


def blob_task():
    task = TinyFamily().sample(9)
    return dataclasses.replace(task, target_test=task.source_train)


def test_chunks_come_and_go(taped):
    """A task that fits no vacant place gets a chunk of its own, and results their new order."""
    config = FineTuning(interval=5)
    starts = [Start(in_double(TinyFamily(steps=20).sample(n)), n, 0.02) for n in range(4)]
    runs, singles = pair(starts, config, chunk=2)
    advance(runs, singles, torch.ones(4, LAYERS))
    large = Start(in_double(TinyFamily(steps=20, examples=90).sample(5)), 5, 0.01)
    runs.reset({2: large})
    singles[2] = FineTune(large.task, config, base_lr=0.01, seed=5, signals=runs.spec)
    assert sorted(runs._placement.run_of.tolist()) == [0, 1, 2, 3, 4]  # 4: vacant
    for _ in range(2):
        advance(runs, singles, torch.full((4, LAYERS), 0.5))
        assert_equal(runs, singles, 1e-10)
    assert_scores_equal(runs, singles, 1e-10)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_decisions_on_cuda_never_wait_but_for_their_results(mode):
    """Any wait but the one on an event is an error; numbers are those of the CPU."""
    on = {"cuda": environment(finetuning={"device": "cuda"}, autoreset_mode=mode)}
    on["cpu"] = environment(autoreset_mode=mode)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (6, 3, 4)).astype(np.float32)
    for env in on.values():
        env.reset(seed=0)
    for turn, action in enumerate(actions):
        quiet = 0 < turn < 3  # the first captures, the fourth ends episodes
        torch.cuda.set_sync_debug_mode("error" if quiet else "default")
        try:
            mine = on["cuda"].step(action)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for one, other in zip(mine, on["cpu"].step(action), strict=True):
            assert_same(one, other)
    assert not on["cuda"].runs.not_captured()
    assert all("window" in trainer.graphs for trainer in on["cuda"].runs._placement.trainers)


@needs_cuda
def test_a_failed_capture_on_cuda_leaves_stream_and_state_alone():
    device = torch.device("cuda")
    total = torch.zeros(2, device=device)
    graphs = Graphs(device, lambda: [total])
    stream = torch.cuda.current_stream()
    for _ in range(2):
        graphs.run("reads", lambda x: total.add_(x.sum().item()), torch.ones(2, device=device))
        assert torch.cuda.current_stream() == stream
    assert total.tolist() == [4.0, 4.0]
    assert "reads" in graphs.reasons
    for number in (1.0, 2.0):
        graphs.run("adds", total.add_, torch.full((2,), number, device=device))
    assert total.tolist() == [7.0, 7.0]
    assert "adds" in graphs


@needs_cuda
def test_graphs_on_cuda_share_scratch_memory_but_no_results():
    device = torch.device("cuda")
    results = torch.zeros(3, device=device)
    graphs = Graphs(device, lambda: [results])

    def cube(index, x):
        results[index].copy_(((x * 2) * (x * 3) * (x * 4)).sum())

    for number in (1.0, 2.0):
        for index in (0, 1, 2):
            x = torch.full((1000,), number + index, device=device)
            graphs.run(index, partial(cube, index), x)
        expected = [24e3 * (number + index) ** 3 for index in range(3)]
        assert results.tolist() == pytest.approx(expected)
    assert all(index in graphs for index in range(3))


def test_a_task_that_is_there_is_not_copied_again(far):
    """Beginning anew with the same tasks brings weights and batch orders only."""
    config = FineTuning(interval=5)
    tasks = [TinyFamily(steps=10).sample(n) for n in range(3)]
    runs = StackedFineTune(config, 3, LAYERS)
    copied = []
    for turn in range(3):
        starts = {n: Start(tasks[n if turn < 2 else 0], seed=turn) for n in range(3)}
        far.counts.clear()
        runs.reset(starts)
        copied.append(far.counts["to device"])
    # Images, labels and teacher of three tasks.
    assert copied[0] - copied[1] >= 9
    assert copied[2] == copied[1]


def test_blocks_are_shared_and_the_oldest_unused_goes_first():
    tasks = [TinyFamily().sample(n) for n in range(4)]
    blocks = Blocks(3)
    given = [blocks.place(user, tasks[0]) for user in range(3)]
    assert given == [(0, True), (0, False), (0, False)]
    assert blocks.place(1, tasks[1]) == (1, True)
    assert blocks.place(2, tasks[2]) == (2, True)
    assert blocks.place(1, tasks[0]) == (0, False)
    assert blocks.place(0, tasks[1]) == (1, False)  # kept, though nobody used it
    assert blocks.place(0, tasks[3]) == (1, True)  # task 1 goes: of the unused, the only one
    assert blocks.place(0, tasks[1]) == (1, True)
    assert blocks.place(1, tasks[1]) == (1, False)
    assert blocks.place(2, tasks[3]) == (2, True)  # block 0 was given out after block 2


def test_a_new_task_in_an_old_ones_place_in_memory_is_another_task():
    blocks = Blocks(2)
    seen = [blocks.place(0, TinyFamily().sample(n))[1] for n in range(50)]
    assert all(seen)
