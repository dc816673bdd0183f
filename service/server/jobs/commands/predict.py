"""`l2o predict` as a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from l2o.configs.load import check_config, config_data
from l2o.configs.schema import Strict
from l2o.configs.yaml_text import parse_yaml
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.folder import JobFolder


class PredictConfig(Strict):
    """What `l2o predict` is given."""

    run: str
    """Folder of a fine-tune, such as jobs/ID/run."""
    images: str
    """Folder of images, or one, such as uploads/NAME."""
    top: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Answers for each image."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Images per forward pass."""
    allow_code: bool = False
    """Whether the run may name code of its own that makes the network."""

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if device not in ("auto", "cpu", "cuda", "mps"):
            raise ValueError("must be auto, cpu, cuda or mps")
        return device


class Predict(Command):
    """`l2o predict RUN IMAGES`; predictions lie in the job's own folder."""

    name = "predict"
    about = "what a fine-tuned network answers on images"
    example = "run: jobs/ID/run\nimages: uploads/NAME\ntop: 1\n"

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was asked for with every field; see `Command.resolve`."""
        return config_data(check_config(PredictConfig, dict(given), "predict"))

    def words(self, folder: JobFolder) -> list[str]:
        """Return `predict RUN IMAGES --out ...`."""
        data = parse_yaml(folder.config.read_text(encoding="utf-8"), str(folder.config))
        config = check_config(PredictConfig, data, str(folder.config))
        words = [f"--top={config.top}", f"--device={config.device}"]
        words += [f"--batch-size={config.batch_size}", f"--out={_out(folder, config.run)}"]
        code = ["--allow-code"] if config.allow_code else []
        return ["predict", *words, *code, "--", config.run, config.images]


def _out(folder: JobFolder, run: str) -> Path:
    """Return where predictions go: a table of classes, or a folder of masks."""
    try:
        # Jobs run in the data folder, which paths are relative to.
        results = json.loads((folder.path.parents[1] / run / "results.json").read_text())
    except (OSError, ValueError):
        results = {}  # the command says what the run lacks
    masks = isinstance(results, dict) and "overlap" in results
    return folder.run / ("masks" if masks else "predictions.csv")
