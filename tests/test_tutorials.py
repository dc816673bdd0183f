"""The tutorials as a reader follows them: files are written, commands run, code runs in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[1] / "docs/tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(python|sh|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")


def environment():
    """Return the variables of a shell in which `l2o` is that of these tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # With a safe path, `l2o` would not look into the folder of the page.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return kept | {"PATH": path}


def steps(text):
    """Return a page as one shell script; code that is no file of its own adds up, in order."""
    shell, python, ran = ["set -euo pipefail"], "", ""
    for language, code in [*BLOCK.findall(text), ("sh", "")]:
        if match := FILE.match(code):
            shell.append(written(match[1], code))
        elif language == "python":
            python += code
        elif language == "sh":
            if python != ran:
                shell += [written("script.py", python), f"{sys.executable} script.py"]
                ran = python
            shell.append(code)
    return "\n".join(shell)


def written(name, code):
    return f"cat > {name} <<'END_OF_FILE'\n{code}END_OF_FILE"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_runs(page, tmp_path):
    script = steps(page.read_text(encoding="utf-8"))
    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def test_there_are_tutorials():
    assert {"plug-in", "your-own-task"} <= {page.stem for page in TUTORIALS}
