"""`results.json` of a portrait: one section per picture, of one policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from l2o.benchmarks.machine import machine_facts
from l2o.benchmarks.plan import fingerprint
from l2o.files import write_atomically

RESULTS = "results.json"


def add_section(out: Path, policy: str, name: str, section: dict[str, Any], figure: Figure) -> None:
    """Write a figure, and its numbers as a section of `results.json`.

    Sections that are there stay if they are of the very same policy, else they are dropped.

    Args:
        out: the folder; made if missing.
        policy: name, folder or dotted path.
        name: of the section and of the figure's file.
        section: plain JSON data.
        figure: the picture.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = {"kind": "portrait", "policy": policy, "fingerprint": fingerprint(policy)}
    path = out / RESULTS
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if any(found.get(key) != value for key, value in facts.items()):
        found = {}
    data = {**found, **facts, "machine": machine_facts(1), name: section}
    write_atomically(path, json.dumps(data, indent=2, allow_nan=False) + "\n")
    figure.savefig(out / f"{name}.png", dpi=160)
