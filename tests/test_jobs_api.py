"""Jobs over HTTP: a real fine-tune from the request to its report, and what is refused."""

import io
import json
import time
import zipfile

import pytest
from server_cases import READER, Server

SHORT = {"extends": "digits", "finetuning": {"steps": 40}, "evaluations": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("server"))
    yield found
    for job in found.ask("GET", "/v1/jobs?state=running&state=queued")[1]["jobs"]:
        found.ask("POST", f"/v1/jobs/{job['id']}/cancel")
    wait_for(found, lambda: not found.ask("GET", "/v1/jobs?state=running")[1]["jobs"])
    assert found.stop() == 0
    assert "Traceback" not in found.log.read_text()


@pytest.fixture(scope="module")
def done(server):
    """A fine-tune that has ended."""
    asked = {"command": "finetune", "config": SHORT, "name": "my digits", "key": "done"}
    status, job = server.ask("POST", "/v1/jobs", asked)
    assert status == 201, job
    assert server.headers["location"] == f"/v1/jobs/{job['id']}"
    events = listen(server, job["id"])
    assert server.ask("GET", f"/v1/jobs/{job['id']}")[1]["state"] == "succeeded"
    return job["id"], events


def wait_for(server, what, seconds=60.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, server.log.read_text()[-3000:]
        time.sleep(0.05)


def listen(server, id, after=""):
    """Return all events of a job's stream until it ends."""
    status, data = server.ask("GET", f"/v1/jobs/{id}/events?after={after}", timeout=90)
    assert status == 200
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return found


def test_a_stream_tells_states_numbers_and_log(server, done):
    id, events = done
    states = [data["state"] for kind, data, _ in events if kind == "state"]
    assert states[-1] == "succeeded"
    assert set(states) <= {"queued", "running", "succeeded"}
    rows = [row for kind, data, _ in events if kind == "rows" for row in data["rows"]]
    losses = [row for row in rows if "train/loss" in row["values"]]
    assert [row["time"] for row in losses] == [10, 20, 30, 40]
    assert {"lr/conv1", "lr/head"} <= set(losses[0]["values"])
    log = "".join(data["text"] for kind, data, _ in events if kind == "log")
    assert "target accuracy" in log
    assert events[-1][0] == "end"
    last = [place for _, _, place in events if place][-1]
    again = listen(server, id, after=last)
    assert [kind for kind, _, _ in again] == ["state", "end"], "nothing is told twice"


def test_what_is_told_of_a_job(server, done):
    id, _ = done
    job = server.ask("GET", f"/v1/jobs/{id}", token=READER)[1]
    assert job["progress"] == {"done": 40, "total": 40, "unit": "steps", "share": 1.0}
    assert (job["name"], job["attempt"], job["folder"]) == ("my digits", 1, f"jobs/{id}/run")
    curves = server.ask("GET", f"/v1/jobs/{id}/curves")[1]["curves"]
    assert [time for time, _ in curves["train/loss"]] == [10, 20, 30, 40]
    assert "extends" not in server.ask("GET", f"/v1/jobs/{id}/config")[1].decode()
    status, text = server.ask("GET", f"/v1/jobs/{id}/log?offset=-10")
    assert (status, len(text)) == (200, 10)
    listed = server.ask("GET", "/v1/jobs?state=succeeded&limit=1")[1]
    assert listed["jobs"][0]["id"] == id
    assert listed["counts"]["succeeded"] == 1


def test_the_same_key_is_the_same_job(server, done):
    asked = {"command": "finetune", "config": SHORT, "key": "done"}
    assert server.ask("POST", "/v1/jobs", asked)[1]["id"] == done[0]


def test_reports_are_shown_and_networks_downloaded(server, done):
    id, _ = done
    files = {each["path"]: each["bytes"] for each in server.ask("GET", f"/v1/jobs/{id}/files")[1]}
    assert {"report.html", "model.safetensors", "figures/learning_rates.png"} <= set(files)
    status, report = server.ask("GET", f"/v1/jobs/{id}/files/report.html")
    assert (status, len(report)) == (200, files["report.html"])
    assert "sandbox" in server.headers["content-security-policy"]
    assert server.headers["content-type"].startswith("text/html")
    server.ask("GET", f"/v1/jobs/{id}/files/model.safetensors")
    assert "attachment" in server.headers["content-disposition"]


@pytest.mark.parametrize(
    "path",
    [
        *("../config.yaml", "..%2Fconfig.yaml", "%2e%2e/log.txt", "/etc/passwd", "%2Fetc/passwd"),
        *(".l2o.lock", "a/../../lock", "nothing", "figures", "x%00y", "..%5C..%5Cservice.db"),
    ],
)
def test_files_of_others_are_not_there(server, done, path):
    assert server.ask("GET", f"/v1/jobs/{done[0]}/files/{path}")[0] == 404


def test_links_in_a_run_folder_are_no_files_of_it(server, done):
    run = server.folder / "data" / "jobs" / done[0] / "run"
    (run / "link").symlink_to(server.tokens)
    (run / "folder").symlink_to(server.folder)
    assert server.ask("GET", f"/v1/jobs/{done[0]}/files/link")[0] == 404
    assert server.ask("GET", f"/v1/jobs/{done[0]}/files/folder/tokens")[0] == 404
    listed = {each["path"] for each in server.ask("GET", f"/v1/jobs/{done[0]}/files")[1]}
    assert not {"link", "folder/tokens"} & listed


def test_a_running_job_is_cancelled_retried_and_deleted(server, done):
    long = SHORT | {"finetuning": {"steps": 200_000}}
    id = server.ask("POST", "/v1/jobs", {"command": "finetune", "config": long})[1]["id"]

    def state():
        return server.ask("GET", f"/v1/jobs/{id}")[1]

    wait_for(server, lambda: (state()["progress"] or {"done": 0})["done"] > 10)
    assert server.ask("DELETE", f"/v1/jobs/{id}")[0] == 409
    assert server.ask("POST", f"/v1/jobs/{id}/cancel")[1]["cancelling"]
    wait_for(server, lambda: state()["state"] == "cancelled")
    assert (server.folder / "data" / "jobs" / id / "run" / "checkpoints" / "latest.pt").is_file()
    assert server.ask("POST", f"/v1/jobs/{id}/retry")[1]["state"] in ("queued", "running")
    server.ask("POST", f"/v1/jobs/{id}/cancel")
    wait_for(server, lambda: state()["state"] == "cancelled")
    assert server.ask("DELETE", f"/v1/jobs/{id}")[0] == 204
    assert server.ask("GET", f"/v1/jobs/{id}")[0] == 404
    assert not (server.folder / "data" / "jobs" / id).exists()


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"command": "finetune", "config": {"task": {"name": "os:system"}}}, 403, "--allow-code"),
        ({"command": "finetune", "config": "task: {name: 'a.b:C'}"}, 403, "--allow-code"),
        ({"command": "finetune", "config": {"source": "/etc"}}, 403, "uploads/NAME"),
        ({"command": "finetune", "config": {"base_lrr": 1}}, 422, "base_lr"),
        ({"command": "rm", "config": {}}, 422, "Jobs run"),
        ({"command": "finetune", "after": ["0" * 12]}, 404, "no job"),
        ({"command": "finetune", "needs": {"cores": 4000}}, 422, "the machine has"),
        ({"command": "finetune", "config": 3}, 422, "config"),
        ({"config": {}}, 422, "command"),
        ([], 422, ""),
    ],
)
def test_wrong_submissions(server, asked, status, message):
    before = server.ask("GET", "/v1/jobs")[1]["counts"]
    found, answer = server.ask("POST", "/v1/jobs", asked)
    assert found == status, answer
    assert message in answer["detail"]
    assert server.ask("GET", "/v1/jobs")[1]["counts"] == before


