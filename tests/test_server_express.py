"""Hot requests are answered where HTTP is read: as the ordinary way answers them, in all cases."""

import json
import socket
import time

import pytest
from server_cases import READER, TOKEN, Server

GROUPS = [{"name": "a", "size": 10}, {"name": "b", "size": 5, "is_head": True}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"), "body_seconds=1")
    yield running
    assert running.stop() == 0


@pytest.fixture
def path(server):
    opening = {"policy": "asg-base", "groups": GROUPS, "base_lr": 0.1, "total_steps": 100}
    status, told = server.ask("POST", "/v1/sessions", opening)
    assert status == 201, told
    return f"/v1/sessions/{told['session']}/decisions"


def post(path, body, *more, token=TOKEN, kind="application/json", length=True):
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, *more, "", ""]).encode() + body


def measured(step, **more):
    return json.dumps({"step": step, "loss": 1.0, "weight_norm": [1.0, 2.0], **more}).encode()


class Line:
    """A connection that is kept open."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10.0)
        self.read = b""

    def send(self, *parts, pause=0.0):
        for part in parts:
            self.socket.sendall(part)
            time.sleep(pause)

    def answer(self):
        """Return status, headers and body of the next answer."""
        while b"\r\n\r\n" not in self.read:
            self._more()
        head, _, self.read = self.read.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        length = int(headers["content-length"])
        while len(self.read) < length:
            self._more()
        body, self.read = self.read[:length], self.read[length:]
        return int(first.split()[1]), headers, json.loads(body)

    def _more(self):
        part = self.socket.recv(65536)
        assert part, "the connection was closed"
        self.read += part

    def closed(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_requests_one_after_the_other_whole_and_in_pieces(server, path):
    with Line(server) as line:
        for step in (10, 20, 30):
            text = post(path, measured(step))
            cut = text.index(b"\r\n\r\n") + 4
            pieces = {
                10: [text],
                20: [text[:cut], text[cut:]],
                30: [text[:9], text[9:-3], text[-3:]],
            }
            line.send(*pieces[step], pause=0.05)
            status, headers, told = line.answer()
            assert (status, told["step"], told["next_step"]) == (200, step, step + 10)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-type"] == "application/json"
            assert "date" in headers


def test_requests_sent_together_are_answered_in_order(server, path):
    get = f"GET /v1/policies/asg-base/versions HTTP/1.1\r\nHost: x\r\n{_bearer()}\r\n".encode()
    with Line(server) as line:
        line.send(post(path, measured(10)) + get + post(path, measured(20)) + get)
        found = [line.answer() for _ in range(4)]
    assert [status for status, _, _ in found] == [200] * 4
    assert [found[0][2]["step"], found[2][2]["step"]] == [10, 20]


def _bearer():
    return f"Authorization: Bearer {TOKEN}\r\n"


REFUSED = {
    "a wrong measurement": (post, {"body": measured(10, loss="much")}, 422),
    "no JSON": (post, {"body": b"{"}, 422),
    "another step": (post, {"body": measured(15)}, 409),
    "another kind": (post, {"body": measured(10), "kind": "text/plain"}, 415),
    "a wrong token": (post, {"body": measured(10), "token": "a-token-that-nobody-has"}, 401),
    "a token that reads": (post, {"body": measured(10), "token": READER}, 403),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_a_problem_and_the_connection_goes_on(server, path, case):
    make, given, expected = REFUSED[case]
    with Line(server) as line:
        line.send(make(path, **given))
        status, headers, told = line.answer()
        assert (status, told["status"]) == (expected, expected)
        assert headers["content-type"] == "application/problem+json"
        assert told["detail"]
        line.send(post(path, measured(10)))
        assert line.answer()[0] == 200


def test_unusual_requests_go_the_ordinary_way(server, path):
    chunked = measured(10)
    body = f"{len(chunked):x}\r\n".encode() + chunked + b"\r\n0\r\n\r\n"
    with Line(server) as line:
        head = post(path, b"", "Transfer-Encoding: chunked", length=False)
        line.send(head + body)
        first = line.answer()
        line.send(post(path + "?x=1", measured(10)))
        line.send(post(path.replace("decisions", "%64ecisions"), measured(10), kind=None))
        line.send(post(path, measured(10), "X-Forwarded-For: 1.2.3.4"))
        others = [line.answer() for _ in range(3)]
        line.send(post(path, measured(10), "Connection: close"))
        last = line.answer()
        assert line.closed()
    assert first[0] == 200
    assert all(each[2] == first[2] for each in (*others, last))


def test_a_body_that_does_not_end_is_given_up(server, path):
    with Line(server) as line:
        line.send(post(path, measured(10))[:-5])
        status, headers, told = line.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert "body" in told["detail"]
        assert line.closed()


def test_who_leaves_in_the_middle_harms_nobody(server, path):
    text = post(path, measured(10))
    for sent in (text[:-5], text):
        with Line(server) as line:
            line.send(sent)
    time.sleep(0.1)
    assert server.ask("POST", path, json.loads(measured(10)))[0] == 200
    metrics = server.ask("GET", "/metrics")[1].decode()
    assert 'route="/v1/sessions/{key}/decisions",status="200"' in metrics
    assert "Traceback" not in server.log.read_text()
