"""A policy on a server: the same multipliers, and a training that goes on whatever happens."""

import copy
import pickle
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from server_cases import TOKEN, Server
from torch import nn

import l2o
from l2o.integrations.remote.background import Background
from l2o.integrations.remote.bundles import Bundles
from l2o.integrations.remote.circuit import Circuit
from l2o.integrations.remote.http import Client, RemoteError
from l2o.integrations.remote.tensors import pack, unpack


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


@pytest.fixture
def remote(server, tmp_path):
    def make(name="asg-base", url=None, **options):
        known = {"token": TOKEN, "cache": tmp_path / "cache", "timeout": 5.0, "pause": 0.05}
        return l2o.RemotePolicy(url or server.url, name, **known | options)

    return make


def train(policy, steps=60, hook=None, depth=3, **options):
    """Return the decisions, the longest step and the controller."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 8) for _ in range(depth - 1)]
    model = nn.Sequential(*[m for layer in layers for m in (layer, nn.Tanh())], nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(policy, optimizer, model, total_steps=steps, **options)
    inputs, labels = torch.randn(32, 8), torch.randint(0, 2, (32,))
    longest = 0.0
    for step in range(steps):
        if hook is not None:
            hook(step)
        loss = nn.functional.cross_entropy(model(inputs), labels)
        controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        begun = time.perf_counter()
        optimizer.step()
        longest = max(longest, time.perf_counter() - begun)
    assert controller.steps == steps
    return [d.multipliers for d in controller.history], longest, controller


@pytest.mark.parametrize("name", ["asg-base", "asg-lite", "asg-wide"])
def test_the_same_multipliers_as_here(remote, name):
    policy = remote(name)
    there, _, controller = train(policy)
    here, _, local = train(l2o.load_policy(name))
    assert there == here
    assert policy.counts.keys() == {"server"}
    assert controller.report()["interventions"] == local.report()["interventions"]
    assert policy.cautious == l2o.load_policy(name).cautious


@pytest.mark.parametrize("name", ["asg-2020", "asg-2020-memoryless"])
def test_a_memory_rides_with_the_controller(remote, name):
    depth = l2o.load_policy(name).groups
    there, _, controller = train(remote(name), depth=depth)
    here, _, _ = train(l2o.load_policy(name), depth=depth)
    assert there == here
    state = controller.state_dict()
    assert ("memory" in state["policy_state"]) == (name == "asg-2020")


class Silence:
    """A server that takes connections, and answers nothing or `answer`."""

    def __init__(self, answer=b""):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.held = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.held.append(connection)
            if self.answer:
                connection.recv(65536)
                connection.sendall(self.answer)

    def close(self):
        self.socket.close()


def moved(policy, url):
    """Let a policy ask another address from now on."""
    policy.client = Client(url, TOKEN, policy.timeout)
    return policy


def test_no_step_waits_longer_than_the_timeout(remote):
    silent = Silence()
    try:
        policy = moved(remote(timeout=0.2, pause=60.0), silent.url)
        begun = time.monotonic()
        decisions, longest, _ = train(policy, 100)
        assert longest < 0.2 + 0.3  # and what a busy machine adds
        assert time.monotonic() - begun < 10
        assert policy.counts["failures"] == 3
        assert not policy.circuit.closed
        assert decisions == train(l2o.load_policy("asg-base"), 100)[0]
    finally:
        silent.close()


def trickle(url_of):
    """Answer a byte at a time: each comes in time, the whole never does."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

    def serve(listening):
        connection, _ = listening.accept()
        connection.recv(65536)
        connection.sendall(head)
        try:
            while True:
                connection.sendall(b" ")
                time.sleep(0.02)
        except OSError:
            pass

    threading.Thread(target=serve, args=(url_of,), daemon=True).start()


def test_an_answer_that_trickles_is_given_up_in_time(remote):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        trickle(listening)
        policy = moved(remote(timeout=0.3), f"http://127.0.0.1:{listening.getsockname()[1]}")
        begun = time.monotonic()
        policy(torch.zeros(2, len(policy.signals)), policy.initial_state(2))
        assert time.monotonic() - begun < 1.0
        assert policy.counts["failures"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{]}x",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n"
        b'{"multipliers": [NaN, -1.0], "state": {}} ',
    ],
)
def test_answers_that_are_none_are_failures(remote, answer):
    silent = Silence(answer)
    try:
        policy = moved(remote(retries=0), silent.url)
        chosen, _ = policy(torch.zeros(2, len(policy.signals)), policy.initial_state(2))
        assert policy.counts["failures"] == 1
        assert torch.isfinite(chosen).all()
    finally:
        silent.close()


def test_an_answer_that_is_cut_short_is_none():
    # As when a server is killed while it answers: what is there may even be whole JSON.
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            for _ in range(2):
                connection, _ = listening.accept()
                connection.recv(65536)
                connection.sendall(head + b"{}")
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", TOKEN, 5.0)
        with pytest.raises(RemoteError, match="does not answer"):
            client.ask("GET", "/v1/policies")


def dead_url():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_first_the_last_multipliers_stay_then_the_bundle_decides(remote):
    policy = remote(patience=2, failures=100)
    seen, state = torch.rand(3, len(policy.signals)), policy.initial_state(3)
    first, state = policy(seen, state)
    moved(policy, dead_url())
    other = torch.rand(3, len(policy.signals))
    expected = policy.local(other, {})[0]
    for _ in range(2):
        kept, state = policy(other, state)
        assert torch.equal(kept, first)
    chosen, state = policy(other, state)
    assert torch.equal(chosen, expected)
    assert dict(policy.counts) == {"server": 1, "failures": 3, "kept": 2, "bundle": 1}


