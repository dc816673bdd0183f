"""What operating the service takes: the files in docs/deploy, backups, restarts."""

import configparser
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from jobs_cases import ScriptRunner, use_scripts

from l2o.service.serve import serve
from l2o.service.server.auth import parse_tokens

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy"
DOCS = Path(__file__).parents[1] / "docs"


def options_of(words):
    """Hold the options of a command line `l2o serve ...` to those there are."""
    known = {f"--{name.replace('_', '-')}" for name in serve.__annotations__}
    assert words[1] == "serve", words
    given = {word for word in words if word.startswith("--")}
    assert given <= known, given - known
    return given


def test_the_unit_starts_what_there_is_and_spares_jobs():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOY / "l2o.service")
    service = unit["Service"]
    assert {"--data", "--token", "--host"} <= options_of(shlex.split(service["ExecStart"]))
    assert service["KillMode"] == "process", "jobs go on while the server is restarted"
    assert service["NoNewPrivileges"] == "yes"


def test_the_container_starts_what_there_is():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["l2o"]
    assert {"--data", "--token"} <= options_of(compose["command"])
    assert compose["ports"] == ["127.0.0.1:8420:8420"], "only this machine reaches it"
    assert compose["init"], "processes whose parent is gone are taken in"
    assert (DEPLOY / compose["build"]["context"]).resolve() == DEPLOY.parents[1]
    dockerfile = (DEPLOY.parents[1] / compose["build"]["dockerfile"]).read_text()
    command = re.search(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    options_of(yaml.safe_load(command[1]))
    assert "USER l2o" in dockerfile


def test_the_proxy_passes_on_what_the_server_needs():
    text = (DEPLOY / "nginx.conf").read_text()
    places = re.findall(r"location .*?\{(.*?)\n    \}", text, re.DOTALL)
    assert len(places) == 3
    for place in places:
        assert "proxy_set_header Host $http_host;" in place
        assert "proxy_set_header X-Forwarded-Proto $scheme;" in place
    assert sum("proxy_buffering off" in place for place in places) == 1
    assert sum("proxy_request_buffering off" in place for place in places) == 1
    assert text.count("{") == text.count("}")


def test_the_token_that_the_page_makes_is_one():
    page = (DOCS / "service-operation.md").read_text()
    assert "print(secrets.token_urlsafe(32), 'write ann')" in page
    assert parse_tokens("0123456789012345678901234567890123456789abc write ann\n")[0].name == "ann"


@pytest.fixture
def scripts(monkeypatch):
    use_scripts(monkeypatch)


def test_a_backup_of_a_running_server_is_restored(tmp_path, scripts):
    text = (
        "import time\nopen('begun', 'a').write('x')\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\n"
    )
    runner = ScriptRunner(tmp_path / "data")
    done = runner.until(runner.submit("open('made', 'w').close()").id, "succeeded")
    at_work = runner.submit(text)
    runner.until_file(at_work.id, "begun")
    waiting = runner.submit("pass", after=[at_work.id])

    # As the page says: the database by SQLite's own backup, then the files.
    backup = tmp_path / "backup"
    backup.mkdir()
    with (
        closing(sqlite3.connect(runner.data / "service.db")) as source,
        closing(sqlite3.connect(backup / "service.db")) as copy,
    ):
        source.backup(copy)
    ignored = shutil.ignore_patterns("service.db*", "*.lock")
    shutil.copytree(runner.data, backup, ignore=ignored, dirs_exist_ok=True)
    (runner.folder(at_work.id).run / "go").touch()
    runner.until(at_work.id, "succeeded")

    # A job's script names its own run folder; that of the backup is another one.
    for job in (at_work, waiting):
        script = backup / "jobs" / job.id / "script.py"
        script.write_text(script.read_text().replace(str(runner.data), str(backup)))
    restored = ScriptRunner(backup)
    assert restored.store.get(done.id).state == "succeeded"
    assert (restored.folder(done.id).run / "made").exists()
    (restored.folder(at_work.id).run / "go").touch()
    job = restored.until(at_work.id, "succeeded")
    assert (job.attempt, job.kills) == (2, 1)
    restored.until(waiting.id, "succeeded")
