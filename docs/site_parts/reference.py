"""The pages of the reference: one for each package, with every module and public name in it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = ("l2o", "configs", "envs", "policies", "benchmarks", "service")
"""The top-level folders, each a sub-package of l2o but the first, which is l2o itself."""


def packages() -> dict[str, list[str]]:
    """Return the names of all packages, each with those of the modules that lie in it."""
    found: dict[str, list[str]] = {}
    for top in TOP:
        for path in sorted((ROOT / top).rglob("__init__.py")):
            package = _name(path.parent)
            beside = (item for item in sorted(path.parent.glob("*.py")) if item.stem[0] != "_")
            found[package] = [f"{package}.{item.stem}" for item in beside]
    return found


def path_of(module: str) -> Path:
    """Return the file of a module or package of ours."""
    parts = module.split(".")
    start = ROOT / Path(*(parts[1:] if parts[1:2] and parts[1] in TOP else parts))
    return start / "__init__.py" if start.is_dir() else start.with_suffix(".py")


def write_pages(folder: Path) -> list[Path]:
    """Write a page for each package into a folder, and drop those of packages that are gone.

    A page whose text is as before is not touched, so that a second build is quick.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = packages()
    pages = {folder / f"{name}.rst": _page(name, found) for name in found}
    pages[folder / "index.rst"] = _index(found)
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in set(folder.glob("*.rst")) - set(pages):
        path.unlink()
    return sorted(pages)


def _name(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "l2o" else ("l2o", *parts))


def _index(found: dict[str, list[str]]) -> str:
    told = "Every public name, by package. What each is for: :doc:`../architecture`.\n"
    tops = [name for name in found if name.count(".") == (name != "l2o")]
    ours = [name for name in tops if name.rpartition(".")[2] in TOP]
    return "\n".join([_title("Reference", "="), told, _toctree(ours)])


def _page(package: str, found: dict[str, list[str]]) -> str:
    modules = found[package]
    parts = [_title(package, "="), f".. automodule:: {package}\n   :no-members:\n"]
    parts += _exports(package)
    inner = [name for name in found if name.rpartition(".")[0] == package]
    if package == "l2o":
        inner = [name for name in inner if name.rpartition(".")[2] not in TOP]
    if inner:
        parts += [_title("Packages", "-"), _toctree(inner)]
    if modules:
        names = [module.rpartition(".")[2] for module in modules]
        parts += [_title("Modules", "-"), _list(".. autosummary::", names)]
    return "\n".join(parts + [_module(module) for module in modules])


def _module(module: str) -> str:
    options = ":members:", ":undoc-members:", ":show-inheritance:"
    lines = [f".. automodule:: {module}", *(f"   {option}" for option in options)]
    return "\n".join([_title(module.rpartition(".")[2], "-"), *lines, ""])


def _exports(package: str) -> list[str]:
    """Return what a package gives out: the names of its `__all__`, tables with their members."""
    module = importlib.import_module(package)
    tables, links = [], []
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        home = getattr(value, "__module__", None)
        if isinstance(value, Mapping):
            members = ", ".join(f"``{member}``" for member in value)
            tables.append(f".. py:data:: {package}.{name}\n\n   A table of {members}.\n")
        elif isinstance(home, str) and home.startswith("l2o"):
            links.append(f"- :py:obj:`{name} <{home}.{value.__qualname__}>`")
    if not tables and not links:
        return []
    return [_title("Public names", "-"), *tables, *links, ""]


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _list(directive: str, names: list[str]) -> str:
    return directive + "\n\n" + "".join(f"   {name}\n" for name in names)


def _toctree(names: list[str]) -> str:
    return _list(".. toctree::\n   :maxdepth: 1", names)
