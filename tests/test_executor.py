"""The contract of executors, over the table: in real processes, with real deaths."""

import itertools
import multiprocessing
import os
import signal
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from at_work import (
    Counter,
    Kinds,
    NoPieces,
    by_threes,
    die_at_three,
    double,
    facts_of_worker,
    fail_in_a_library,
    fail_unportably,
    flip,
    give_what_cannot_be_sent,
    grow,
    hit_own_process,
    is_loaded,
    leave_at_three,
    map_inside,
    meet,
    process_of,
    refuse_three,
    wait_or_touch,
)

from l2o.envs.runtime.executor import (
    EXECUTORS,
    Here,
    Processes,
    RemoteError,
    WorkerDiedError,
    gather,
    in_order,
)
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.extras import installed
from l2o.service.outcomes import raised_by_us

TESTS = Path(__file__).parent


FEW = {"ray": {"replacements": 1}}
"""Options that spare a test time."""
FOR_RAY = pytest.mark.skipif(not installed("ray"), reason="Ray is not installed: l2o[ray]")
KINDS = [pytest.param(kind, marks=FOR_RAY if kind == "ray" else ()) for kind in EXECUTORS]
APART = [each for each in KINDS if each.values != ("here",)]
"""Those whose workers are other processes."""


def make(kind):
    with EXECUTORS[kind](2, **FEW.get(kind, {})) as executor:
        yield executor


