"""What operating a server takes: health, counters, the database, settings; all in this process."""

import sqlite3
import stat

import pytest
from starlette.testclient import TestClient

from l2o.service.server import Settings, create_app
from l2o.service.server.database import Database, DatabaseError
from l2o.service.server.settings import settings_of

OPENING = {
    "policy": "asg-base",
    "groups": [{"name": "body", "size": 72}, {"name": "head", "size": 18, "is_head": True}],
    "base_lr": 0.1,
    "total_steps": 100,
}


@pytest.fixture
def asked(tmp_path):
    """Return what asks an app with settings, and closes it at the end."""
    opened = []

    def ask(**settings):
        app = create_app(Settings(data=tmp_path / "data", **settings))
        client = TestClient(app, raise_server_exceptions=False)
        token = (tmp_path / "data" / "token").read_text().split()[0]
        client.headers["Authorization"] = f"Bearer {token}"
        opened.append(client.__enter__())
        return client

    yield ask
    for client in opened:
        client.__exit__(None, None, None)


def test_health_counters_and_the_page_of_requests(asked):
    client = asked()
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/sessions", json=OPENING).status_code == 201
    counted = client.get("/metrics").text
    assert 'l2o_requests_total{method="POST",route="/v1/sessions",status="201"} 1.0' in counted
    assert "l2o_decisions_total 1.0" in counted
    page = client.get("/docs").text
    assert "/v1/sessions/{session}/decisions" in page
    assert "gradient_norm" in page
    assert "<script" not in page
    assert "http://" not in page
    client.headers.pop("Authorization")
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200
    assert client.get("/metrics").status_code == 401


def test_a_token_is_drawn_once_and_is_nobody_elses_to_read(asked, tmp_path):
    # One server at a time: the first one ends.
    with TestClient(create_app(Settings(data=tmp_path / "data"))):
        pass
    first = (tmp_path / "data" / "token").read_text()
    asked()
    assert (tmp_path / "data" / "token").read_text() == first
    for name in ("token", "secret"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600


def test_sessions_expire_and_are_forgotten(asked):
    client = asked(session_seconds=0.001)
    answer = client.post("/v1/sessions", json=OPENING).json()
    path = f"/v1/sessions/{answer['session']}"
    told = client.post(f"{path}/decisions", json={"step": 10})
    assert told.status_code in (404, 410)
    assert "expired" in told.json()["detail"] or told.status_code == 404
    assert client.get("/v1/sessions").json() == []


def test_no_more_sessions_than_allowed(asked):
    client = asked(max_sessions=2)
    found = [client.post("/v1/sessions", json=OPENING).status_code for _ in range(3)]
    assert found == [201, 201, 503]


def test_requests_of_one_token_are_limited(asked):
    client = asked(rate=0.5)
    found = [client.get("/v1/sessions").status_code for _ in range(4)]
    assert found[0] == 200
    assert found[-1] == 429


def test_a_failure_is_answered_without_a_traceback(asked, monkeypatch, caplog):
    client = asked()

    def fail(*_):
        raise ZeroDivisionError("a bug")

    store = next(p.store for p in client.app.state.parts if type(p).__name__ == "Sessions")
    monkeypatch.setattr(store, "listing", fail)
    answer = client.get("/v1/sessions")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "a bug" not in answer.text
    reference = answer.json()["detail"].split()[-1]
    assert any(getattr(r, "fields", {}).get("reference") == reference for r in caplog.records)


def test_a_database_that_is_locked_says_to_try_again(asked, monkeypatch):
    monkeypatch.setattr("l2o.service.server.database.WAIT", 0.05)
    client = asked()
    session = client.post("/v1/sessions", json=OPENING).json()["session"]
    database = client.app.state.context.database
    with sqlite3.connect(database.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = client.post("/v1/sessions", json=OPENING)
        # Decisions go into the journal first, and wait for nobody.
        decided = client.post(f"/v1/sessions/{session}/decisions", json={"step": 10})
        other.execute("ROLLBACK")
    assert refused.status_code == 503
    assert decided.status_code == 200
    assert client.post("/v1/sessions", json=OPENING).status_code == 201


def test_a_backup_is_whole_while_the_server_goes_on(asked, tmp_path):
    client = asked()
    session = client.post("/v1/sessions", json=OPENING).json()["session"]
    copy = client.app.state.context.database.backup(tmp_path / "copies" / "copy.db")
    with sqlite3.connect(copy) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert found.execute("SELECT id FROM sessions").fetchall() == [(session,)]
    assert client.app.state.context.database.check() == "ok"


def test_databases_that_cannot_be_used(tmp_path):
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as made:
        made.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseError, match="upgrade"):
        Database(newer, [])
    other = tmp_path / "other.db"
    other.write_bytes(b"no database at all, " * 100)
    with pytest.raises(DatabaseError, match=r"other\.db"):
        Database(other, [])


def test_what_is_written_in_a_transaction_that_fails_is_undone(tmp_path):
    database = Database(tmp_path / "x.db", ["CREATE TABLE IF NOT EXISTS t (x)"])

    def fail():
        with database.writing() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert database.connection.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    database.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("rate", "key=value"),
        ("rat=1", "rate"),
        ("rate=fast", "number"),
        ("rate=-1", "rate"),
        ("port=1", "limit"),
    ],
)
def test_settings_that_cannot_be_used(given, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        settings_of([given], data=tmp_path, port=0)
