"""Holds a built site to the code: every public name has an entry in it.

python docs/site_parts/complete.py build/docs
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from site_parts.reference import packages, path_of

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_names() -> dict[str, str | None]:
    """Return every public name, a module's included, with its docstring or None.

    Public is what can be imported without an underscore: modules, their functions and classes, and
    the methods of these.
    """
    found: dict[str, str | None] = {}
    for package, modules in packages().items():
        for module in (package, *modules):
            tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
            found[module] = ast.get_docstring(tree)
            found |= dict(_definitions(tree, module))
    return found


def missing_entries(site: Path) -> list[str]:
    """Return the public names that a built site has no entry for."""
    from sphinx.util.inventory import InventoryFile

    data = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    entries = {item for kind in data.data.values() for item in kind}
    return sorted(set(public_names()) - entries)


def _definitions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, str | None]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition) and node.name[0] != "_" and not _is_repeated(node):
            name = f"{prefix}.{node.name}"
            yield name, ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, name)


def _is_repeated(node: Definition) -> bool:
    """Tell an overload or a setter, whose name another definition documents."""
    names = (ast.unparse(each) for each in node.decorator_list)
    return any(name == "overload" or name.endswith(".setter") for name in names)


def main() -> None:
    """Say which names a site lacks, and fail if there are any."""
    missing = missing_entries(Path(sys.argv[1]))
    print("\n".join(f"no entry for {name}" for name in missing) or "every public name has an entry")
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
