"""`l2o train`: learn a policy."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from l2o.service.following import ServerOption, followed
from l2o.service.outcomes import explained
from l2o.service.texts import ConfigArgument, OverridesArgument

CHANGEABLE = ("episodes", "minutes", "executor", "ray", "workers")
"""Fields that may change when a run goes on: more training, or elsewhere, is no other run."""


def train(
    config: ConfigArgument,
    overrides: OverridesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; runs/train-<config> when left out.", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR, if there is one.")
    ] = False,
    server: ServerOption = None,
) -> None:
    """Learn a policy that sets learning rates, or a simulator's parameters.

    Ctrl-C saves; --resume goes on, also with larger budgets (episodes, minutes).
    """
    with explained(command="train"):
        from l2o.configs.load import load_config
        from l2o.service import run_folder

        settings = load_config("train", config, overrides or ())
        folder = out or run_folder.default_folder("train", config)
        run_folder.require_folder(folder)

    again = ["l2o", "train", config, *(overrides or ()), "--out", str(folder), "--resume"]
    with explained(folder, shlex.join(again), "train"):
        from l2o.envs.runtime.run_lock import run_lock
        from l2o.files.seals import read_json

        with run_lock(folder):
            from l2o.configs.learn_simulator import LearnSimulatorConfig
            from l2o.policies.common.metrics import METRICS
            from l2o.policies.train import train as run_training
            from l2o.service.learning_simulator import learn_and_report

            used = run_folder.is_used(folder)
            if not resume:
                run_folder.require_unused(folder, "add --resume to go on with the run in it, ")
            elif used:
                run_folder.require_same(folder, "train", settings, changeable=CHANGEABLE)
            if isinstance(settings, LearnSimulatorConfig):
                learn_and_report(settings, folder, resume=resume and used)
                return
            with followed(server, "train", folder / METRICS):
                path = run_training(settings, folder, resume=resume and used)
        told = _told(read_json(path / "results.json", "resume the run, which writes it again"))
    typer.echo(told)
    typer.echo(f"policy: {path}")
    typer.echo(f"try it: {shlex.join(['l2o', 'finetune', 'digits', '--policy', str(folder)])}")


def _told(results: dict[str, Any]) -> str:
    """Return in two lines what was learned and how fast."""
    told = (
        f"{results['episodes']} fine-tunes in {results['seconds'] / 60:.1f} min; target accuracy "
        f"{results['best']['target_accuracy']:.3f} on validation images of tasks not trained on"
    )
    speed = results["speed"]
    if not speed:
        # What was learned from may have been there before: a data set that fills the budget.
        return told
    shares = ", ".join(
        f"{name.removeprefix('share_')} {share:.0%}"
        for name, share in speed.items()
        if name.startswith("share_")
    )
    return (
        f"{told}\n"
        f"{speed['fine_tune_steps_per_second']:.0f} fine-tune steps/s, "
        f"{speed['fine_tunes_per_second']:.2f} fine-tunes/s; time: {shares}"
    )
