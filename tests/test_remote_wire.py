"""Answers of any server are read as HTTP says; what is none is told so, within the time."""

import socket
import threading
import time

import pytest

from l2o.integrations.remote.http import Client, RemoteError
from l2o.integrations.remote.wire import Wire, WireError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
READ = {
    "a length": (OK + b"Content-Length: 3\r\n\r\n[1]", [1]),
    "in parts": (OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n[1\r\n1\r\n]\r\n0\r\n\r\n", [1]),
    "until the end": (b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n[1]", [1]),
    "after a word before": (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n7",
        7,
    ),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "as bytes": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab"),
}
NONE = {
    "no HTTP": b"no HTTP at all\r\n\r\n",
    "a length that is none": OK + b"Content-Length: -3\r\n\r\n[1]",
    "a part without a length": OK + b"Transfer-Encoding: chunked\r\n\r\nno\r\n",
    "a head that does not end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "too much": OK + b"Content-Length: 99999999999\r\n\r\n",
    "cut short": OK + b"Content-Length: 5\r\n\r\n[1]",
}


def serve(answer, times=2):
    """Answer each connection once, and close it; return the address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run():
        with listening:
            for _ in range(times):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("case", READ)
def test_answers_are_read(case):
    answer, expected = READ[case]
    client = Client(serve(answer), "token", 5.0)
    assert client.ask("GET", "/v1/policies") == expected
    # The server has closed it meanwhile: that is no failure.
    time.sleep(0.05)
    assert client.ask("GET", "/v1/policies") == expected


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_answer_is_told_so(case):
    with pytest.raises(RemoteError, match="does not answer"):
        Client(serve(NONE[case]), "token", 5.0).ask("GET", "/v1/policies")


def test_without_a_connection_none_is_opened_if_so_asked():
    client = Client(serve(READ["a length"][0]), "token", 5.0)
    with pytest.raises(RemoteError) as error:
        client.ask("GET", "/", connect=False)
    assert error.value.stale
    assert client.ask("GET", "/") == [1]


def test_a_connection_says_what_went_wrong():
    wire = Wire("127.0.0.1", int(serve(b"").rpartition(":")[2]), False, time.monotonic() + 5)
    with pytest.raises(WireError, match="closed in the middle"):
        wire.ask("GET /", None, time.monotonic() + 5, 1000)
    with pytest.raises(TimeoutError):
        wire.ask("GET /", None, time.monotonic() - 1, 1000)
    wire.close()


@pytest.mark.parametrize("token", ["two\nlines", "naïve", "\x00"])
def test_tokens_that_no_header_can_hold_are_refused(token):
    with pytest.raises(ValueError, match="a token has"):
        Client("http://127.0.0.1:1", token)
