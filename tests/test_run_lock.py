"""One run per folder: who is refused, who takes over, what is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from l2o.envs.runtime.run_lock import LOCK, OWNER, FolderInUseError, owner_of, run_lock
from l2o.service.cli import app

# A line is one write: unbuffered, print() makes several, and those of two processes mix.
HOLD = """
import multiprocessing, os, sys, time
from l2o.envs.runtime.run_lock import run_lock
with run_lock(sys.argv[1]):
    if "fork" in sys.argv and os.fork() == 0:
        os.write(1, b"child %d\\n" % os.getpid())
        time.sleep(60)
    os.write(1, b"held\\n")
    time.sleep(60)
"""


@contextmanager
def held(folder, *words):
    """Have another process hold a folder."""
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(folder), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = {process.stdout.readline().split()[0] for _ in range(2 if words else 1)}
        assert "held" in lines
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A folder that another process holds, and that process."""
    folder = tmp_path_factory.mktemp("busy") / "run"
    with held(folder) as process:
        yield folder, process


def test_the_second_is_refused_and_told_which_is_the_first(busy):
    folder, first = busy
    with pytest.raises(FolderInUseError) as caught, run_lock(folder):
        pass
    said = str(caught.value)
    assert f"{folder} (process {first.pid} on " in said
    assert "--out" in said
    assert owner_of(folder)["pid"] == first.pid


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "demo", "--out"],
        ["train", "demo", "--resume", "--out"],
        ["finetune", "digits", "--out"],
        ["benchmark", "demo", "--out"],
        ["benchmark", "zero-shot", "--out"],
        ["report"],
    ],
    ids=" ".join,
)
def test_every_command_is_refused(arguments, busy):
    folder, first = busy
    before = sorted(folder.iterdir())
    result = CliRunner().invoke(app, [*arguments, str(folder)], prog_name="l2o")
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 1
    assert f"process {first.pid}" in result.stderr
    assert sorted(folder.iterdir()) == before


def test_facts_that_cannot_be_read_are_left_out(busy):
    folder, _ = busy
    facts = (folder / OWNER).read_text()
    (folder / OWNER).write_text("{")
    try:
        with pytest.raises(FolderInUseError, match="did not say which"), run_lock(folder):
            pass
    finally:
        (folder / OWNER).write_text(facts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_killed_run_is_taken_over_though_a_process_that_it_forked_lives_on(tmp_path):
    with held(tmp_path / "run", "fork") as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with run_lock(tmp_path / "run"):
            assert owner_of(tmp_path / "run")["pid"] == os.getpid()


def test_a_thread_may_take_its_own_folder_again_and_no_other_thread(tmp_path):
    said = []

    def other():
        try:
            with run_lock(tmp_path):
                pass
        except FolderInUseError as error:
            said.append(str(error))

    with run_lock(tmp_path), run_lock(tmp_path / "." / "x" / ".."):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (tmp_path / LOCK).exists()
    assert f"process {os.getpid()}" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_it_leaves_no_folder_that_holds_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / "runs" / "mine"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with run_lock(tmp_path / "runs" / "mine"):
        (tmp_path / "runs" / "mine" / "results.json").touch()
    assert [path.name for path in (tmp_path / "runs" / "mine").iterdir()] == ["results.json"]


def test_many_at_once_hold_it_one_after_another(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(20):
            try:
                with run_lock(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.pop()
            except FolderInUseError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
