"""The dashboard's pages without a browser: signing in, what they say, and what they refuse."""

import re

import pytest
from starlette.testclient import TestClient

from l2o.service.server import Settings, create_app
from l2o.service.server.dashboard.measured import Measured, lines
from l2o.service.server.dashboard.rendering import duration, size
from l2o.service.server.jobs.part import Jobs

WRITER, READER = "a-token-that-writes-0001", "a-token-that-reads-00001"
PAGES = ("/", "/jobs", "/jobs?state=failed", "/jobs/new", "/jobs/new?command=predict", "/policies")
PAGES += ("/policies/asg-base", "/policies/asg-2020", "/live", "/uploads", "/system")
PAGES += ("/compare",)
HTML = {"Accept": "text/html"}
FROM_HERE = {**HTML, "Origin": "http://testserver"}
HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    tokens = folder / "tokens"
    tokens.write_text(f"{WRITER} write writer\n{READER} read reader\n")
    # Without its life span: no job is started.
    return create_app(Settings(data=folder / "data", token=tokens))


def visitor(app, token=None):
    client = TestClient(app, follow_redirects=False)
    if token is not None:
        answer = client.post("/login", data={"token": token}, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        kept = answer.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=strict" in kept
    return client


@pytest.fixture(scope="module")
def writer(app):
    return visitor(app, WRITER)


def submit(client, **fields):
    form = {"command": "finetune", "config": "extends: digits\n"} | fields
    return client.post("/jobs/new", data=form, headers=FROM_HERE)


def test_strangers_are_asked_to_sign_in(app):
    client = visitor(app)
    for page in PAGES:
        answer = client.get(page, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    wrong = client.post("/login", data={"token": "wrong"}, headers=HTML)
    assert wrong.status_code == 401
    assert "not a token of this server" in wrong.text
    assert "set-cookie" not in wrong.headers


def test_guessing_tokens_is_slowed_down(tmp_path):
    (tmp_path / "tokens").write_text(f"{WRITER}\n")
    settings = Settings(data=tmp_path / "data", token=tmp_path / "tokens", failures=5)
    client = visitor(create_app(settings))
    answers = [client.post("/login", data={"token": str(n)}).status_code for n in range(8)]
    assert answers == [401] * 5 + [429] * 3


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_whole_and_load_nothing_from_elsewhere(writer, page):
    answer = writer.get(page, headers=HTML)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("</html>")
    links = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
    assert all(link.startswith(("/", "#")) for link in links), links
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


def test_a_job_is_submitted_cancelled_retried_and_deleted(writer):
    answer = submit(writer, name="mine", priority="3", cores="1", memory_gib="0.5")
    assert answer.status_code == 303
    page = answer.headers["location"]
    text = writer.get(page, headers=HTML).text
    assert "mine" in text
    assert "0.5 GiB" in text
    for action, state in (("cancel", "cancelled"), ("retry", "queued"), ("cancel", "cancelled")):
        done = writer.post(f"{page}/{action}", headers=FROM_HERE)
        assert (done.status_code, done.headers["location"]) == (303, page)
        assert f'class="badge {state}"' in writer.get(page, headers=HTML).text
    assert writer.post(f"{page}/delete", headers=FROM_HERE).headers["location"] == "/jobs"
    assert writer.get(page, headers=HTML).status_code == 404


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": "base_lrr: 1"}, "base_lr"),
        ({"config": "task: {name: 'a.b:C'}"}, "--allow-code"),
        ({"config": "source: /etc"}, "uploads/NAME"),
        ({"config": "a: [1"}, "config"),
        ({"cores": "many"}, "cores"),
        ({"priority": "5000"}, "1000"),
        ({"after": "not an id"}, "after"),
        ({"command": "rm"}, "Jobs run"),
    ],
)
def test_a_form_that_is_refused_keeps_what_was_typed(writer, fields, message):
    answer = submit(writer, name="typed", **fields)
    assert answer.status_code in (403, 422)
    assert message in answer.text
    assert 'role="alert"' in answer.text
    if "command" not in fields:
        assert 'value="typed"' in answer.text


def test_other_sites_cannot_submit(writer):
    form = {"command": "finetune", "config": "extends: digits\n"}
    for origin in ("http://evil.example", "null"):
        answer = writer.post("/jobs/new", data=form, headers={**HTML, "Origin": origin})
        assert answer.status_code == 403
    assert writer.post("/jobs/new", data=form, headers=HTML).status_code == 403


def test_who_may_read_sees_and_changes_nothing(app):
    client = visitor(app, READER)
    assert "New job" not in client.get("/jobs", headers=HTML).text
    assert submit(client).status_code == 403


def test_what_is_typed_is_shown_and_not_run(app, writer):
    page = submit(writer, name=HOSTILE).headers["location"]
    id = page.rpartition("/")[2]
    jobs = next(part for part in app.state.parts if isinstance(part, Jobs))
    folder = jobs.queue.runner.folder(id)
    folder.log.write_text(HOSTILE)
    (folder.run / "<img onerror=alert(1)>.html").write_text(HOSTILE)
    for each in (page, "/jobs", "/", f"/compare?job={id}"):
        text = writer.get(each, headers=HTML).text
        assert "<script>alert" not in text
        assert "<img onerror" not in text
    assert "&lt;script&gt;" in writer.get(page, headers=HTML).text


def test_problems_of_pages_are_pages(writer):
    for path in ("/jobs/000000000000", "/jobs/nothing", "/policies/nothing", "/live/nothing"):
        answer = writer.get(path, headers=HTML)
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"].startswith("text/html")
        assert 'role="alert"' in answer.text


def test_static_files_are_those_of_the_table(writer):
    assert writer.get("/static/charts.js").status_code == 200
    for name in ("../part.py", "..%2fpart.py", "templates/base.html", "nothing"):
        assert writer.get(f"/static/{name}").status_code == 404


def test_signing_out_forgets_the_token(app):
    client = visitor(app, WRITER)
    assert client.post("/logout", headers=FROM_HERE).headers["location"] == "/login"
    assert client.get("/jobs", headers=HTML).headers["location"] == "/login"


def test_numbers_as_people_read_them():
    assert [size(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    told = [duration(s) for s in (None, 5, 65, 3700, 200_000)]
    assert told == ["", "5 s", "1 min 5 s", "1 h 1 min", "2 d 7 h"]


def test_measured_values_lie_on_one_scale_with_zero():
    found = lines(
        [
            Measured("a", 5.0, 0.0, 10.0, "points", True),
            Measured("b", -5.0, -10.0, 0.0, "points", False),
        ]
    )
    assert [line.zero for line in found] == [50.0, 50.0]
    assert [(line.low, line.value, line.high) for line in found] == [(50, 74, 98), (2, 26, 50)]
    assert [line.kind for line in found] == ["holds", "fails"]


@pytest.mark.parametrize("figure", [None, {}, {"value": "x"}, {"value": float("nan")}, [1]])
def test_figures_that_are_no_numbers_are_left_out(figure):
    assert Measured.of(figure) is None
