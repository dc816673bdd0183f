"""The installed command `l2o`, in a process of its own and a folder of somebody's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MINE = """
from tiny import TinyFamily

class Mine(TinyFamily):
    pass
"""
IN_THE_WAY = "raise RuntimeError('imported from the current folder')"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a module, and with others called like what is installed."""
    (tmp_path / "mine.py").write_text(MINE)
    for name in ("numpy", "json", "l2o"):
        (tmp_path / f"{name}.py").write_text(IN_THE_WAY)
    return tmp_path


def command(folder, *words, safe="", start=None):
    """Return what `l2o WORDS` does in a folder that no variable names."""
    # An empty entry would name the current folder.
    entries = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(entry for entry in entries if entry)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": safe}
    started = [str(Path(sys.executable).with_name("l2o"))] if start is None else start
    return subprocess.run(
        [*started, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_dotted_paths_name_modules_of_the_current_folder(folder):
    words = ["finetune", "digits", "task={name: mine:Mine}", "finetuning.steps=4", "--out", "run"]
    done = command(folder, *words)
    assert done.returncode == 0, done.stderr
    assert (folder / "run" / "results.json").exists()
    refused = command(folder, *words, "task={name: mine:Yours}", safe="1")
    assert refused.returncode == 2
    assert "cannot import task 'mine:Yours': No module named 'mine'" in refused.stderr
    assert "or, for the command line, in the current folder" in refused.stderr


def test_the_package_is_the_command(tmp_path):
    started = [sys.executable, "-m", "l2o"]
    for words, code in ((["--version"], 0), (["policies", "no-such-policy"], 2)):
        there, here = (command(tmp_path, *words, start=start) for start in (started, None))
        assert (there.returncode, there.stdout, there.stderr) == (code, here.stdout, here.stderr)
