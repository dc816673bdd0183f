"""The family `domains`: several domains of the same classes in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from l2o.envs.tasks.images.classes import align
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.list_files import list_from_file
from l2o.envs.tasks.images.listing import Listing, list_class_folders, merge
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.splits import Domains
from l2o.registry import unknown_name

LAYOUT = (
    "expected are ROOT/DOMAIN/CLASS/IMAGE.jpg (PACS, Office-Home, VisDA re-laid), "
    "ROOT/DOMAIN/images/CLASS/IMAGE.jpg (Office-31), or lists ROOT/DOMAIN_train.txt and "
    "ROOT/DOMAIN_test.txt (DomainNet)"
)


@dataclass(frozen=True, kw_only=True)
class DomainsOptions(ImageOptions):
    """Where the domains are, and which of them is what."""

    root: str = ""
    """The folder that holds the domains."""
    source: tuple[str, ...] | str = ()
    """Names of the domains to train on."""
    target: str = ""
    """Name of the domain to score on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.source, str):
            object.__setattr__(self, "source", (self.source,))
        for name in ("root", "source", "target"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} is not given; say root=path/to/domains source=[sketch] target=photo"
                )
        if self.target in self.source:
            raise ValueError(f"target={self.target!r} is among source; leave it out there")


class DomainsFamily(ImageFamily[DomainsOptions]):
    """Fine-tune on some domains, for another: PACS, Office-31, Office-Home, DomainNet, ....

    Where a domain has lists for training and test, the target's training images are for
    validation, and its test images score.

    Args:
        options: what may be chosen, `DomainsOptions`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> DomainsFamily(root="PACS", source=["sketch"], target="photo").options.source
        ('sketch',)
    """

    name: ClassVar[str] = "domains"
    Options: ClassVar[type[DomainsOptions]] = DomainsOptions

    def find(self) -> Domains:
        """List the domains."""
        root = Path(self.options.root).expanduser()
        listed = {name: list_domain(root, name) for name in self.options.source}
        source = merge(list(listed.values()))
        target = list_domain(root, self.options.target, allow_empty=True)
        test = root / f"{self.options.target}_test.txt"
        held = None
        if test.is_file():
            held = align(target, source.classes, "target's training list")
            target = list_from_file(test, numbered=source.classes)
        validation = None
        if isinstance(self.options.validation, str):
            validation = list_domain(root, self.options.validation)
            validation = align(validation, source.classes, "validation domain")
        return Domains(
            source=source,
            target=align(target, source.classes, "target"),
            classes=source.classes,
            source_validation=validation,
            target_validation=held,
            retention=self.retention(),
            sources={name: len(each) for name, each in listed.items()} if len(listed) > 1 else {},
        )


def list_domain(root: Path, name: str, *, allow_empty: bool = False) -> Listing:
    """Return the listing of a domain, however it is laid out.

    Raises:
        ValueError: there is no such domain; the message has the nearest one, and what is expected.
    """
    train = root / f"{name}_train.txt"
    if train.is_file():
        return list_from_file(train)
    folder = root / name
    if not folder.is_dir():
        if not root.is_dir():
            raise ValueError(f"{root} is no folder; {LAYOUT}")
        there = [each.name for each in root.iterdir() if each.is_dir()]
        there += [each.name.removesuffix("_train.txt") for each in root.glob("*_train.txt")]
        told = unknown_name(f"domain in {root}:", name, sorted(set(there)))
        raise ValueError(f"{told} Also {LAYOUT}.")
    # Office-31 has all classes in one more folder, called images.
    within = folder / "images"
    inner = within.is_dir() and any(each.is_dir() for each in within.iterdir())
    return list_class_folders(within if inner else folder, allow_empty=allow_empty)
