"""The README's code runs as it stands, and its commands exist."""

import re
from pathlib import Path

import pytest
from forked import programs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [
    (ROOT / "docs" / name).read_text() for name in ("guidance.md", "plugging-in.md", "suggest.md")
]
BLOCKS = re.findall(r"```python\n(.*?)```", "".join([README, *PAGES]), flags=re.DOTALL)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with programs(tmp_path_factory.mktemp("told")) as run:
        yield run


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(code, tmp_path, start):
    script = tmp_path / "script.py"
    script.write_text(code)
    run = start(script, tmp_path)
    assert run.returncode == 0, run.stderr


def test_the_plug_in_script_is_short():
    code = next(block for block in BLOCKS if "LRController" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 16


def test_make_targets_exist():
    targets = set(re.findall(r"^make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_linked_files_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
