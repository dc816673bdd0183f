"""Sphinx's settings: MyST pages, and a reference made from the docstrings. See `make docs`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from site_parts import docstrings, reference  # noqa: E402
from sphinx.addnodes import pending_xref  # noqa: E402

project = "l2o"
author = "The l2o authors"
copyright = author
release = "0.1.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]

myst_heading_anchors = 4

# Names in backticks are links where there is such a name, and code where there is none.
default_role = "py:obj"
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Shapes", "notes_style")]

# A reference to what is not installed stays readable without it.
OPTIONAL = ("ray", "fastapi", "uvicorn", "lightning", "transformers", "accelerate", "captum")
autodoc_mock_imports = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]

html_theme = "furo"
html_title = "l2o"
html_copy_source = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Write the reference's pages before Sphinx looks for pages, and read docstrings as text."""
    reference.write_pages(DOCS / "reference")
    app.connect("source-read", on_source)
    app.connect("autodoc-process-docstring", docstrings.on_docstring, priority=400)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("doctree-read", on_doctree)


def on_source(app: Any, page: str, source: list[str]) -> None:
    """Lead links to files beside `docs/` to the pages that include these files."""
    source[0] = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")


def on_signature(
    app: Any, kind: str, name: str, what: Any, options: Any, signature: str | None, told: str | None
) -> tuple[str | None, str | None]:
    """Show default paths as they are in the project, whatever folder it lies in."""
    return signature and signature.replace(f"{reference.ROOT}/", ""), told


def on_doctree(app: Any, doctree: Any) -> None:
    """Look names up exactly: to try every ending takes a quarter of the build, and guesses."""
    for node in doctree.findall(pending_xref):
        node.attributes.pop("refspecific", None)
