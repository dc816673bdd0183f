"""The queue of jobs: turns, limits, dependencies, cancelling, retries, kills of job and server."""

import os
import signal

import pytest
from jobs_cases import ScriptRunner, tick, use_scripts

from l2o.service.server.jobs.base import JobStateError, Needs, UnknownJobError

WAIT = "import time\nopen('begun', 'w').close()\ntime.sleep(60)\n"
STOPPABLE = (
    "import sys, time\nopen('begun', 'w').close()\n"
    "try:\n    time.sleep(60)\n"
    "except KeyboardInterrupt:\n    open('saved', 'w').close()\n    sys.exit(130)\n"
)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    use_scripts(monkeypatch)
    found = ScriptRunner(tmp_path)
    yield found
    for job in found.store.select(["queued", "running"]):
        found.store.cancel(job.id)
        group = found.folder(job.id).process(job.attempt)
        if group is not None and found.folder(job.id).is_alive:
            os.killpg(group, signal.SIGKILL)
    for _ in tick(found, 10):
        if not found.store.running():
            break


def test_a_job_runs_in_its_folder_and_succeeds(runner):
    job = runner.submit("print('hello'); open('made', 'w').write('x')")
    job = runner.until(job.id, "succeeded")
    assert runner.folder(job.id).log.read_text() == "hello\n"
    assert (runner.folder(job.id).run / "made").read_text() == "x"
    assert job.attempt == 1
    assert job.created <= job.started <= job.ended


def test_a_failed_job_says_why(runner):
    text = "import sys; print('error: lr=-1 must be positive'); sys.exit(2)"
    job = runner.until(runner.submit(text).id, "failed")
    assert job.reason == "ended with exit code 2: lr=-1 must be positive"
    quiet = runner.until(runner.submit("raise SystemExit(3)").id, "failed")
    assert "exit code 3: it said nothing" in quiet.reason


def test_higher_priorities_run_first_and_equal_ones_in_order(runner):
    note = "open('../../order', 'a').write({!r})"
    all_cores = Needs(cores=2, memory_gib=1.0)
    first = runner.submit(WAIT, needs=all_cores)
    runner.until_file(first.id, "begun")
    ids = [
        runner.submit(note.format(name), priority=priority, needs=all_cores).id
        for name, priority in (("a", 0), ("b", 5), ("c", 5), ("d", -1))
    ]
    runner.store.cancel(first.id)
    for id in ids:
        runner.until(id, "succeeded")
    assert (runner.data / "jobs" / "order").read_text() == "bcad"


def test_cores_and_memory_bound_what_runs_at_once(runner):
    one, two, three = (runner.submit(WAIT, needs=Needs(memory_gib=3.0)) for _ in range(3))
    runner.until_file(one.id, "begun")
    runner.until_file(two.id, "begun")
    assert runner.store.get(three.id).state == "queued"
    cores = [runner.store.get(id).cores for id in (one.id, two.id)]
    assert sorted(cores) == [(0,), (1,)]


def test_a_job_is_held_to_its_cores(runner):
    text = "print(sorted(os.sched_getaffinity(0)), repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    job = runner.until(runner.submit(text).id, "succeeded")
    assert runner.folder(job.id).log.read_text() == f"{list(job.cores)} ''\n"


def test_a_large_job_is_not_passed_by_for_ever(runner):
    small = runner.submit(WAIT)
    runner.until_file(small.id, "begun")
    large = runner.submit("pass", needs=Needs(cores=2, memory_gib=1.0))
    later = runner.submit("pass")
    runner.tick()
    assert runner.store.get(later.id).state == "queued", "it would fit, but is behind"
    runner.store.cancel(small.id)
    runner.until(large.id, "succeeded")
    runner.until(later.id, "succeeded")


def test_what_the_machine_never_has_fails(runner):
    job = runner.until(runner.submit("pass", needs=Needs(gpus=1)).id, "failed")
    assert job.reason == "it needs 1 GPUs, and the machine has 0"


def test_too_much_memory_stops_a_job(runner):
    text = "x = bytearray(400_000_000)\nimport time\ntime.sleep(60)"
    job = runner.until(runner.submit(text, needs=Needs(memory_gib=0.2)).id, "failed")
    assert "more than its memory_gib=0.2" in job.reason


def test_a_job_waits_for_those_it_comes_after(runner):
    first = runner.submit(WAIT)
    second = runner.submit("pass", after=[first.id])
    runner.until_file(first.id, "begun")
    assert runner.store.get(second.id).state == "queued"
    runner.store.cancel(first.id)
    second = runner.until(second.id, "failed")
    assert second.reason == f"job {first.id}, which it comes after, was cancelled"
    good = runner.submit("pass")
    third = runner.submit("pass", after=[good.id])
    assert runner.until(third.id, "succeeded").started >= runner.store.get(good.id).ended
    with pytest.raises(UnknownJobError, match="nowhere"):
        runner.submit("pass", after=["nowhere"])


def test_cancelling_lets_a_job_save(runner):
    job = runner.submit(STOPPABLE)
    runner.until_file(job.id, "begun")
    runner.store.cancel(job.id)
    job = runner.until(job.id, "cancelled")
    assert (runner.folder(job.id).run / "saved").exists()
    queued = runner.submit("pass", needs=Needs(memory_gib=1.0))
    assert runner.store.cancel(queued.id).state == "cancelled"
    assert runner.store.cancel(job.id).state == "cancelled", "twice is once"


