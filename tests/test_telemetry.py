"""Telemetry: all that a run sends arrives, in order and once, and the run never waits for it."""

import socket
import time

import pytest
import torch
from server_cases import READER, TOKEN, Server
from torch import nn

import l2o
from l2o.integrations.remote.telemetry import RemoteLog
from l2o.service.following import followed


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


def controlled(steps=50):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, optimizer, l2o.LRController("asg-base", optimizer, model, total_steps=steps)


def advance(model, optimizer, controller, steps):
    for _ in range(steps):
        loss = model(torch.ones(4, 8)).square().mean()
        controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def events_of(server, run):
    status, told = server.ask("GET", f"/v1/telemetry/runs/{run}/events", token=READER)
    assert status == 200
    return told


def test_decisions_and_losses_of_a_run_arrive(server):
    model, optimizer, controller = controlled()
    advance(model, optimizer, controller, 12)
    log = controller.log_to(server.url, token=TOKEN, name="from here")
    advance(model, optimizer, controller, 38)
    assert log.close()
    status, run = server.ask("GET", f"/v1/telemetry/runs/{log.run}")
    assert status == 200
    assert run["facts"]["name"] == "from here"
    assert run["facts"]["groups"] == ["0", "2"]
    assert run["facts"]["total_steps"] == 50
    assert run["ended"]
    events = events_of(server, log.run)
    assert [e["number"] for e in events] == list(range(len(controller.history)))
    assert [e["step"] for e in events] == [d.step for d in controller.history]
    for event, decision in zip(events, controller.history, strict=True):
        assert event["multipliers"] == list(decision.multipliers)
        assert event["learning_rates"] == list(decision.learning_rates)
    assert events[-1]["values"]["loss"] > 0
    assert server.ask("GET", "/v1/telemetry/runs", token=READER)[1][0]["run"] == log.run


def test_a_folder_is_still_a_folder(tmp_path):
    pytest.importorskip("tensorboard")
    _, _, controller = controlled()
    controller.log_to(tmp_path / "http").close()
    assert list((tmp_path / "http").iterdir())


def test_what_a_server_missed_arrives_once_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr("l2o.integrations.remote.telemetry.LONGEST", 0.3)
    server = Server(tmp_path)
    try:
        log = RemoteLog(server.url, {"name": "patient"}, TOKEN)
        for step in range(20):
            log.send(step, {"loss": 1.0 / (step + 1)})
        end = time.monotonic() + 20
        while log._waiting and time.monotonic() < end:
            time.sleep(0.02)
        server.kill()
        begun = time.monotonic()
        for step in range(20, 2000):
            log.send(step, {"loss": 1.0 / (step + 1), "bad": float("nan")})
        assert time.monotonic() - begun < 2.0, "the training waited"
        server.start()
        end = time.monotonic() + 60
        while log._waiting and time.monotonic() < end:
            time.sleep(0.05)
        assert log.close()
        path = f"/v1/telemetry/runs/{log.run}/events?limit=5000"
        events = server.ask("GET", path)[1]
        assert [e["step"] for e in events] == list(range(2000))
        assert all(e["values"].keys() == {"loss"} for e in events)
    finally:
        server.kill()


def test_a_full_buffer_drops_the_oldest_and_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listening:  # answers nothing
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        log = RemoteLog(url, {}, TOKEN, buffer=10)
        for step in range(100):
            log.send(step)
        assert log.dropped == 90
        assert [event["step"] for _, event in log._waiting] == list(range(90, 100))
        begun = time.monotonic()
        assert not log.close(0.3)
        assert time.monotonic() - begun < 2.0


def test_what_a_server_refuses_is_not_sent_again(server, caplog):
    log = RemoteLog(server.url, {}, "a-wrong-token-0000")
    log.send(1)
    end = time.monotonic() + 20
    while not log._refused and time.monotonic() < end:
        time.sleep(0.02)
    log.send(2)
    assert not log._waiting
    assert not log.close()
    assert "token" in caplog.text
    with pytest.raises(ValueError, match="is no URL"):
        RemoteLog("http://", {})


def test_events_sent_again_count_once(server):
    path = "/v1/telemetry/runs/again"
    assert server.ask("POST", f"{path}/events", {"first": 0, "events": [{"step": 0}]})[0] == 404
    assert server.ask("PUT", path, {"name": "again"})[0] == 200
    for _ in range(2):
        body = {"first": 0, "events": [{"step": 0}, {"step": 1}]}
        assert server.ask("POST", f"{path}/events", body)[1] == {"next": 2}
    body = {"first": 1, "events": [{"step": 1}, {"step": 2}]}
    assert server.ask("POST", f"{path}/events", body)[1] == {"next": 3}
    assert [e["step"] for e in events_of(server, "again")] == [0, 1, 2]
    assert server.ask("DELETE", path)[0] == 204
    assert server.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": -1, "events": [{"step": 0}]},
        {"first": 0, "events": []},
        {"first": 0, "events": [{"step": -1}]},
        {"first": 0, "events": [{"step": 0, "values": {"loss": "x"}}]},
        {"first": 0, "events": [{"step": 0, "other": 1}]},
        {"first": 0, "events": [{"step": 0}] * 1001},
    ],
)
def test_wrong_events_are_refused(server, wrong):
    server.ask("PUT", "/v1/telemetry/runs/wrong", {})
    assert server.ask("POST", "/v1/telemetry/runs/wrong/events", wrong)[0] == 422


def test_a_file_that_grows_is_followed(server, tmp_path, monkeypatch):
    monkeypatch.setattr("l2o.service.following.LOOKING", 0.05)
    monkeypatch.setenv("L2O_TOKEN", TOKEN)
    file = tmp_path / "a-run" / "metrics.jsonl"
    file.parent.mkdir()
    with followed(server.url, "train", file):
        file.write_text('{"loss": 1.0, "of": {"test": 2}}\n{"loss": 0.5')
        time.sleep(0.2)
        with file.open("a") as opened:
            opened.write("}\n")
    runs = server.ask("GET", "/v1/telemetry/runs")[1]
    run = next(each for each in runs if each["facts"]["name"] == "a-run")
    assert run["ended"]
    values = [event["values"] for event in events_of(server, run["run"])]
    assert values == [{"loss": 1.0, "of/test": 2.0}, {"loss": 0.5}]
