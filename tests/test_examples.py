"""Every script of `examples/` runs as its first lines say, and the README lists it."""

from pathlib import Path

import pytest
from forked import programs

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with programs(tmp_path_factory.mktemp("told")) as run:
        yield run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_runs(script, tmp_path, start):
    run = start(script, tmp_path)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    assert run.stdout.strip(), "an example says what came out"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_says_what_it_shows_and_how_to_run_it(script):
    text = script.read_text(encoding="utf-8")
    told = text.split('"""')[1]
    assert "Shows:" in told
    assert f"python {script.name}" in told
    assert f"examples/{script.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
