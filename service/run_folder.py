"""The folder a command writes to: its default, and what may not be overwritten."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from l2o.configs.catalog import Kind, source_name
from l2o.configs.compare import differences
from l2o.configs.errors import ConfigError
from l2o.configs.load import dump_config, load_config
from l2o.configs.schema import Strict
from l2o.files.atomic import write_atomically

CONFIG = "config.yaml"


def default_folder(command: str, source: str) -> Path:
    """Return `runs/<command>-<config name>`.

    Example:
        >>> default_folder("train", "my/own.yaml").as_posix()
        'runs/train-own'
    """
    return Path("runs") / f"{command}-{source_name(source)}"


def require_folder(out: Path) -> None:
    """Refuse a path that is there and no folder.

    Raises:
        ValueError: the path is a file.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; --out must name a folder")


def is_used(out: Path) -> bool:
    """Tell whether a folder holds anything of a run besides its config.

    Raises:
        ValueError: the path is a file.
    """
    if not out.exists():
        return False
    require_folder(out)
    return any(item.name != CONFIG and not item.name.startswith(".") for item in out.iterdir())


def require_unused(out: Path, remedy: str = "") -> None:
    """Refuse a folder that holds something.

    Raises:
        ValueError: it does; the message has the remedy.
    """
    if is_used(out):
        raise ValueError(
            f"{out} is not empty and nothing in it is overwritten; "
            f"{remedy}choose another folder with --out, or delete this one"
        )


def changed_fields(out: Path, kind: Kind, config: Strict) -> list[str]:
    """Return in which fields a config differs from the one of the run in a folder.

    Raises:
        ValueError: the folder holds something, but no config, or a damaged one.
    """
    path = out / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{out} holds no {CONFIG}, so it is no run that can go on; "
            "choose another folder with --out"
        )
    try:
        begun = load_config(kind, path)
    except ConfigError as error:
        raise ValueError(
            f"the run in {out} cannot go on, its config is damaged: {error}\n"
            f"Put a copy of {path} back if you have one, or choose another folder with --out."
        ) from error
    return differences(begun, config)


def require_same(out: Path, kind: Kind, config: Strict, changeable: Collection[str] = ()) -> None:
    """Refuse to go on with another config than the run began with.

    Args:
        out: the run's folder.
        kind: the command.
        config: the config to go on with.
        changeable: fields that may differ, whatever is in them.

    Raises:
        ValueError: other fields differ; the message names them.
    """
    changes = [
        line
        for line in changed_fields(out, kind, config)
        if line.partition(":")[0].partition(".")[0] not in changeable
    ]
    if changes:
        listed = "".join(f"\n  {line}" for line in changes)
        raise ValueError(
            f"{out} holds a run of another config; these fields differ:{listed}\n"
            f"To go on with it, use its own config: {out / CONFIG}. "
            "To start anew, choose another folder with --out."
        )


def write_config(out: Path, config: Strict, name: str = CONFIG) -> None:
    """Write a resolved config into the run's folder: its own makes it self-describing."""
    write_atomically(out / name, dump_config(config))
