"""The documentation site: every public name is documented, every link leads somewhere."""

import doctest
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from site_parts import complete, docstrings, reference  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def test_every_public_name_has_a_docstring():
    names = complete.public_names()
    assert len(names) > 1500
    assert not [name for name, told in names.items() if not (told or "").strip()]


def test_every_module_has_a_place_in_the_reference(tmp_path):
    pages = reference.write_pages(tmp_path)
    text = {path.stem: path.read_text(encoding="utf-8") for path in pages}
    for package, modules in reference.packages().items():
        for module in (package, *modules):
            assert f".. automodule:: {module}\n" in text[package]
            assert reference.path_of(module).exists()
    listed = re.findall(r"^   (l2o[\w.]*)$", "\n".join(text.values()), re.MULTILINE)
    assert sorted(listed) == sorted(reference.packages())


def test_pages_of_packages_that_are_gone_are_dropped(tmp_path):
    reference.write_pages(tmp_path)
    gone, kept = tmp_path / "l2o.gone.rst", tmp_path / "l2o.rst"
    gone.write_text("gone\n=====\n")
    written = kept.stat().st_mtime_ns
    reference.write_pages(tmp_path)
    assert not gone.exists()
    assert kept.stat().st_mtime_ns == written


def test_docstring_of_the_rewriting_runs():
    assert doctest.testmod(docstrings).failed == 0
    assert doctest.testmod(docstrings).attempted > 0


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (["a * b_ of |x|"], [r"a \* b\_ of \|x\|"]),
        (["`Guard` and `a * b`"], [r"\ `Guard`\  and \ ``a * b``"]),
        (["a `range"], [r"a \`range"]),
        (["the *lazy ones* of **x and 2*y*z"], [r"the *lazy ones* of \*\*x and 2\*y\*z"]),
        (["`DTensor`s"], [r"\ `DTensor`\ s"]),
        (
            ["Sum:", "", "    x_1 * x_2", "", "so"],
            ["Sum:", "", "::", "", "    x_1 * x_2", "", "so"],
        ),
        (["Example:", "    >>> f(*x)", "    x_"], ["Example:", "    >>> f(*x)", "    x_"]),
        (["Args:", "    a: of b_."], ["Args:", r"    a: of b\_."]),
        (["- one", "  more_"], ["- one", r"  more\_"]),
    ],
)
def test_docstrings_mean_what_they_say(told, text):
    assert docstrings.restructure(told) == text


def prose(path):
    """Return a page without its blocks of code."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        made = path.is_relative_to(ROOT / "docs/reference")
        assert path.exists() or made, f"{target}: no such file"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{target}: no such heading"


def test_every_page_of_the_notebook_answers_a_question():
    pages = sorted((ROOT / "docs/notebook").glob("*.md"))
    index = (ROOT / "docs/notebook/index.md").read_text(encoding="utf-8")
    assert len(pages) > 10
    for page in pages:
        title, _, answer = page.read_text(encoding="utf-8").partition("\n\n")
        if page.stem != "index":
            assert title.endswith("?")
            assert not answer.startswith(("#", "|", "!", "-", "```")), f"{page.name}: no answer"
            assert f"[{title[2:]}]({page.name})" in index


def test_the_architecture_names_rooms_and_files_that_there_are():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found = re.findall(r"^## The rooms of `(\w+)/`\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert {top for top, _ in found} >= {"l2o", "envs", "policies", "benchmarks"}
    for top, text in found:
        for name in re.findall(r"`(?:\w+/)*(\w+\.py)`", text):
            assert any((ROOT / top).rglob(name)), f"{top} has no {name}"
        told = set(re.findall(r"\*\*`(\w+)/`", text)) | set(re.findall(r"`(\w+)/`", text))
        rooms = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
        assert rooms <= told, f"{top}: nothing is said of {sorted(rooms - told)}"
    modules = set(re.findall(r"`(l2o(?:\.[a-z_0-9]+)+)", page))
    known = set(complete.public_names())
    assert not {name for name in modules if name not in known and not gives_out(name)}


def gives_out(name):
    """Tell whether a dotted name is an attribute of a module of ours that is no function."""
    module, _, attribute = name.rpartition(".")
    path = reference.path_of(module)
    return path.exists() and attribute in path.read_text(encoding="utf-8")
