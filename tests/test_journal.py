"""Decisions are in a file before anybody hears of them, and in the database soon after."""

import fcntl
import os

import pytest

from l2o.service.server.database import Database
from l2o.service.server.sessions import journal as module
from l2o.service.server.sessions.journal import FolderInUseError, Journal, lock, recover, segments
from l2o.service.server.sessions.store import Kept, SessionStore
from l2o.service.server.sessions.tables import TABLES


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "service.db", [TABLES])
    with made.writing() as connection:
        for name in ("one", "two"):
            row = (name, "asg-base@0", "{}", "ann", 0.0, 1e12)
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", row)
    yield made
    made.close()


def record(session, step):
    return session, step, f"asked {step}".encode(), f"{session} at {step}".encode()


def kept(database):
    rows = database.connection.execute("SELECT * FROM decisions ORDER BY session, step")
    return [tuple(row) for row in rows]


def test_decisions_are_found_before_and_after_they_are_moved(tmp_path, database):
    journal = Journal(tmp_path, database)
    store = SessionStore(database, 3600.0, 10)
    store.journal = journal
    journal.append([record("one", 10), record("two", 10)])
    journal.begin_anew()
    journal.append([record("one", 20)])
    for _ in range(2):
        assert store.decision("one", 10) == (b"asked 10", b"one at 10")
        assert store.newest("one") == b"one at 20"
        assert store.newest("two") == b"two at 10"
        assert store.decisions("one", -1, 100) == [b"one at 10", b"one at 20"]
        assert store.decisions("one", 10, 100) == [b"one at 20"]
        assert store.decisions("one", -1, 1) == [b"one at 10"]
        journal.move()
    assert kept(database) == [record("one", 10), record("two", 10)]
    journal.close()
    assert kept(database) == [record("one", 10), record("one", 20), record("two", 10)]
    assert segments(tmp_path) == []


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_what_a_killed_server_left_is_moved_but_for_what_is_not_whole(tmp_path, database, lost):
    journal = Journal(tmp_path, database)
    journal.append([record("one", 10)])
    journal.append([record("one", 20), record("gone", 10)])
    journal.append([record("one", 30)])
    os.close(journal._lock)  # as the kill of a process does
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size - lost])
    recover(tmp_path, database)
    steps = [10, 20] if lost else [10, 20, 30]
    assert kept(database) == [record("one", step) for step in steps]
    assert segments(tmp_path) == []


def test_a_move_that_fails_is_tried_again(tmp_path, database, monkeypatch):
    journal = Journal(tmp_path, database)
    journal.append([record("one", 10)])
    journal.begin_anew()
    with monkeypatch.context() as patched:
        patched.setattr(module, "_ADD", "INSERT INTO nothing VALUES (?1, ?2, ?3, ?4)")
        with pytest.raises(Exception, match="nothing"):
            journal.move()
    journal.append([record("one", 20)])
    journal.begin_anew()  # not yet: the old one is not moved
    assert journal.newest("one") == (b"asked 20", b"one at 20")
    assert journal.find("one", 10) == (b"asked 10", b"one at 10")
    journal.close()
    assert kept(database) == [record("one", 10), record("one", 20)]


def test_what_cannot_be_written_is_not_kept(tmp_path, database, monkeypatch):
    journal = Journal(tmp_path, database)
    journal.append([record("one", 10)])
    size, write = segments(tmp_path)[0].stat().st_size, os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, text[:7]))
    with pytest.raises(OSError, match="disk is full"):
        journal.append([record("one", 20)])
    assert segments(tmp_path)[0].stat().st_size == size
    assert journal.newest("one") == (b"asked 10", b"one at 10")
    monkeypatch.setattr(module, "MOST", 0)
    with pytest.raises(OSError, match="wait to be written"):
        journal.append([record("one", 20)])


def test_a_folder_has_one_server(tmp_path, database):
    journal = Journal(tmp_path, database)
    with pytest.raises(FolderInUseError, match="another server uses"):
        lock(tmp_path, fcntl.LOCK_SH, seconds=0.0)
    journal.close()
    os.close(lock(tmp_path, fcntl.LOCK_EX, seconds=0.0))


def test_a_session_that_is_told_of_counts_what_waits(tmp_path, database):
    journal = Journal(tmp_path, database)
    store = SessionStore(database, 3600.0, 10)
    store.journal = journal
    journal.append([record("one", 10), record("one", 20)])
    opening = '{"policy": "p", "groups": [{"name": "a", "size": 1}], "base_lr": 0.1}'
    assert store.told(Kept("one", "p@0", opening, "ann", 0.0, 1e12)).step == 20
    journal.close()
    assert store.told(Kept("one", "p@0", opening, "ann", 0.0, 1e12)).step == 20
