"""`results.json` of a portrait: one section per picture, of one policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.table.plan import fingerprint
from l2o.files.seals import read_json, write_json

RESULTS = "results.json"
_REMEDY = "delete it, and draw the other pictures of this policy again"

Record = dict[str, Any]
"""Plain JSON data."""


def add_section(out: Path, policy: str, name: str, section: dict[str, Any], figure: Figure) -> None:
    """Write a figure, and its numbers as a section of `results.json`.

    Sections that are there stay if they are of the very same policy, else they are dropped.

    Args:
        out: the folder; made if missing.
        policy: name, folder or dotted path.
        name: of the section and of the figure's file.
        section: plain JSON data.
        figure: the picture.

    Raises:
        DamagedFileError: the numbers that are there are not what was written; nothing is changed.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = {"kind": "portrait", "policy": policy, "fingerprint": fingerprint(policy)}
    path = out / RESULTS
    found = read_json(path, _REMEDY) if path.exists() else {}
    if any(found.get(key) != value for key, value in facts.items()):
        found = {}
    data = {**found, **facts, "machine": machine_facts(1), name: section}
    write_json(path, data, indent=2)
    figure.savefig(out / f"{name}.png", dpi=160)
