"""Control sessions: what a server answers is what the policy says here, whatever happens."""

import http.client
import json
import struct
import threading
from hashlib import blake2b
from typing import get_args

import numpy as np
import pytest
import torch
from server_cases import READER, TOKEN, Server
from torch import nn

import l2o
from l2o.layers.facts import LayerFacts
from l2o.rules.trust_ratio import TrustRatio
from l2o.service.server.sessions.models import Measured, Opening
from l2o.service.server.sessions.rows import GIVEN, given_rows, given_scalars
from l2o.service.server.sessions.session import Session
from l2o.signals.base import Quantity
from l2o.signals.table import ROW, rows_on_host

QUANTITIES = (
    *("weight_norm", "gradient_norm", "update_norm", "gradient_dot_update", "drift_norm"),
    "largest_update",
)


NEEDED = {
    "gradient": ("gradient_norm", "gradient_dot_update"),
    "update": ("update_norm",),
    "drift": ("drift_norm",),
    "head": ("head_mean", "head_std"),
    "largest": ("largest_update",),
}
"""What costs something to measure, and the fields of a measurement that it is."""
QUANTITIES_OF_OLD = (
    *("weight_norm", "gradient_norm", "update_norm", "drift_norm", "gradient_dot_update"),
)
"""What a digest began with before `largest_update` came into the protocol, in its order."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


def groups_of(controller):
    told = []
    for group in controller.groups:
        facts = LayerFacts.of([p.shape for p in group.parameters])
        told.append(
            {
                "name": group.name,
                "size": int(facts.numel),
                "inputs": facts.fan_in if facts.fan_in == facts.fan_in else None,
                "vectors": facts.vector_share,
                "is_head": group.is_head,
            }
        )
    return told


def plain_numbers(values):
    return [None if v != v else float(v) for v in values]


def recorded_run(policy, steps=60, depth=4, optimizer=torch.optim.SGD, validate=()):
    """Return what a controller measured and decided at each decision, and its groups."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 8) for _ in range(depth - 1)]
    model = nn.Sequential(*[m for layer in layers for m in (layer, nn.Tanh())], nn.Linear(8, 2))
    made = optimizer(model.parameters(), lr=0.1)
    controller = l2o.LRController(policy, made, model, total_steps=steps, guard=None)
    seen, measure = [], controller.meter.measure

    def noting(*arguments, **options):
        seen.append(rows_on_host(measure(*arguments, **options)).copy())
        return measured_again(seen[-1])

    def measured_again(rows):
        from l2o.signals.table import MeasuredTable

        return MeasuredTable(rows.copy())

    controller.meter.measure = noting
    inputs, labels = torch.randn(32, 8), torch.randint(0, 2, (32,))
    for step in range(steps):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        controller.observe(loss=loss)
        if step in validate:
            controller.observe(val_loss=loss.item() + 0.1)
        made.zero_grad()
        loss.backward()
        made.step()
    return controller, seen, list(controller.history)


def measured_at(step, rows, validated=True):
    told = {"step": step, **{name: plain_numbers(rows[ROW[name]]) for name in QUANTITIES}}
    for name in ("loss", "proxy_kl", "head_mean", "head_std"):
        value = float(rows[ROW[name], 0])
        told[name] = None if value != value else value
    if validated:
        value = float(rows[ROW["validation_loss"], 0])
        told["validation_loss"] = None if value != value else value
    return told


def opening_of(controller, rows, policy, **more):
    return {
        "policy": policy,
        "groups": groups_of(controller),
        "base_lr": 0.1,
        "weight_norm": plain_numbers(rows[ROW["weight_norm"]]),
        "total_steps": controller.meter.total_steps,
        **more,
    }