def test_who_may_read_may_not_submit(server):
    asked = {"command": "finetune", "config": SHORT}
    assert server.ask("POST", "/v1/jobs", asked, token=READER)[0] == 403
    assert server.ask("POST", "/v1/jobs", asked, token=None)[0] == 401
    assert server.ask("GET", "/v1/jobs", token="wrong-token-0000000")[0] == 401


def test_uploads_come_and_go(server):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("cat/a.png", b"1234")
    status, told = server.ask("PUT", "/v1/uploads/photos", made.getvalue())
    assert (status, told["files"], told["path"]) == (201, 1, "uploads/photos")
    assert (server.folder / "data" / "uploads" / "photos" / "cat" / "a.png").is_file()
    assert server.ask("PUT", "/v1/uploads/photos", made.getvalue())[0] == 409
    assert server.ask("GET", "/v1/uploads")[1] == [told]
    assert server.ask("DELETE", "/v1/uploads/photos")[0] == 204
    assert server.ask("GET", "/v1/uploads/photos")[0] == 404


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fx", ".hidden", "a%2Fb", "x" * 90, "a%00b"])
def test_names_that_no_upload_has(server, name):
    status, _ = server.ask("PUT", f"/v1/uploads/{name}", b"PK")
    assert status in (404, 405, 409)


def test_a_refused_archive_leaves_nothing(server):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../../escaped", b"1234")
    status, told = server.ask("PUT", "/v1/uploads/bad", made.getvalue())
    assert (status, "leads out" in told["detail"]) == (422, True)
    data = server.folder / "data"
    assert not (data / "uploads" / "bad").exists()
    assert list((data / "coming").iterdir()) == []
    assert not (server.folder / "escaped").exists()


def test_the_machine(server):
    told = server.ask("GET", "/v1/system")[1]
    assert told["cores"] >= 1
    assert 0 <= told["disk_used"] <= 1
    text = server.ask("GET", "/metrics")[1].decode()
    assert 'l2o_jobs{state="succeeded"}' in text
