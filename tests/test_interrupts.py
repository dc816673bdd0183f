"""Ctrl-C is noted anywhere and raised where nothing is held."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from at_work import NoPieces, kill_own_process

from l2o.envs.runtime.executor import Processes, WorkerDiedError, in_order
from l2o.envs.runtime.interrupts import check_interrupts, deferred_interrupts

TESTS = Path(__file__).parent


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_raised_where_asked_and_only_once():
    reached = False
    with deferred_interrupts():
        ctrl_c()
        reached = True
        with pytest.raises(KeyboardInterrupt):
            check_interrupts()
        check_interrupts()
    assert reached


def test_the_second_is_raised_at_once():
    with deferred_interrupts():
        ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            check_interrupts()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()


def test_the_end_raises_what_nobody_asked_for():
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        ctrl_c()
    check_interrupts()


def test_an_earlier_one_is_forgotten():
    with pytest.raises(ValueError, match="three"), deferred_interrupts():
        int(f"three{ctrl_c()}")
    with deferred_interrupts():
        check_interrupts()


def test_what_breaks_after_it_is_its_doing():
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        _break_after(ctrl_c)
    with pytest.raises(ConnectionResetError), deferred_interrupts():
        _break_after(check_interrupts)
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        _interrupt_a_starting_worker(ctrl_c)
    with pytest.raises(WorkerDiedError), deferred_interrupts():
        _interrupt_a_starting_worker(check_interrupts)


def _break_after(act):
    act()
    raise ConnectionResetError


def _interrupt_a_starting_worker(act):
    with Processes(1) as executor:
        results = executor.share(kill_own_process, NoPieces())
        act()
        list(results)


def test_nested_blocks_are_one():
    inner = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        inner.append(_note_inside())
    assert inner == [True]


def _note_inside():
    with deferred_interrupts():
        ctrl_c()
    return True


def test_other_handlers_stay():
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    with deferred_interrupts():
        ctrl_c()
        check_interrupts()
    assert seen == [1]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_threads_may_use_it():
    def use():
        with deferred_interrupts():
            check_interrupts()
        used.append(True)

    used = []
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert used


def test_results_come_in_order():
    with Processes(2) as executor:
        assert list(in_order(executor.map(abs, [-3, 2, -1, 0]))) == [3, 2, 1, 0]


def test_errors_of_workers_are_raised():
    with pytest.raises(ValueError, match="three"), Processes(1) as executor:
        list(executor.map(int, ["1", "three"]))


def test_an_executor_ends_in_the_midst_of_work():
    processes = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        _sleep_for_an_hour(processes)
    assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)


def _sleep_for_an_hour(processes):
    with Processes(2) as executor:
        list(executor.map(abs, [-1, -2]))
        processes += multiprocessing.active_children()
        ctrl_c()
        list(executor.map(time.sleep, [3600] * 8))


def test_an_executor_ends_while_its_workers_start():
    before = set(multiprocessing.active_children())
    executor = Processes(2)
    actor = executor.spawn(partial(time.sleep, 3600))
    processes = set(multiprocessing.active_children()) - before
    assert len(processes) == 1
    executor.close()
    assert not any(process.is_alive() for process in processes)
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        actor.call("real").result()


# Ctrl-C between the acquisition of a lock and the `with` that releases it, in TensorBoard's queue:
# raised there, the lock stays taken, and closing the writer never returns.
HELD = """
import os, signal, sys, threading
from test_train import config
from l2o.policies.common.metrics import MetricsLog
from l2o.policies.train import train

enter, write, armed = threading.Condition.__enter__, MetricsLog.write, []

def interrupted_enter(self):
    entered = enter(self)
    if armed and threading.current_thread() is threading.main_thread():
        armed.clear()
        os.kill(os.getpid(), signal.SIGINT)
    return entered

def armed_write(self, row):
    armed.append(True)
    write(self, row)
    assert not armed, "no lock was taken"

threading.Condition.__enter__, MetricsLog.write = interrupted_enter, armed_write
if __name__ == "__main__":
    train(config(), sys.argv[1])
"""


def test_locks_of_libraries_are_not_left_taken(tmp_path):
    (tmp_path / "script.py").write_text(HELD)
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert ended.returncode != 0
    assert ended.stderr.decode().strip().splitlines()[-1] == "KeyboardInterrupt"
    assert (tmp_path / "run" / "checkpoints" / "latest.pt").exists()