@pytest.mark.parametrize("name", ["asg-base", "asg-lite", "asg-wide"])
@pytest.mark.parametrize("keep", ["server", "client"])
def test_a_session_answers_what_the_policy_says_here(server, name, keep):
    validate = range(5, 60, 10)
    controller, seen, history = recorded_run(l2o.load_policy(name), validate=validate)
    status, answer = server.ask(
        "POST", "/v1/sessions", opening_of(controller, seen[0], name, keep=keep)
    )
    assert status == 201, answer
    assert answer["multipliers"] == list(history[0].multipliers)
    path = "/v1/decide" if keep == "client" else f"/v1/sessions/{answer['session']}/decisions"
    for rows, decision in zip(seen[1:], history[1:], strict=True):
        assert answer["next_step"] == decision.step
        body = measured_at(decision.step, rows)
        if keep == "client":
            body["state"] = answer["state"]
        status, answer = server.ask("POST", path, body)
        assert status == 200, answer
        assert answer["multipliers"] == list(decision.multipliers)
        expected = torch.tensor(decision.multipliers) * 0.1
        assert torch.allclose(torch.tensor(answer["learning_rates"]), expected, rtol=1e-6)
    assert answer["next_step"] is None


def test_all_that_a_policy_may_see_of_a_layer_can_be_sent():
    """What is missing in the protocol would be missing to a policy, with nothing said."""
    controller, seen, history = recorded_run(TrustRatio(largest=True), steps=21)
    policy = l2o.load_policy("asg-base")
    session = Session(Opening(**opening_of(controller, seen[0], "asg-base")), policy, "asg-base")
    progress, first = session.begin()
    session.observe(progress, first)
    assert np.isfinite(seen[1][ROW["largest_update"]]).all()
    measured = Measured(**measured_at(history[1].step, seen[1]))
    shown = session.observe(progress, measured)
    for name in (each for needed in NEEDED.values() for each in needed):
        assert np.array_equal(shown[ROW[name]], seen[1][ROW[name]], equal_nan=True), name
    assert set(NEEDED) == set(get_args(Quantity))


def test_a_measurement_that_is_repeated_to_a_newer_server_is_no_other():
    controller, seen, history = recorded_run(TrustRatio(largest=True), steps=21)
    policy = l2o.load_policy("asg-base")
    session = Session(Opening(**opening_of(controller, seen[0], "asg-base")), policy, "asg-base")
    told = measured_at(history[1].step, seen[1])
    older = Measured(**{name: value for name, value in told.items() if name != "largest_update"})
    rows = given_rows(older, session.count)
    plain = rows[[GIVEN.index(name) for name in QUANTITIES_OF_OLD]].tobytes()
    known = blake2b(plain, digest_size=16)
    known.update(struct.pack("=5d", *given_scalars(older)))
    assert session.digest(older, rows, given_scalars(older)) == known.digest()
    newer = Measured(**told)
    rows = given_rows(newer, session.count)
    assert session.digest(newer, rows, given_scalars(newer)) != known.digest()


def test_asg_2020_keeps_its_memory_and_refuses_other_models(server):
    policy = l2o.load_policy("asg-2020")
    controller, seen, history = recorded_run(policy, depth=policy.groups)
    opening = opening_of(controller, seen[0], "asg-2020")
    status, answer = server.ask("POST", "/v1/sessions", opening)
    assert status == 201, answer
    path = f"/v1/sessions/{answer['session']}/decisions"
    for rows, decision in zip(seen[1:], history[1:], strict=True):
        assert answer["next_step"] == decision.step
        status, answer = server.ask("POST", path, measured_at(decision.step, rows))
        assert answer["multipliers"] == list(decision.multipliers)
    opening["groups"] = opening["groups"][:3]
    opening["weight_norm"] = opening["weight_norm"][:3]
    status, answer = server.ask("POST", "/v1/sessions", opening)
    assert status == 422
    assert "layer group" in answer["detail"]


def small_opening(**more):
    groups = [{"name": "body", "size": 72, "inputs": 8}, {"name": "head", "size": 18}]
    groups[1]["is_head"] = True
    known = {"policy": "asg-base", "groups": groups, "base_lr": 0.1, "total_steps": 100}
    return known | {"weight_norm": [3.0, 1.0]} | more


def small_measurement(step=10, **more):
    known = {name: [0.5, 0.25] for name in QUANTITIES}
    return {"step": step, "loss": 1.5} | known | more


