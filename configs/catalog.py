"""The presets: which there are, and the text of each."""

from __future__ import annotations

import difflib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from l2o.configs.errors import ConfigError

Kind = Literal["train", "finetune", "benchmark", "simulate", "tune"]
SUFFIXES = (".yaml", ".yml")


def list_presets(kind: Kind) -> dict[str, str]:
    """Return the presets of a command: name -> description, its first comment line.

    Example:
        >>> "demo" in list_presets("train")
        True
    """
    folder = _folder(kind)
    if not folder.is_dir():
        return {}
    found = (item for item in folder.iterdir() if item.name.endswith(SUFFIXES[0]))
    return {
        item.name.removesuffix(SUFFIXES[0]): _description(item)
        for item in sorted(found, key=lambda item: item.name)
    }


def read_source(kind: Kind, source: str | Path) -> tuple[str, str, Path | None]:
    """Return where a config is from, its text, and its folder when it is a file.

    Args:
        kind: the command whose presets are meant.
        source: a preset's name, or the path of a YAML file: a `Path`, or text that ends in
            `.yaml` or `.yml` or holds a slash.

    Raises:
        ConfigError: no such preset (names the nearest) or file, or a file that is not text.
    """
    if isinstance(source, Path) or source.endswith(SUFFIXES) or "/" in source or "\\" in source:
        return _read_file(Path(source))
    known = list_presets(kind)
    if source in known:
        text = (_folder(kind) / f"{source}{SUFFIXES[0]}").read_text(encoding="utf-8")
        return f"{kind} preset {source!r}", text, None
    near = difflib.get_close_matches(source, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"no {kind} preset named {source!r}.{hint} Presets: {', '.join(known) or 'none'}. "
        "A config file of your own is given by its path, ending in .yaml."
    )


def source_name(source: str | Path) -> str:
    """Return the short name of a config: the preset's, or the file's without its ending."""
    return Path(source).stem


def _folder(kind: Kind) -> Traversable:
    return files("l2o.configs") / "presets" / kind


def _description(item: Traversable) -> str:
    first = item.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def _read_file(path: Path) -> tuple[str, str, Path | None]:
    if path.is_dir():
        inner = path / "config.yaml"
        remedy = f"; did you mean {inner}?" if inner.is_file() else "; give a YAML file"
        raise ConfigError(f"config {path} is a folder{remedy}")
    try:
        return str(path), path.read_text(encoding="utf-8"), path.parent
    except FileNotFoundError as error:
        raise ConfigError(f"config file {path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} cannot be read: {error}") from error
