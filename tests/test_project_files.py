"""The files around the code: changelog, citation, issue forms, hooks, the tests that are quick."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import quick
from bare import EXTRAS, packages

from l2o import __version__
from l2o.configs.yaml_text import parse_yaml

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
VERSIONS = re.findall(r"^## \[([\d.]+)\] - (\S+)$", CHANGELOG, re.MULTILINE)


def read(path):
    return parse_yaml((ROOT / path).read_text(encoding="utf-8"), path)


def test_the_changelog_can_be_read():
    sections = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]
    assert len(sections) == len(VERSIONS)
    for section, (version, date) in zip(sections, VERSIONS):
        assert date == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", date), version
        assert len(section.splitlines()) <= 60, f"{version}: more belongs in docs/"
    assert [date == "unreleased" for _, date in VERSIONS].count(True) <= 1
    assert __version__ in dict(VERSIONS)
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", CHANGELOG):
        assert (ROOT / target).exists(), target


def test_the_citation_names_a_release_and_the_paper():
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "type"} <= citation.keys()
    assert (citation["version"], str(citation["date-released"])) in VERSIONS
    (paper,) = citation["references"]
    assert (paper["title"], paper["year"]) == ("Automated Synthetic-to-Real Generalization", 2020)
    assert paper["authors"][0]["family-names"] == "Chen"


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms_have_what_such_forms_need(form):
    given = read(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert given.keys() >= {"name", "description", "body"}
    ids = [field["id"] for field in given["body"]]
    assert len(ids) == len(set(ids))
    for field in given["body"]:
        assert field["type"] in ("textarea", "input", "checkboxes")
        assert field["attributes"]["label"]


def test_the_loop_that_a_report_begins_with_runs(tmp_path):
    (field,) = [f for f in read(".github/ISSUE_TEMPLATE/bug.yml")["body"] if f["id"] == "loop"]
    code = field["attributes"]["value"]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'interventions'" in done.stdout


def test_hooks_fetch_nothing_and_are_installed_for_development():
    brought = packages(EXTRAS["dev"])
    assert {"pre-commit", "pre-commit-hooks", "ruff", "mypy"} <= brought
    for source in read(".pre-commit-config.yaml")["repos"]:
        assert source["repo"] == "local"
        for hook in source["hooks"]:
            assert hook["language"] == "system"
            program = Path(hook["entry"].split()[0])
            if program.parts[0] == ".venv":
                assert Path(sys.executable).with_name(program.name).exists(), program


def test_quick_names_tests_that_there_are():
    names = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    assert names >= quick.FILES
    tests = set()
    for name in quick.FILES:
        tree = ast.parse((ROOT / f"tests/{name}.py").read_text(encoding="utf-8"))
        tests |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert tests >= quick.BUT
