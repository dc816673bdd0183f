"""The app under Ray Serve: replicas answer as one server does, for any session."""

import json
import urllib.request

import pytest
from starlette.testclient import TestClient

from l2o.service.server.app import create_app
from l2o.service.server.settings import Settings

try:
    from ray import serve
except ImportError as error:
    pytest.skip(f"Ray Serve is not installed: {error}", allow_module_level=True)

from l2o.service.server.ray_serve import ServeArguments, app

TOKEN = "secret-of-many-letters-0123456789"
GROUPS = [{"name": "first", "size": 10}, {"name": "head", "size": 5, "is_head": True}]
OPENING = {"policy": "asg-base", "groups": GROUPS, "base_lr": 0.1, "total_steps": 100}
MEASURED = {"weight_norm": [1.0, 2.0], "gradient_norm": [0.1, 0.2], "update_norm": [0.01, 0.02]}


def ask(path, body):
    request = urllib.request.Request(f"http://127.0.0.1:8777{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def play(post):
    """Return the multipliers of a session of four decisions."""
    told = post("/v1/sessions", OPENING)
    found = [told["multipliers"]]
    path = f"/v1/sessions/{told['session']}/decisions"
    for loss in (2.0, 1.5, 1.0):
        told = post(path, {"step": told["next_step"], "loss": loss, **MEASURED})
        found.append(told["multipliers"])
    return found


@pytest.mark.timeout(900)
def test_replicas_answer_as_one_server_does(ray_cluster, tmp_path):
    token = tmp_path / "tokens"
    token.write_text(f"{TOKEN} write me\n")
    arguments = ServeArguments(data=tmp_path / "shared", token=token, replicas=2, cpus=0.1)
    serve.start(http_options={"port": 8777, "host": "127.0.0.1"})
    try:
        serve.run(app(arguments), name="l2o")
        found = play(ask)
    finally:
        serve.shutdown()
    with TestClient(create_app(Settings(data=tmp_path / "alone", token=token))) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert found == play(lambda path, body: client.post(path, json=body).json())


def test_tokens_are_checked_before_anything_starts(tmp_path):
    (tmp_path / "tokens").write_text("short write me\n")
    with pytest.raises(ValueError, match="a token of 5 characters can be guessed"):
        app(ServeArguments(data=tmp_path, token=tmp_path / "tokens"))
