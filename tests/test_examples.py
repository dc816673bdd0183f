"""Every script of `examples/` runs as its first lines say, and the README lists it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_runs(script, tmp_path):
    # A script finds its neighbours, whatever the tests' own Python was told.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    assert run.stdout.strip(), "an example says what came out"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_says_what_it_shows_and_how_to_run_it(script):
    text = script.read_text(encoding="utf-8")
    told = text.split('"""')[1]
    assert "Shows:" in told
    assert f"python {script.name}" in told
    assert f"examples/{script.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