def opened(server, **more):
    status, answer = server.ask("POST", "/v1/sessions", small_opening(**more))
    assert status == 201, answer
    return f"/v1/sessions/{answer['session']}/decisions", answer


def test_a_repeated_post_gets_the_same_answer_also_after_later_ones(server):
    path, _ = opened(server)
    first = server.ask("POST", path, small_measurement(10))
    second = server.ask("POST", path, small_measurement(20, base_lr=0.5))
    assert server.ask("POST", path, small_measurement(10)) == first
    assert server.ask("POST", path, small_measurement(20, base_lr=0.5)) == second
    status, answer = server.ask("POST", path, small_measurement(20, base_lr=0.5, loss=9.0))
    assert status == 409
    assert answer["next_step"] == 30


@pytest.mark.parametrize("step", [5, 11, 20, 1000])
def test_steps_out_of_order_are_refused_and_change_nothing(server, step):
    path, _ = opened(server)
    status, answer = server.ask("POST", path, small_measurement(step))
    assert (status, answer["next_step"]) == (409, 10)
    assert server.ask("POST", path, small_measurement(10))[0] == 200


WRONG = {
    "NaN": {"loss": float("nan")},
    "NaN in a list": {"gradient_norm": [1.0, float("nan")]},
    "negative norm": {"weight_norm": [1.0, -0.1]},
    "too few groups": {"update_norm": [1.0]},
    "too many groups": {"drift_norm": [1.0, 1.0, 1.0]},
    "text": {"loss": "small"},
    "unknown field": {"gradients": [1.0, 1.0]},
    "negative rate": {"base_lr": -0.1},
    "rates of other groups": {"base_lr": [0.1]},
    "negative multiplier": {"multipliers": [1.0, -1.0]},
    "no step": {"step": None},
    "fractional step": {"step": 10.5},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_measurements_are_refused_with_the_field_and_the_rule(server, name):
    path, _ = opened(server)
    status, answer = server.ask("POST", path, small_measurement() | WRONG[name])
    assert status == 422
    field = next(iter(WRONG[name]))
    assert field in answer["detail"]
    assert answer["remedy"]
    # What was refused left no trace.
    assert server.ask("POST", path, small_measurement())[0] == 200


WRONG_OPENINGS = {
    "no groups": {"groups": []},
    "two of a name": {"groups": [{"name": "a", "size": 1}, {"name": "a", "size": 1}]},
    "head first": {"groups": [{"name": "a", "size": 1, "is_head": True}, {"name": "b", "size": 1}]},
    "size zero": {"groups": [{"name": "a", "size": 0}, {"name": "b", "size": 1}]},
    "norms of others": {"weight_norm": [1.0]},
    "negative norms": {"weight_norm": [1.0, -1.0]},
    "interval zero": {"interval": 0},
    "no length at all": {"total_steps": 0},
}


@pytest.mark.parametrize("name", WRONG_OPENINGS)
def test_wrong_openings_are_refused(server, name):
    status, answer = server.ask("POST", "/v1/sessions", small_opening(**WRONG_OPENINGS[name]))
    assert status == 422
    assert next(iter(WRONG_OPENINGS[name])).partition(".")[0] in answer["detail"]


def test_unknown_policies_name_the_nearest(server):
    status, answer = server.ask("POST", "/v1/sessions", small_opening(policy="asg-bass"))
    assert status == 404
    assert "asg-base" in answer["detail"]


def test_what_overflowed_is_infinity_and_what_is_missing_null(server):
    path, _ = opened(server)
    told = small_measurement(gradient_norm=[float("inf"), None], loss=None)
    assert server.ask("POST", path, told)[0] == 200
    told = small_measurement(20, gradient_norm=["Infinity", 1e300], loss=1e300)
    assert server.ask("POST", path, told)[0] == 200


def test_several_sessions_are_answered_together_as_alone(server):
    paths = [opened(server)[0] for _ in range(5)]
    names = [path.split("/")[3] for path in paths]
    alone, _ = opened(server)
    expected = server.ask("POST", alone, small_measurement())[1]["multipliers"]
    asked = [{"session": name, **small_measurement()} for name in names]
    asked += [{"session": names[0], **small_measurement(20)}, {"session": "none"} | asked[0]]
    asked += [{**small_measurement(), "session": "none"}]
    status, answers = server.ask("POST", "/v1/sessions/decisions", {"decisions": asked})
    assert status == 200
    assert [a["multipliers"] for a in answers[:5]] == [expected] * 5
    assert answers[5]["step"] == 20  # of a session that stands there twice, in order
    assert answers[-1]["status"] == 404


def test_requests_that_come_together_are_answered_as_alone(server):
    paths = [opened(server)[0] for _ in range(24)]
    alone, _ = opened(server)
    expected = server.ask("POST", alone, small_measurement())[1]["multipliers"]
    found = [None] * len(paths)

    def post(index):
        found[index] = server.ask("POST", paths[index], small_measurement())[1]["multipliers"]

    threads = [threading.Thread(target=post, args=(i,)) for i in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * len(paths)


def test_a_session_can_be_shown_and_closed(server):
    path, answer = opened(server, name="shown", optimizer="adamw")
    server.ask("POST", path, small_measurement())
    name = answer["session"]
    status, told = server.ask("GET", f"/v1/sessions/{name}", token=READER)
    assert (status, told["step"], told["groups"], told["owner"]) == (200, 10, 2, "writer")
    assert [d["step"] for d in server.ask("GET", path, token=READER)[1]] == [0, 10]
    assert name in [s["session"] for s in server.ask("GET", "/v1/sessions")[1]]
    assert server.ask("DELETE", f"/v1/sessions/{name}", token=READER)[0] == 403
    assert server.ask("DELETE", f"/v1/sessions/{name}")[0] == 204
    assert server.ask("POST", path, small_measurement(20))[0] == 404


def test_a_state_that_was_changed_is_refused(server):
    _, answer = opened(server, keep="client")
    state = answer["state"]
    for broken in (state[:-4] + "AAA=", "x" + state[1:], state[:40], "", "===", state + "AAAA"):
        status, told = server.ask("POST", "/v1/decide", small_measurement(state=broken))
        assert status == 422, broken
        assert told["detail"].startswith("state")


def test_multipliers_that_were_used_instead_count(server):
    (one, _), (other, _) = opened(server), opened(server)
    plain = server.ask("POST", one, small_measurement())[1]["multipliers"]
    used = server.ask("POST", other, small_measurement(multipliers=[0.5, 0.5]))[1]["multipliers"]
    assert plain != used


def test_the_page_of_the_schema_tells_of_bodies(server):
    status, told = server.ask("GET", "/openapi.json", token=None)
    assert status == 200
    post = told["paths"]["/v1/sessions/{session}/decisions"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert "gradient_norm" in schema["properties"]
    assert "description" in schema["properties"]["gradient_norm"]


def test_sessions_outlive_a_killed_server(tmp_path):
    server = Server(tmp_path)
    try:
        path, _ = opened(server)
        carried = opened(server, keep="client")[1]["state"]
        first = server.ask("POST", path, small_measurement(10))
        server.kill()
        server.start()
        assert server.ask("POST", path, small_measurement(10)) == first
        assert server.ask("POST", path, small_measurement(20))[0] == 200
        told = server.ask("POST", "/v1/decide", small_measurement(10, state=carried))
        assert told[1]["multipliers"] == first[1]["multipliers"]
    finally:
        server.kill()


def test_processes_of_one_server_share_sessions(tmp_path):
    server = Server(tmp_path, "--workers", "2", wait=180.0)
    try:
        path, _ = opened(server)
        for step in range(10, 90, 10):
            connections = [http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(4)]
            answers = set()
            for connection in connections:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                connection.request("POST", path, json.dumps(small_measurement(step)), headers)
                answer = connection.getresponse()
                assert answer.status == 200
                answers.add(answer.read())
                connection.close()
            assert len(answers) == 1
        assert b"l2o_decisions_total" in server.ask("GET", "/metrics")[1]
    finally:
        assert server.stop() == 0
