"""Writes `docs/compatibility.md` from the tests that verify it: `make compatibility`."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch
from optimizer_cases import CASES, Case, NotOffered, Refused
from optimizer_features import FEATURES

PAGE = Path(__file__).parents[1] / "docs/compatibility.md"

EXACT, MISSING, REFUSED = "✓", "–", "refused"

INTRODUCTION = """\
# Compatibility

Written by `make compatibility` from `tests/test_compatibility.py`: every cell is a test that trains
a small network of three layers, a scalar, and a layer without gradients, with multipliers 0.25,
1.5 and 0, and compares its weights with a plain reference. A test fails when this page does not say
what it found.

- {exact}: equal to the reference, in float64 up to rounding, and bit for bit where the column says
  so; the user's param groups and rates are theirs between steps; weights without a gradient and
  those with multiplier 0 are not changed by a bit.
- {missing}: torch, or the optimizer, has no such thing (on a CPU).
- {refused}: refused when the controller is made, with the mode to use instead.

"""

REST = """
Tested besides, in `tests/test_controller_*.py`: every scheduler of `torch.optim.lr_scheduler`,
compiled models and steps, several optimizers on one model, accelerate, tied weights, weight decay
on some parameters only, steps that raise, data-parallel and fully sharded training in two
processes, steps that call no hooks, and 500 random combinations of optimizer, layout and loop
(more with `L2O_EXAMPLES`).

## What to know

- **Other optimizers** get `update_scale`, which scales what a step did to the weights. If yours
  follows the learning rate of each param group, `mode="groups"` is cheaper. `controller.report()`
  says which mode was chosen, and why.
- **Copies.** Pickling or copying an optimizer drops all hooks: the copy is a plain optimizer.
  Attach a new controller to it and give it the old one's `state_dict()`.
- **Distributed checkpoints.** `torch.distributed.checkpoint` keeps of an optimizer only what it
  knows: save `controller.state_dict()` beside it, and load it last.
- **Processes.** Losses are averaged, and the norms of sharded weights and gradients summed, over
  the processes of a `DistributedDataParallel` model or of `fully_shard`; the first one's
  multipliers hold for all. For data-parallel training by hand pass `process_group`.
- **Captured graphs.** Give the optimizer tensor learning rates and the controller `hooks=False`;
  capture within `with controller.applied():`, then call `controller.before_step()`, replay, and
  `controller.step()`. Tested with a stand-in for the graph, on a CPU.
- **A step that raises** without a closure leaves scaled rates behind until the next step,
  checkpoint or `detach()`; an LR scheduler must not be stepped in between.
- **ASGD** uses a new learning rate one step late, under a controller as under an LR scheduler.
- **Schedule-free** optimizers divide by the sum of their rates: with a tensor learning rate, a
  multiplier of 0 from the start gives NaN there. Use a float.
"""


def verify(case: Case, feature: str) -> str:
    """Run the test of one cell and return what the page has to say; raises if it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            FEATURES[feature](case)
        except NotOffered:
            return MISSING
        except Refused:
            return REFUSED
    return EXACT


def render(cells: dict[tuple[str, str], str]) -> str:
    """Return the page."""
    text = INTRODUCTION.format(exact=EXACT, missing=MISSING, refused=REFUSED)
    text += "| optimizer | " + " | ".join(FEATURES) + " |\n"
    text += "|---|" + ":---:|" * len(FEATURES) + "\n"
    for name in CASES:
        row = [cells[name, feature] for feature in FEATURES]
        text += f"| {name} | " + " | ".join(row) + " |\n"
    text += "\n| column | what is compared |\n|---|---|\n"
    for feature, test in FEATURES.items():
        text += f"| {feature} | {' '.join((test.__doc__ or '').split())} |\n"
    return text + REST


def read_cells() -> dict[tuple[str, str], str]:
    """Return the cells of the page as it is."""
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    table = [row.split(" | ") for row in rows]
    header = table[0][1:]
    return {
        (row[0], feature): cell
        for row in table[1:]
        if len(row) == len(table[0])
        for feature, cell in zip(header, row[1:], strict=True)
    }


def main() -> None:
    """Verify all cells and write the page."""
    torch.set_num_threads(1)
    cells = {
        (name, feature): verify(case, feature)
        for name, case in CASES.items()
        for feature in FEATURES
    }
    PAGE.write_text(render(cells), encoding="utf-8")
    print(f"{sum(cell == EXACT for cell in cells.values())} of {len(cells)} cells are exact")


if __name__ == "__main__":
    main()