def test_without_a_bundle_the_named_schedule_decides(remote):
    policy = moved(remote(bundle=False, fallback="linear"), dead_url())
    decisions, _, _ = train(policy, 40, interval=10, guard=None)
    rates = [row[-1] for row in decisions]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0 > rates[-1]
    assert policy.counts["fallback"] == len(decisions)


def test_without_anything_the_guard_takes_over(remote):
    policy = moved(remote(bundle=False, fallback=None), dead_url())
    _, _, controller = train(policy, 40)
    assert any("does not answer" in reason for reason in controller.report()["interventions"])
    with pytest.raises(RemoteError, match="fallback"):
        policy(torch.zeros(2, len(policy.signals)), {})


def test_it_comes_back_when_the_server_does(tmp_path):
    server = Server(tmp_path)
    try:
        options = {"token": TOKEN, "cache": tmp_path / "cache", "pause": 0.05, "patience": 1}
        policy = l2o.RemotePolicy(server.url, "asg-base", timeout=2.0, **options)
        back = []

        def hook(step):
            if step == 20:
                server.kill()
            if step == 60:
                server.start()
            if step > 60 and not policy.circuit.closed:
                time.sleep(0.1)
            if step > 60 and policy.counts["server"] > before[0]:
                back.append(step)
            before[0] = policy.counts["server"] if step <= 60 else before[0]

        before = [0]
        decisions, _, controller = train(policy, 200, hook)
        assert back, "it never came back"
        assert policy.counts["kept"] >= 1
        assert policy.counts["bundle"] >= 1
        assert not any("policy" in reason for reason in controller.report()["interventions"])
        # A policy without a memory: what was decided here is what the server would have said.
        here = train(l2o.load_policy("asg-base"), 200)[0]
        assert decisions[0] == here[0]
    finally:
        server.kill()


def test_a_server_that_is_away_from_the_start(server, remote, tmp_path):
    remote()  # now it is known here
    kept = tmp_path / "cache"
    url = server.url
    assert l2o.RemotePolicy(url, "asg-base", token=TOKEN, cache=kept).name.startswith("asg-base@")
    away = dead_url()
    with pytest.raises(RemoteError, match="does not answer"):
        l2o.RemotePolicy(away, "asg-base", token=TOKEN, cache=kept)
    index = next(kept.glob("*.version"))
    there = Bundles(Client(away), kept)
    there._index("asg-base").write_text(index.read_text())
    policy = l2o.RemotePolicy(away, "asg-base", token=TOKEN, cache=kept)
    assert train(policy)[0] == train(l2o.load_policy("asg-base"))[0]
    assert policy.counts["bundle"]


def test_wrong_tokens_and_names_are_told_at_once(server, tmp_path):
    with pytest.raises(RemoteError, match="token"):
        l2o.RemotePolicy(server.url, "asg-base", token="a-wrong-token-000", cache=tmp_path)
    with pytest.raises(RemoteError, match="asg-base"):
        l2o.RemotePolicy(server.url, "asg-bass", token=TOKEN, cache=tmp_path)
    for url in ("127.0.0.1:8420", "ftp://x", "http://", "http://x:99999"):
        with pytest.raises(ValueError, match="is no URL"):
            l2o.RemotePolicy(url, "asg-base", cache=tmp_path)
    for wrong in ({"timeout": 0}, {"retries": -1}, {"failures": 0}, {"fallback": "cosin"}):
        with pytest.raises(ValueError):
            l2o.RemotePolicy(server.url, "asg-base", token=TOKEN, cache=tmp_path, **wrong)


def test_a_kept_bundle_that_was_damaged_is_refused(remote, tmp_path):
    policy = remote()
    folder = tmp_path / "cache" / policy.name.partition("@")[2]
    weights = folder / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="sha256"):
        remote()


def test_it_can_be_copied_and_pickled(remote):
    policy = remote()
    seen, state = torch.rand(3, len(policy.signals)), policy.initial_state(3)
    expected = policy(seen, state)[0]
    for other in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy)):
        assert torch.equal(other(seen, state)[0], expected)


def test_import_l2o_loads_nothing_of_the_web():
    code = "import l2o, sys; l2o.RemotePolicy; print([m for m in ('fastapi', 'pydantic', 'httpx') "
    code += "if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_circuits_open_double_their_pause_and_close():
    now = [0.0]
    circuit = Circuit(failures=2, pause=1.0, longest=3.0, clock=lambda: now[0])
    circuit.failed()
    assert circuit.closed
    waits = []
    for _ in range(4):
        circuit.failed()
        assert not circuit.closed
        assert not circuit.may_try
        begun = now[0]
        while not circuit.may_try:
            now[0] += 0.5
        waits.append(now[0] - begun)
    assert waits == [1.0, 2.0, 3.0, 3.0]
    circuit.worked()
    assert circuit.closed


def test_background_work_is_waited_for_only_so_long():
    worker, may = Background(), threading.Event()
    job = worker.begin(may.wait)
    with pytest.raises(TimeoutError):
        job.wait(0.05)
    assert worker.busy
    may.set()
    assert job.wait(5.0)
    assert not worker.busy
    with pytest.raises(ZeroDivisionError):
        worker.begin(lambda: 1 / 0).wait(5.0)


def test_tensors_go_and_come_bit_for_bit():
    tensor = torch.tensor([[0.1, -0.0, 1e-45], [3.4e38, 2.0, 1 / 3]])
    assert torch.equal(unpack(pack(tensor)), tensor)
    assert unpack(pack(torch.zeros(0, 3))).shape == (0, 3)
    for wrong in ({}, {"shape": [1], "float32": "AA"}, {"shape": ["x"], "float32": ""}, 3):
        with pytest.raises(ValueError, match="tensor"):
            unpack(wrong)
