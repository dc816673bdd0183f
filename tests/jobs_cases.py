"""Small jobs: commands that a test can hold in its hand, and a runner over them."""

import sys
import time
from pathlib import Path

from l2o.configs.yaml_text import format_yaml
from l2o.service.server.database import Database
from l2o.service.server.jobs.base import Needs
from l2o.service.server.jobs.capacity import Capacity
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.runner import Runner
from l2o.service.server.jobs.store import JobStore
from l2o.service.server.jobs.tables import TABLES


class Script(Command):
    """Runs Python text; stands in for commands of the command line where these would be slow."""

    name, about, example = "script", "a script", ""

    def resolve(self, given):
        return dict(given)

    def words(self, folder):
        return [str(folder.path / "script.py")]


class ScriptRunner(Runner):
    """A runner whose jobs are scripts; `python -m l2o` is left out of their words."""

    def __init__(self, data, cores=2, memory_gib=8.0):
        store = JobStore(Database(data / "service.db", [TABLES]))
        capacity = Capacity(tuple(range(cores)), (), memory_gib)
        super().__init__(store, data, capacity, commands={"script": Script()})

    def submit(self, text, **fields):
        """Add a job that runs the text as Python in its run folder."""
        id = self.store.new_id()
        folder = self.folder(id)
        folder.make(format_yaml({}))
        (folder.path / "script.py").write_text(f"import os\nos.chdir({str(folder.run)!r})\n{text}")
        needs = fields.pop("needs", None) or Needs(memory_gib=1.0)
        return self.store.add(id, "script", needs=needs, **fields)

    def until(self, id, *states, seconds=30.0):
        """Tick until a job is in one of these states; return it."""
        for job in tick(self, seconds):
            job = self.store.get(id)
            if job.state in states:
                return job
        raise AssertionError(f"job {id} is {self.store.get(id)} after {seconds} s")

    def until_file(self, id, name, seconds=30.0):
        """Tick until a job's run folder holds a file; return it."""
        path = self.folder(id).run / name
        for _ in tick(self, seconds):
            if path.exists():
                return path
        raise AssertionError(f"no {path} after {seconds} s")


def tick(runner, seconds):
    """Yield after each tick, for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runner.tick()
        yield
        time.sleep(0.02)


def use_scripts(monkeypatch):
    """Let started jobs run their words with Python itself."""
    import l2o.service.server.jobs.process as process

    plain = process.subprocess.Popen

    def popen(command, **keywords):
        at = command.index("-m")
        assert command[at : at + 2] == ["-m", "l2o"]
        start = next(i for i in range(at, 0, -1) if command[i] == sys.executable)
        return plain([*command[:start], sys.executable, *command[at + 2 :]], **keywords)

    monkeypatch.setattr(process.subprocess, "Popen", popen)


def write_tree(folder, files):
    """Write files by name; return the folder."""
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
