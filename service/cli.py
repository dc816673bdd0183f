"""The command line `l2o`: one file per command, this one puts them together.

Whatever is slow to import (torch, stable-baselines3) is imported inside the commands' bodies, so
that `l2o --help` is quick.
"""

from __future__ import annotations

import os
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from l2o.files.streams import forgive_encodings
from l2o.service.benchmark import benchmark
from l2o.service.finetune import finetune
from l2o.service.policies import policies
from l2o.service.predict import predict
from l2o.service.report import report
from l2o.service.serve import serve
from l2o.service.simulate import simulate
from l2o.service.study import PASSED_ON, SPEED, STUDIES, listing, speed, study
from l2o.service.suggest import suggest
from l2o.service.texts import examples, presets_text
from l2o.service.train import train
from l2o.service.tune import tune

app = typer.Typer(
    name="l2o",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"l2o {installed_version('l2o')}")
        raise typer.Exit


@app.callback(
    epilog=examples("l2o train demo", "l2o benchmark demo policy=runs/train-demo", "l2o policies")
)
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Learned layer-wise learning rates for fine-tuning on synthetic data."""
    del version


app.command(
    epilog=presets_text("train")
    + examples(
        "l2o train demo",
        "l2o train demo minutes=10 environment.base_lr=[1e-3,0.1] --out runs/longer",
        "l2o train my_config.yaml --out runs/mine --resume",
    )
)(train)
app.command(
    epilog=presets_text("finetune")
    + examples(
        "l2o finetune folder source=renders target=photos network=timm:resnet50 --policy asg-base",
        "l2o finetune digits --policy runs/train-demo",
        "l2o finetune digits choice.schedule=cosine base_lr=0.03 --out runs/cosine",
    )
)(finetune)
app.command(
    epilog=presets_text("finetune")
    + examples(
        "l2o suggest folder source=renders target=photos network=timm:resnet50",
        "l2o suggest digits --steps 60 --candidate cosine --candidate runs/train-demo",
    )
)(suggest)
app.command(
    epilog=examples(
        "l2o predict runs/finetune-folder photos", "l2o predict runs/mine new.jpg --top 5"
    )
)(predict)
app.command(
    epilog=presets_text("benchmark")
    + examples(
        "l2o benchmark demo policy=runs/train-demo",
        "l2o benchmark asg-table --out runs/asg --workers 2",
        "l2o benchmark zero-shot policy=runs/train-demo lite=null",
        "l2o benchmark ablation seeds=[0,1] --out runs/ablation",
    )
)(benchmark)
app.command(
    epilog=presets_text("tune")
    + examples(
        "l2o tune digits",
        "l2o tune folder changes.source=renders changes.target=photos trials=32",
        "l2o tune layerwise ray.address=auto --out runs/layerwise --resume",
    )
)(tune)
app.command(
    epilog=presets_text("simulate")
    + examples(
        "l2o simulate garments images=2000 --out renders",
        "l2o simulate garments-randomized ranges.tilt=[0,15] --out renders",
    )
)(simulate)
app.command(epilog=examples("l2o report runs/benchmark-demo"))(report)
app.command(
    context_settings=PASSED_ON,
    epilog=f"\b\n{listing('study', STUDIES)}\n\n"
    + examples("l2o study importance asg-base --out runs/importance", "l2o study harm --help"),
)(study)
app.command(
    context_settings=PASSED_ON,
    epilog=f"\b\n{listing('speed', SPEED)}\n\n"
    + examples("l2o speed controller --quick", "l2o speed stacked --numbers 1,16"),
)(speed)
app.command(
    epilog=examples("l2o serve", "l2o serve --data /srv/l2o --token /etc/l2o/tokens --workers 2")
)(serve)
app.command(epilog=examples("l2o policies", "l2o policies runs/train-demo"))(policies)


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    # Two threads that fight for two busy cores are many times slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    forgive_encodings()
    app(prog_name="l2o")
