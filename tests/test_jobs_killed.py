"""`l2o study jobs`, small: a server is killed under jobs, alone, and then with them."""

import json

from commands import run

from l2o.service.load import job_kills
from l2o.service.load.job_kills import Answer, JobKills, check_database, outcome


def test_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(job_kills, "UP_TO", 4.0)
    path = tmp_path / "kills.json"
    words = ["--kills", 1, "--machine", 1, "--jobs", 1, "--steps", 200]
    result = run("study", "jobs", *words, "--json", path)
    assert result.exit_code == 0, result.output
    found = json.loads(path.read_text())
    assert found["lost"] == found["twice"] == found["wrong"] == found["steps_lost"] == 0
    assert found["damaged"] == []


def test_what_is_lost_is_told():
    study = JobKills()
    assert study.holds(Answer())
    for name in ("lost", "twice", "restarted", "wrong", "steps_lost"):
        assert not study.holds(Answer(**{name: 1}))
    assert not study.holds(Answer(damaged=["page 3"]))
    found = study.tables(Answer(kills=3, lost=1, notes=["a job is gone"]))
    assert ("jobs lost", "1") in found[0].rows
    assert found[1].rows == [("a job is gone",)]


def test_a_damaged_database_is_seen(tmp_path):
    path = tmp_path / "service.db"
    assert check_database(path) == "ok"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert check_database(path) != "ok"


def test_outcomes_leave_the_clock_out(tmp_path):
    results = {"seconds": 1.0, "images_per_second": 2.0, "sha256": "x", "steps": 3}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert outcome(tmp_path) == {"steps": 3}
