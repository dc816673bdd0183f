"""What `l2o train` does where a config names a `search`: learn a simulator, and report."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from l2o.benchmarks.report.simulator import write_simulator_report
from l2o.configs.learn_simulator import LearnSimulatorConfig
from l2o.files.seals import read_json
from l2o.policies.reinforce.simulators.train import learn_simulator


def learn_and_report(config: LearnSimulatorConfig, folder: Path, resume: bool = False) -> None:
    """Learn, write the report, and say what was found and what to do with it."""
    learn_simulator(config, folder, resume=resume)
    path = write_simulator_report(folder)
    results = read_json(folder / "results.json", "resume the run, which writes it again")
    typer.echo(
        f"{results['trials']} fine-tunes in {results['seconds'] / 60:.1f} min, "
        f"{results['failed']} failed; drawing took {results['share_drawing']:.0%} of the time"
    )
    for name, scored in results["scores"].items():
        typer.echo(f"{name}: {scored['metric']} on target_test {scored['mean']:.3f}")
    typer.echo(f"report: {path}")
    name = config.task.name
    words = ["l2o", "finetune", name, f"task.options.psi={folder}", "--policy", "asg-base"]
    typer.echo(f"try it: {shlex.join(words)}")