def test_a_job_deaf_to_ctrl_c_is_killed(runner, monkeypatch):
    monkeypatch.setattr("l2o.service.server.jobs.runner.GRACE", 0.2)
    text = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAIT
    job = runner.submit(text)
    runner.until_file(job.id, "begun")
    runner.store.cancel(job.id)
    assert runner.until(job.id, "cancelled").attempt == 1


def test_a_retry_goes_on_in_the_same_folder(runner):
    text = "import sys\nn = len(os.listdir())\nopen(str(n), 'w').close()\nsys.exit(1 - min(n, 1))"
    job = runner.until(runner.submit(text).id, "failed")
    assert runner.store.retry(job.id).state == "queued"
    job = runner.until(job.id, "succeeded")
    assert job.attempt == 2
    with pytest.raises(JobStateError, match="succeeded; only one that failed"):
        runner.store.retry(job.id)


def test_a_killed_job_is_resumed_at_most_so_often(runner):
    text = "import signal\nopen('n', 'a').write('x')\nos.kill(os.getpid(), signal.SIGKILL)"
    job = runner.until(runner.submit(text, max_resumes=2).id, "failed")
    assert (runner.folder(job.id).run / "n").read_text() == "xxx"
    assert (job.attempt, job.kills) == (3, 2)
    assert "was killed 3 times, and is resumed 2 times at most" in job.reason


def test_a_crash_is_no_kill(runner):
    text = "import signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    job = runner.until(runner.submit(text).id, "failed")
    assert job.attempt == 1


def test_the_whole_group_killed_is_resumed(runner):
    text = "if os.path.exists('begun'):\n    raise SystemExit\n" + WAIT
    job = runner.submit(text)
    runner.until_file(job.id, "begun")
    os.killpg(runner.folder(job.id).process(1), signal.SIGKILL)
    job = runner.until(job.id, "succeeded")
    assert (job.attempt, job.kills) == (2, 1)


def test_a_job_whose_waiting_process_alone_is_killed_goes_on(runner):
    text = (
        "if os.path.exists('begun'):\n    open('again', 'w').close()\n    raise SystemExit\n"
        "import time\nopen('begun', 'w').close()\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\nopen('ended', 'w').close()\n"
    )
    job = runner.submit(text)
    begun = runner.until_file(job.id, "begun")
    os.kill(runner.folder(job.id).process(1), signal.SIGKILL)
    for _ in tick(runner, 0.5):
        assert runner.store.get(job.id).state == "running", "the command itself lives"
    (begun.parent / "go").touch()
    runner.until(job.id, "succeeded")
    assert (begun.parent / "ended").exists()
    assert (begun.parent / "again").exists(), "how it ended was lost with who waited for it"


def test_another_runner_takes_over_what_runs(runner):
    text = (
        "import time\nopen('begun', 'a').write('x')\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\n"
    )
    job = runner.submit(text)
    begun = runner.until_file(job.id, "begun")
    other = ScriptRunner(runner.data)
    for _ in tick(other, 0.3):
        assert other.store.get(job.id).state == "running"
    (begun.parent / "go").touch()
    assert other.until(job.id, "succeeded").attempt == 1
    assert begun.read_text() == "x", "it ran once"


def test_an_attempt_that_was_noted_and_not_begun_begins(runner):
    job = runner.submit("open('n', 'a').write('x')")
    runner.store.begin(job.id, (0,), ())  # a server killed here
    job = ScriptRunner(runner.data).until(job.id, "succeeded")
    assert (job.attempt, job.kills) == (1, 0)
    assert (runner.folder(job.id).run / "n").read_text() == "x"


def test_two_runners_run_a_job_once(runner):
    other = ScriptRunner(runner.data)
    ids = [runner.submit("open('n', 'a').write('x')").id for _ in range(6)]
    for id in ids:
        for _ in tick(runner, 20):
            other.tick()
            if runner.store.get(id).state == "succeeded":
                break
    assert [(runner.folder(id).run / "n").read_text() for id in ids] == ["x"] * 6


def test_a_key_gives_the_same_job_again(runner):
    one = runner.submit("pass", key="mine")
    two = runner.submit("pass", key="mine")
    assert one.id == two.id
    assert len(runner.store.select()) == 1


def test_pages_and_counts(runner):
    ids = [runner.submit("pass", after=[]).id for _ in range(5)]
    newest = runner.store.select(limit=2)
    assert [job.id for job in newest] == ids[:2:-1]
    older = runner.store.select(limit=2, before=newest[-1].id)
    assert [job.id for job in older] == ids[2:0:-1]
    assert runner.store.count() == {"queued": 5}


def test_deleting_takes_the_folder_along(runner):
    job = runner.submit("pass")
    with pytest.raises(JobStateError, match="cancel it before"):
        runner.delete(job.id)
    runner.until(job.id, "succeeded")
    runner.delete(job.id)
    assert not runner.folder(job.id).path.exists()
    with pytest.raises(UnknownJobError):
        runner.store.get(job.id)


def test_secrets_of_the_server_are_not_handed_on(runner, monkeypatch):
    monkeypatch.setenv("L2O_SERVE_TOKEN", "abc")
    monkeypatch.setenv("SOME_PASSWORD", "abc")
    text = (
        "print(sorted(k for k, v in os.environ.items() if v == 'abc'), os.environ['L2O_NO_CODE'])"
    )
    job = runner.until(runner.submit(text).id, "succeeded")
    assert runner.folder(job.id).log.read_text() == "[] 1\n"
