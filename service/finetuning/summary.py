"""How a fine-tune ended, in one line for the terminal."""

from __future__ import annotations

from pathlib import Path

from l2o.benchmarks.cells.quantities import KEPT, QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.cells.record import Record
from l2o.files.seals import read_json


def summary(path: Path) -> str:
    """Return one line on how the fine-tune of a `results.json` ended.

    Raises:
        DamagedFileError: the file is damaged.
    """
    plain = read_json(path, "run it again")
    record = Record.model_validate({k: v for k, v in plain.items() if k in Record.model_fields})
    unlabelled = plain.get("unlabelled", [])
    told = []
    for name, split in ((TARGET, "target_test"), (KEPT, "proxy_test"), (SOURCE, "source")):
        quantity = QUANTITIES[name].named(record)
        kept = " kept" if name == KEPT else ""
        value = "unknown" if split in unlabelled else f"{quantity.of(record):.3f}"
        told.append(f"{quantity.words}{kept} {value}")
    return ", ".join(told) + ", diverged" * record.diverged
