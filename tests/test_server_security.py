"""What a server refuses: strangers, bodies too large or too slow, foreign bundles, code by name."""

import hashlib
import json
import socket
import time
import zipfile
from contextlib import suppress

import pytest
import torch
from safetensors.torch import save
from server_cases import READER, TOKEN, Server

import l2o
from l2o.files.seals import seal_json
from l2o.service.server.auth import parse_tokens, recognise
from l2o.service.server.limits import Rates
from l2o.service.server.logs import without_secrets

WRITING = [
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/decisions"),
    ("POST", "/v1/sessions/some/decisions"),
    ("POST", "/v1/decide"),
    ("POST", "/v1/policies/asg-base/decisions"),
    ("PUT", "/v1/policies/mine"),
    ("PUT", "/v1/telemetry/runs/some"),
    ("DELETE", "/v1/sessions/some"),
]
READING = [
    "/v1/policies",
    "/v1/policies/asg-base",
    "/v1/sessions",
    "/v1/telemetry/runs",
    "/metrics",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


@pytest.fixture(scope="module")
def bundle():
    found = l2o.list_policies()["asg-lite"]
    return {name: (found / name).read_bytes() for name in ("card.json", "policy.safetensors")}


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ä" * 20])
def test_nothing_is_told_without_the_right_token(server, token):
    for path in READING:
        headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
        status, answer = server.ask("GET", path, token=None, headers=headers)
        assert status in (401, 429), path
        assert TOKEN not in json.dumps(answer)


def test_a_token_that_may_read_cannot_write(server):
    for path in READING:
        assert server.ask("GET", path, token=READER)[0] == 200, path
    for method, path in WRITING:
        status, answer = server.ask(method, path, {}, token=READER)
        assert status == 403, path
        assert "write" in answer["remedy"]


def test_other_schemes_and_tokens_in_the_address_do_not_count(server):
    for headers in ({"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}, {}):
        path = f"/v1/policies?token={TOKEN}"
        assert server.ask("GET", path, token=None, headers=headers)[0] in (401, 429)


def test_a_page_of_another_site_cannot_use_the_browsers_token(server):
    cookie = {"Cookie": f"l2o_token={TOKEN}"}
    assert server.ask("GET", "/v1/policies", token=None, headers=cookie)[0] == 200
    path = "/v1/telemetry/runs/cookie"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        headers = cookie | {"Origin": origin}
        assert server.ask("PUT", path, {}, token=None, headers=headers)[0] == 403
    assert server.ask("PUT", path, {}, token=None, headers=cookie)[0] == 403
    own = cookie | {"Origin": server.url}
    assert server.ask("PUT", path, {}, token=None, headers=own)[0] == 200


def test_answers_allow_no_other_site(server):
    server.ask("GET", "/v1/policies", headers={"Origin": "http://evil.example"})
    names = {name.lower() for name in server.headers}
    assert not any(name.startswith("access-control") for name in names)
    assert "x-content-type-options" in names
    assert "server" not in names


def test_guessing_is_slowed_down(tmp_path):
    running = Server(tmp_path)
    try:
        found = [running.ask("GET", "/v1/policies", token=f"guess-{i}")[0] for i in range(40)]
        assert found[:20] == [401] * 20
        assert found[-1] == 429
        assert "retry-after" in {name.lower() for name in running.headers}
        log = running.log.read_text()
        assert TOKEN not in log
        assert "guess-1" not in log
    finally:
        running.kill()


def raw(server, text, seconds=10.0):
    """Send bytes as they are, and return what comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(text)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
                if b"\r\n\r\n" in found:
                    break
        except (TimeoutError, ConnectionError):
            pass
        return found


HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/decide", "/v1/sessions/x/decisions"])
def test_a_body_that_says_it_is_huge_is_refused_before_it_is_read(server, path):
    text = f"POST {path} HTTP/1.1\r\n{HEAD}Content-Length: 99999999999\r\n\r\n"
    begun = time.monotonic()
    assert b"413" in raw(server, text.encode()).split(b"\r\n")[0]
    assert time.monotonic() - begun < 5


def test_a_body_that_grows_huge_is_refused(server):
    text = f"POST /v1/sessions HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with suppress(ConnectionError):  # closed while we were sending
        assert b"413" in raw(server, text + chunk * 40).split(b"\r\n")[0]
    assert server.alive()


def test_a_slow_body_is_given_up(tmp_path):
    running = Server(tmp_path, "body_seconds=0.5")
    try:
        text = f"POST /v1/sessions HTTP/1.1\r\n{HEAD}Content-Length: 100\r\n\r\n" + "{"
        begun = time.monotonic()
        assert b"408" in raw(running, text.encode()).split(b"\r\n")[0]
        assert time.monotonic() - begun < 5
        # A head that never ends, and a connection on which nothing comes.
        for text in (b"GET /healthz HTTP/1.1\r\nHost:", b""):
            begun = time.monotonic()
            assert raw(running, text, seconds=9.0) == b""
            assert time.monotonic() - begun < 8
        assert running.alive()
    finally:
        running.kill()


BODIES = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 5000, b"[" * 100_000, b"1" * 5000]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:8].hex() or "empty")
def test_bodies_that_are_no_question_are_refused(server, body):
    for path in ("/v1/sessions", "/v1/decide", "/v1/policies/asg-base/decisions"):
        status, answer = server.ask(
            "POST", path, body, headers={"Content-Type": "application/json"}
        )
        assert status == 422, (path, answer)
        assert "Traceback" not in json.dumps(answer)


def test_requests_that_are_none_end_nothing(server):
    for text in (b"\x00" * 100, b"GET\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n", b"\x16\x03\x01"):
        raw(server, text, seconds=1.0)
    assert server.alive()


@pytest.mark.parametrize(
    "name", ["../x", "..%2f..%2fx", "%2e%2e/x", "a/b", "A", "x" * 200, "a\x00"]
)
def test_names_of_policies_stay_in_their_folder(server, bundle, name):
    status, _ = upload(server, name.replace("\x00", "%00"), bundle)
    assert status in (404, 405, 422)
    for path in (f"/v1/policies/{name}", f"/v1/policies/asg-base/files/{name}"):
        assert server.ask("GET", path.replace("\x00", "%00"))[0] in (404, 405, 422)


def upload(server, name, files, token=TOKEN):
    border = "border-of-parts"
    parts = []
    for field, file in (("card", "card.json"), ("weights", "policy.safetensors")):
        if file in files:
            told = f'Content-Disposition: form-data; name="{field}"; filename="{file}"'
            parts.append(f"--{border}\r\n{told}\r\n\r\n".encode() + files[file] + b"\r\n")
    body = b"".join(parts) + f"--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    return server.ask("PUT", f"/v1/policies/{name}", body, token, kind)


def test_a_bundle_comes_back_as_it_went(server, bundle, tmp_path):
    status, answer = upload(server, "mine", bundle)
    assert status == 201, answer
    assert upload(server, "mine", bundle)[0] == 200  # the same again is the same version
    shipped = server.ask("GET", "/v1/policies/asg-lite")[1]
    assert answer["version"] == shipped["version"]
    for file, data in bundle.items():
        assert server.ask("GET", f"/v1/policies/mine/files/{file}")[1] == data
    first = server.ask("GET", "/v1/policies/mine/download")[1]
    assert server.ask("GET", f"/v1/policies/mine@{answer['version']}/download")[1] == first
    (tmp_path / "mine.zip").write_bytes(first)
    zipfile.ZipFile(tmp_path / "mine.zip").extractall(tmp_path)
    assert l2o.load_policy(tmp_path / "mine").signals.names
    known = {"If-None-Match": f'"{answer["version"]}"'}
    assert server.ask("GET", "/v1/policies/mine", headers=known)[0] == 304
    assert server.ask("GET", "/v1/policies/mine@0123456789abcdef")[0] == 404
    assert upload(server, "asg-base", bundle)[0] == 409


def changed(bundle, change, weights=None):
    card = json.loads(bundle["card.json"])
    card.pop("card_sha256", None)
    change(card)
    weights = bundle["policy.safetensors"] if weights is None else weights
    card["sha256"] = hashlib.sha256(weights).hexdigest()
    sealed = json.dumps(seal_json(card, "card_sha256")).encode()
    return {"card.json": sealed, "policy.safetensors": weights}


def huge(card):
    card["architecture"]["hidden"] = 10**9


def wide(card):
    card["architecture"]["hidden"] = 60_000


def deep(card):
    card["architecture"] = {"kind": "asg_2020", "groups": 10**7}


def code_as_signal(card):
    card["signals"]["names"].append("os:getcwd")


def code_as_interval(card):
    card["interval"] = {"name": "os:getcwd"}


def code_as_kind(card):
    card["architecture"]["kind"] = "os:system"


FOREIGN = {
    "huge": (huge, 422),
    "wide": (wide, 422),
    "deep": (deep, 422),
    "code as a signal": (code_as_signal, 403),
    "code as an interval": (code_as_interval, 403),
    "code as a kind": (code_as_kind, 422),
    "no architecture": (lambda card: card.pop("architecture"), 422),
    "no signals": (lambda card: card.pop("signals"), 422),
    "newer": (lambda card: card.update(format=99), 422),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_bundles_are_refused(server, bundle, name):
    change, expected = FOREIGN[name]
    status, answer = upload(server, "foreign", changed(bundle, change))
    assert status == expected, answer
    assert answer["remedy"]
    assert server.ask("GET", "/v1/policies/foreign")[0] == 404


def test_files_that_are_no_bundle_are_refused(server, bundle):
    other = save({"x": torch.zeros(3)})
    for files in (
        {"card.json": b"{}", "policy.safetensors": b""},
        {"card.json": b"no json", "policy.safetensors": b""},
        {"card.json": b"[" * 100_000, "policy.safetensors": b""},
        {"card.json": bundle["card.json"], "policy.safetensors": b"\x80\x04pickle"},
        {"card.json": bundle["card.json"], "policy.safetensors": other},
        {"card.json": bundle["card.json"]},
        {},
    ):
        assert upload(server, "foreign", files)[0] == 422, files.keys()
    damaged = bytearray(bundle["policy.safetensors"])
    damaged[-1] ^= 1
    status, answer = upload(server, "foreign", bundle | {"policy.safetensors": bytes(damaged)})
    assert status == 422
    assert "sha256" in answer["detail"]


def test_tokens_of_a_file():
    text = "# comment\n0123456789abcdef\n0123456789abcdeg read ann lee  # hers\n"
    first, second = parse_tokens(text)
    assert (first.right, second.right, second.name) == ("write", "read", "ann lee")
    assert recognise("0123456789abcdeg", [first, second]) is second
    assert recognise("0123456789abcdeh", [first, second]) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no token"),
        ("short", "guessed"),
        ("0123456789abcdef admin", "read or write"),
        ("0123456789abcdef\n0123456789abcdef", "twice"),
        ("0123456789abcdef read a;b", "name"),
    ],
)
def test_files_of_tokens_that_cannot_be_used(text, told):
    with pytest.raises(ValueError, match=told):
        parse_tokens(text)


def test_rates_refill_and_forget_the_oldest():
    rates = Rates(2.0, 4.0)
    assert [rates.take("a", now=0.0) == 0.0 for _ in range(6)] == [True] * 4 + [False] * 2
    assert rates.take("b", now=0.0) == 0.0
    assert rates.take("a", now=1.0) == 0.0


def test_logs_hide_what_looks_like_a_token():
    for text in (f"Bearer {TOKEN}", f"token={TOKEN}", f"l2o_token={TOKEN}; x"):
        assert TOKEN not in without_secrets(text)
