"""What workers of executors do in tests: importable by name, in any process, and light."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time

from l2o.envs.runtime.executor import EXECUTORS, Processes, in_order


class NoPieces:
    """A source that has nothing."""

    def take(self, kind, count):
        return "", []


class Kinds:
    """A source of pieces in kinds; notes what was taken."""

    def __init__(self, **kinds):
        self.left = {kind: list(pieces) for kind, pieces in kinds.items()}
        self.taken = []

    def take(self, kind, count):
        if kind is None:
            kind = next((name for name, left in self.left.items() if left), "")
        left = self.left.get(kind, [])
        given, left[:count] = left[:count], []
        self.taken.append((kind, count, len(given)))
        return kind, given


def by_threes(take):
    """Take up to three pieces of a kind at a time; yield the kind with each, and their number."""
    while True:
        kind, pieces = take(None, 1)
        if not pieces:
            return
        while pieces:
            pieces += take(kind, 3 - len(pieces))[1]
            for piece in pieces:
                yield kind, piece, len(pieces)
            _, pieces = take(kind, 3)


def kill_own_process(take):
    os.kill(os.getpid(), signal.SIGKILL)
    yield from take(None, 1)[1]


def double(value):
    return 2 * value


def process_of(value):
    return value, os.getpid()


def wait_or_touch(given):
    """Wait until a file is there, or make it."""
    what, path = given
    if what == "touch":
        path.touch()
    while not path.exists():
        time.sleep(0.01)
    return what


def meet(given):
    """Return once two are at work; which process this is."""
    folder, name = given
    (folder / str(name)).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()


def slowly(value):
    """Take a tenth of a second; tell which process this is, and on which node of Ray's."""
    import ray

    time.sleep(0.1)
    return value, os.getpid(), ray.get_runtime_context().get_node_id()


def node_and_file(path):
    """Which node of Ray's this is, and what it has in its cache folder."""
    import ray

    from l2o.envs.runtime.cache_folder import cache_folder

    place = cache_folder() / path
    return ray.get_runtime_context().get_node_id(), place.read_text() if place.exists() else ""


def refuse_three(value):
    if value == 3:
        raise ValueError(f"{value} is refused")
    return value


class Unportable(Exception):
    """Pickles, but does not come back."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def fail_unportably(value):
    raise Unportable(value, "more")


class Closed:
    """Cannot be pickled."""

    def __reduce__(self):
        raise TypeError("not this one")


def give_what_cannot_be_sent(value):
    return Closed()


def fail_in_a_library(value):
    import numpy as np

    return np.zeros(3).reshape(2, value)


def die_at_three(value):
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_at_one(value):
    if value == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def leave_at_three(value):
    if value == 3:
        sys.exit(7)
    return value


def hit_own_process(value):
    """Ctrl-C that reaches a worker."""
    os.kill(os.getpid(), signal.SIGINT)
    return value


def facts_of_worker(value):
    import torch
    from threadpoolctl import threadpool_info

    threads = {each["num_threads"] for each in threadpool_info()}
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "L2O_SET_HERE")
    environment = {name: os.environ.get(name) for name in names}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return torch.get_num_threads(), threads, environment, signal.SIGINT in blocked


def is_loaded(module):
    return module in sys.modules


def flip(array):
    return array[::-1].copy()


def grow(tensor):
    tensor += 1
    return tensor


def map_inside(value):
    with Processes(2) as inner:
        return list(in_order(inner.map(double, range(value))))


class Counter:
    """State between calls."""

    def __init__(self, start):
        if start < 0:
            raise ValueError(f"start {start} is negative; use 0 or more")
        self.value = start

    def add(self, number):
        self.value += number
        return self.value

    def process(self):
        return os.getpid()

    def threads(self):
        import torch

        return torch.get_num_threads()

    def echo(self, value):
        return value

    def fail(self):
        raise KeyError("of an actor")

    def meet(self, *given):
        return meet(given)

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


def state():
    """What a library call must leave as it found it.

    But for what libraries do once when they are first used: torch's compiler notes its cache in the
    environment, and tqdm has a thread that watches its bars.
    """
    import torch

    kept = {name: value for name, value in os.environ.items() if "TORCHINDUCTOR" not in name}
    return {
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "handlers": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "environment": kept,
        "start": multiprocessing.get_start_method(allow_none=True),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "children": multiprocessing.active_children(),
        "running": {each.name for each in threading.enumerate()} - {"tqdm_monitor"},
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def print_when_done(kind):
    """The life of a script that a Ctrl-C or a SIGKILL ends: say what has come."""
    with EXECUTORS[kind](2) as executor, contextlib.ExitStack() as stack:
        if kind == "processes":
            stack.callback(print, "left", flush=True)
        executor.spawn(Nested).call("begin").result()
        for number, value in executor.map(first_quick_then_slow, range(8)):
            print("came", number, value, flush=True)


class Nested:
    """An actor with a worker of its own."""

    def begin(self):
        self.executor = Processes(1)
        return list(self.executor.map(abs, [-1]))


def first_quick_then_slow(value):
    time.sleep(0.0 if value < 3 else 3600.0)
    return value


def forget(kind):
    """End a program without closing what it began."""
    executor = EXECUTORS[kind](1)
    results = executor.map(double, [1, 2])
    print(next(results), flush=True)
    executor.spawn(Nested).call("begin")


if __name__ == "__main__":
    {"print": print_when_done, "forget": forget}[sys.argv[1]](sys.argv[2])