def ready(request):
    """See to it that there is what an executor runs on."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")


@pytest.fixture(params=KINDS, scope="module")
def executor(request):
    ready(request)
    yield from make(request.param)


@pytest.fixture(params=APART, scope="module")
def apart(request):
    ready(request)
    yield from make(request.param)


# --- independent pieces


def test_each_item_is_run_once_and_tagged(executor):
    results = dict(executor.map(double, range(40)))
    assert results == {number: 2 * number for number in range(40)}
    assert list(in_order(executor.map(double, "ab"))) == ["aa", "bb"]
    assert list(executor.map(double, [])) == []


def test_thousands_of_small_items(executor):
    came = list(executor.map(double, range(3000)))
    assert len(came) == 3000
    assert sorted(came) == [(number, 2 * number) for number in range(3000)]


def test_results_come_as_they_are_ready(apart, tmp_path):
    items = [("wait", tmp_path / "file"), ("touch", tmp_path / "file")]
    assert list(apart.map(wait_or_touch, items)) == [(1, "touch"), (0, "wait")]
    assert list(in_order([(1, "touch"), (0, "wait")])) == ["wait", "touch"]


def test_work_is_shared(apart, tmp_path):
    processes = {process for _, process in apart.map(meet, [(tmp_path, 0), (tmp_path, 1)])}
    assert len(processes - {os.getpid()}) == 2


def test_items_are_looked_at_as_they_are_needed(executor):
    seen = []
    results = executor.map(double, (seen.append(n) or n for n in itertools.count()))
    assert seen == []
    for _ in range(5):
        next(results)
    time.sleep(0.3)
    assert len(seen) <= 5 + 2 * executor.workers
    results.close()
    assert dict(executor.map(double, [1])) == {0: 2}


def test_large_arrays_there_and_back(executor):
    arrays = [np.arange(3_000_000, dtype=np.float64) + number for number in range(4)]
    for number, flipped in executor.map(flip, arrays):
        np.testing.assert_array_equal(flipped, arrays[number][::-1])


def test_tensors_travel_by_value(apart):
    mine = torch.zeros(1000)
    [(_, theirs)] = apart.map(grow, [mine])
    assert theirs.sum() == 1000
    assert mine.sum() == 0


def test_kinds_are_handed_out_in_batches(executor):
    source = Kinds(a=range(10), b=range(10, 14), c=[])
    results = list(executor.share(by_threes, source))
    assert sorted(piece for _, piece, _ in results) == list(range(14))
    assert all(kind == ("a" if piece < 10 else "b") for kind, piece, _ in results)
    assert {count for *_, count in results} >= {3}
    assert list(executor.share(by_threes, NoPieces())) == []


# --- what goes wrong


def collect(results, came):
    for _, value in results:
        came.append(value)


def test_an_exception_keeps_its_type_and_traceback(executor):
    came = []
    with pytest.raises(ValueError, match="3 is refused") as caught:
        collect(executor.map(refuse_three, [0, 1, 2, 3]), came)
    text = "".join(traceback.format_exception(caught.value))
    assert "in refuse_three" in text
    assert 'raise ValueError(f"{value} is refused")' in text
    assert dict(executor.map(double, [4])) == {0: 8}, "it goes on"


def test_what_was_finished_comes_before_the_exception(executor):
    came = []
    with pytest.raises(ValueError, match="refused"):
        collect(executor.map(refuse_three, [0, 1, 2, 3, *range(4, 200)]), came)
    assert {0, 1, 2} <= set(came)
    assert len(came) < 100


def test_an_error_of_the_items_is_the_callers(executor):
    def items():
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(executor.map(double, items()))


def test_errors_tell_ours_from_a_librarys(executor):
    """The command line shows a message for the first and a traceback for the second."""
    with pytest.raises(ValueError, match="reshape") as caught:
        list(executor.map(fail_in_a_library, [2]))
    assert not raised_by_us(caught.value)
    with pytest.raises(ValueError, match="workers must be 1") as caught:
        list(executor.map(Processes, [0]))
    assert raised_by_us(caught.value)


def test_what_pickle_cannot_carry_is_named(apart):
    with pytest.raises(RemoteError, match=r"at_work\.Unportable: 1 and more") as caught:
        list(apart.map(fail_unportably, [1]))
    assert "in fail_unportably" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(TypeError, match=r"type \(int, Closed\) cannot be sent.*not this one"):
        list(apart.map(give_what_cannot_be_sent, [1]))
    if isinstance(apart, Processes):  # Ray takes functions by value
        with pytest.raises(TypeError, match=r"function cannot be sent.*executor: here"):
            list(apart.map(lambda value: value, [1]))
    with pytest.raises(TypeError, match="piece of work cannot be sent"):
        list(apart.map(double, [lambda: None]))
    assert dict(apart.map(double, [4])) == {0: 8}


def test_here_takes_what_cannot_be_pickled():
    with Here() as executor:
        assert list(executor.map(lambda value: value + 1, [1])) == [(0, 2)]


def test_a_killed_worker_is_one_clear_error(apart):
    came = []
    with pytest.raises(WorkerDiedError) as caught:
        collect(apart.map(die_at_three, [0, 1, 2, 3]), came)
    said = str(caught.value)
    assert ("killed by SIGKILL" if isinstance(apart, Processes) else "killed, or crashed") in said
    assert "(3, 3)" in said
    assert "use fewer workers" in said
    assert "run the same command again" in said
    assert "\n" not in said
    assert sorted(came) == [0, 1, 2]
    assert dict(apart.map(double, [4])) == {0: 8}, "with new workers"


def test_a_worker_that_leaves_tells_its_exit_code(apart):
    with pytest.raises(WorkerDiedError, match=r"exit code 7.*stderr"):
        list(apart.map(leave_at_three, [3]))


def test_one_killed_at_rest_is_replaced(apart):
    ((_, (_, victim)),) = apart.map(process_of, [0])
    os.kill(victim, signal.SIGKILL)
    victims = [each for each in multiprocessing.active_children() if each.pid == victim]
    for each in victims:
        each.join(10)
    assert dict(apart.map(double, range(10))) == {number: 2 * number for number in range(10)}


def test_workers_are_deaf_to_ctrl_c(apart):
    assert list(in_order(apart.map(hit_own_process, range(6)))) == list(range(6))


def test_maps_of_one_executor_do_not_mix(apart):
    first = apart.map(double, range(8))
    next(first)
    with pytest.raises(RuntimeError, match="busy with another map"):
        next(apart.map(double, [1]))
    assert len(list(first)) == 7
    assert dict(apart.map(double, [1])) == {0: 2}


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_use_is_refused(kind):
    with pytest.raises(ValueError, match="workers must be 1 or more, got 0"):
        EXECUTORS[kind](0)
    executor = EXECUTORS[kind](1)
    executor.close()
    executor.close()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        next(executor.map(double, [1]))
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        executor.spawn(partial(Counter, 0))


def test_executors_by_name():
    assert isinstance(choose_executor("processes", 2), Processes)
    assert isinstance(choose_executor("processes", 1), Here)
    assert isinstance(choose_executor("here", 2), Here)
    with pytest.raises(ValueError, match="Did you mean 'processes'"):
        choose_executor("proceses", 2)


# --- actors


def test_actors_keep_their_state_and_order(executor):
    actors = [executor.spawn(partial(Counter, start)) for start in (0, 100)]
    pending = [actor.call("add", number) for number in range(1, 5) for actor in actors]
    assert gather(pending) == [1, 101, 3, 103, 6, 106, 10, 110]
    assert pending[0].result() == 1
    later, earlier = actors[0].call("add", 1), actors[0].call("add", 1)
    assert earlier.result() == 12
    assert later.result() == 11
    for actor in actors:
        actor.close()
        actor.close()
    with pytest.raises(RuntimeError, match="closed; spawn a new one"):
        actors[0].call("add", 1)


def test_actors_are_apart_and_at_work_at_once(apart, tmp_path):
    actors = [apart.spawn(partial(Counter, 0)) for _ in range(2)]
    processes = gather([actor.call("meet", tmp_path, n) for n, actor in enumerate(actors)])
    assert len({os.getpid(), *processes}) == 3
    for actor in actors:
        actor.close()


def test_large_calls_in_a_row_do_not_lock(executor):
    actor = executor.spawn(partial(Counter, 0))
    arrays = [np.full(1_000_000, number) for number in range(6)]
    for array, echo in zip(arrays, gather([actor.call("echo", each) for each in arrays])):
        np.testing.assert_array_equal(array, echo)
    actor.close()


def test_errors_of_actors(executor):
    actor = executor.spawn(partial(Counter, 1))
    failed, later = actor.call("fail"), actor.call("add", 1)
    with pytest.raises(KeyError, match="of an actor") as caught:
        failed.result()
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    assert later.result() == 2
    with pytest.raises(AttributeError, match="subtract"):
        actor.call("subtract", 1).result()
    actor.close()
    unmade = executor.spawn(partial(Counter, -1))
    for _ in range(2):
        with pytest.raises(ValueError, match="start -1 is negative"):
            unmade.call("add", 1).result()
    unmade.close()


def test_an_actor_that_dies_says_at_what(apart):
    actor = apart.spawn(partial(Counter, 0))
    assert actor.call("add", 1).result() == 1
    pending = [actor.call("die"), actor.call("add", 1)]
    for each in pending:
        with pytest.raises(WorkerDiedError, match=r"killed.*\) at die\(\)"):
            each.result()
    with pytest.raises(WorkerDiedError):
        actor.call("add", 1).result()
    actor.close()


# --- what workers are


def test_workers_load_what_is_needed_on_one_thread_in_this_environment(apart, monkeypatch):
    monkeypatch.setenv("L2O_SET_HERE", "now")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    heavy = ["torch", "sklearn", "stable_baselines3"]
    with type(apart)(1) as executor:
        assert dict(executor.map(is_loaded, heavy)) == dict.fromkeys(range(3), False)
        [(_, (threads, pools, environment, blocked))] = executor.map(facts_of_worker, [0])
    assert threads == 1
    assert pools <= {1}
    ones = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert environment == {**ones, "L2O_SET_HERE": "now"}
    assert not blocked


def test_one_thread_here_too_and_only_meanwhile():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Here() as executor:
            for _, threads in executor.map(lambda _: torch.get_num_threads(), range(3)):
                assert (threads, torch.get_num_threads()) == (1, 3)
            assert executor.spawn(partial(Counter, 0)).call("threads").result() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_worker_may_have_workers(executor):
    assert list(in_order(executor.map(map_inside, [3]))) == [[0, 2, 4]]
