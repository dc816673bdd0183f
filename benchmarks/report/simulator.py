"""The report of a learned simulator: scores, psi over learning, images before and after."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from l2o.benchmarks.report.figures.parameters import (
    SCENARIOS,
    draw_parameters,
    draw_rewards,
    scenario_weights,
)
from l2o.benchmarks.report.page import Page, Picture, to_picture
from l2o.benchmarks.report.tables import UNKNOWN, Table, Tables
from l2o.benchmarks.report.text import Text
from l2o.benchmarks.statistics import estimate, mean
from l2o.configs.learn_simulator import LearnSimulatorConfig
from l2o.configs.load import load_config
from l2o.envs.simulators import Simulator
from l2o.envs.simulators.contact_sheet import sheet_of
from l2o.envs.simulators.distributions.written import FILE, distribution_of, load_distribution
from l2o.files.atomic import DamagedFileError
from l2o.files.jsonl import read_rows
from l2o.files.seals import read_json
from l2o.policies.common.metrics import METRICS, REMEDY
from l2o.policies.reinforce.simulators.train import setting_of

SHOWN = 12
"""Images of each class on a contact sheet."""


def write_simulator_report(folder: Path) -> Path:
    """Write the report and the figures of a run that learned a simulator.

    Raises:
        DamagedFileError: a file of the run is missing or damaged.
        ValueError: the folder is of another kind of run.
    """
    config = load_config("train", folder / "config.yaml")
    if not isinstance(config, LearnSimulatorConfig):
        raise ValueError(f"{folder} learned a policy, no simulator; its report is results.json")
    results = read_json(folder / "results.json", "resume the run, which writes it again")
    rows = read_rows(folder / METRICS, REMEDY)
    simulator = setting_of(config).simulator
    text = Text.of("simulator", results=results, config=config)
    pictures = [
        *_curves(simulator, rows, text),
        _sheet("before", simulator, rows[0]["distribution"], text),
        _sheet("after", simulator, load_distribution(folder / FILE, simulator).to_plain(), text),
    ]
    tables = Tables(main=[scores_table(results["scores"])], detail=[_ranges_table(simulator, rows)])
    return Page(config.name, text, tables.explained(text.notes), pictures).write(folder)


def learned_simulator(folder: Path) -> bool:
    """Tell whether a folder is of a finished run of `l2o train` that learned a simulator."""
    try:
        found = read_json(folder / "results.json", "resume the run")
    except DamagedFileError:
        # Whose it is cannot be told; who reads it says what is wrong with it.
        return False
    return found.get("kind") == "learn_simulator"


def scores_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what each distribution scored, with intervals over its fine-tunes."""

    def cell(found: Mapping[str, Any], split: str) -> str:
        each = estimate(np.asarray([found[split]]).T, mean)
        return f"{100 * each.value:.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]"

    return Table.of(
        "Scores",
        list(scores.items()),
        {
            "": lambda named: named[0],
            "target test": lambda named: cell(named[1], "target_test"),
            "target validation": lambda named: cell(named[1], "target_validation"),
            "fine-tunes": lambda named: str(len(named[1]["target_test"])),
            "failed": lambda named: str(named[1]["failed"]),
        },
        strong=lambda named: named[0] == "learned",
    )


def _curves(simulator: Simulator, rows: Sequence[Mapping[str, Any]], text: Text) -> list[Picture]:
    known = [row for row in rows if row["reward"] is not None]
    worth = draw_rewards(
        [row["trials"] for row in known],
        [row["reward"] for row in known],
        [row["best"] for row in known],
    )
    psi = draw_parameters(
        simulator.parameters,
        [row["trials"] for row in rows],
        [row["distribution"] for row in rows],
    )
    return [
        to_picture("rewards", *text.figures["rewards"], worth),
        to_picture("psi", *text.figures["psi"], psi),
    ]


def _sheet(name: str, simulator: Simulator, plain: Mapping[str, Any], text: Text) -> Picture:
    psi = distribution_of(simulator.parameters, plain)
    drawn = simulator.render(psi, SHOWN * len(simulator.classes), seed=0)
    pixels = sheet_of(drawn.images, drawn.labels.tolist(), simulator.classes, SHOWN)
    sheet = Image.fromarray(pixels)
    factor = max(1, 700 // sheet.width)
    large = sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    return Picture(name, *text.figures[name], buffer.getvalue())


def _ranges_table(simulator: Simulator, rows: Sequence[Mapping[str, Any]]) -> Table:
    space = simulator.parameters
    first, last = (distribution_of(space, row["distribution"]) for row in (rows[0], rows[-1]))

    def told(distribution: Any, name: str) -> str:
        if name == SCENARIOS:
            return _percent(distribution.weights)
        ends = distribution.ends(name)
        if ends is not None:
            return f"{ends[0]:.3g} to {ends[1]:.3g}"
        return _percent(distribution.shares(name))

    mixed = [SCENARIOS] if scenario_weights([first, last]) else []
    return Table.of(
        "Parameters",
        [*mixed, *space],
        {
            "parameter": lambda name: name,
            "default": lambda name: str(space[name].default) if name in space else UNKNOWN,
            "before": lambda name: told(first, name),
            "after": lambda name: told(last, name),
        },
    )


def _percent(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
