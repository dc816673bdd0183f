"""Commands that run a config: train, finetune, benchmark, tune, simulate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from l2o.configs.catalog import Kind, list_presets
from l2o.configs.errors import ConfigError
from l2o.configs.inherit import merge, read_config
from l2o.configs.load import check_config, config_data, schema_of
from l2o.configs.yaml_text import parse_yaml
from l2o.service.finetuning.progress import METRICS
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.folder import JobFolder
from l2o.service.server.jobs.rows import Progress, count_lines, last_row


class Configured(Command):
    """A command `l2o NAME CONFIG --out DIR`.

    What is given is a config; its field `extends` names the preset that it begins with.
    """

    name: ClassVar[Kind]

    def presets(self) -> Mapping[str, str]:
        """Return the command's presets."""
        return list_presets(self.name)

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config with every field; see `Command.resolve`."""
        data = dict(given)
        preset = data.pop("extends", None)
        if preset is not None:
            if not isinstance(preset, str) or preset not in self.presets():
                raise ConfigError(
                    f"extends = {preset!r}: a job's config extends a preset of {self.name}: "
                    f"{', '.join(self.presets())}"
                )
            data = merge(read_config(self.name, preset)[1], data)
        return config_data(check_config(schema_of(self.name, data), data, f"{self.name} config"))

    def words(self, folder: JobFolder) -> list[str]:
        """Return `NAME config.yaml --out run --resume`."""
        words = [self.name, str(folder.config), "--out", str(folder.run)]
        return [*words, "--resume"] if self.resumes else words

    resumes: ClassVar[bool] = True
    """Whether it has the option --resume; one without goes on by itself."""


class Finetune(Configured):
    """`l2o finetune`."""

    name = "finetune"
    about = "fine-tune a network"
    example = "extends: digits\nchoice:\n  policy: asg-base\n"

    def rows(self, folder: JobFolder) -> Path:
        """Return the file of losses, scores and learning rates."""
        return folder.run / METRICS

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return the optimizer steps that are done."""
        row = last_row(self.rows(folder))
        return Progress(row["step"], row.get("total"), "steps") if "step" in row else None


class Train(Configured):
    """`l2o train`."""

    name = "train"
    about = "learn a policy, or a simulator"
    example = "extends: demo\nname: my-policy\n"

    def rows(self, folder: JobFolder) -> Path:
        """Return the file of metrics, a row for each iteration."""
        return folder.run / METRICS

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return the fine-tunes that were learned from, or the minutes where these end it first."""
        row = last_row(self.rows(folder))
        config = parse_yaml(folder.config.read_text(encoding="utf-8"), str(folder.config))
        if "trials" in row:
            return Progress(row["trials"], config.get("trials"), "fine-tunes")
        if "episodes" not in row:
            return None
        learned = Progress(row["episodes"], config.get("episodes"), "fine-tunes")
        minutes = config.get("minutes")
        spent = Progress(row.get("elapsed_seconds", 0.0) / 60.0, minutes, "minutes")
        return spent if (spent.share or 0.0) > (learned.share or 0.0) else learned


class Benchmark(Configured):
    """`l2o benchmark`."""

    name = "benchmark"
    about = "compare policies and schedules"
    example = "extends: demo\n"
    resumes = False

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return the fine-tunes, or learned policies, that are finished; how many there will be is
        known to the run alone."""
        files = [folder.run / "cells.jsonl", *folder.run.glob("*/cells.jsonl")]
        done = count_lines(path for path in files if path.is_file())
        return Progress(done, None, "fine-tunes") if done else None


class Tune(Configured):
    """`l2o tune`."""

    name = "tune"
    about = "search over a config's fields"
    example = "extends: digits\ntrials: 8\n"

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config with every field; what is searched over is a preset of its command."""
        config = super().resolve(given)
        presets = list_presets(config["of"])
        if config["config"] not in presets:
            raise ConfigError(
                f"config = {config['config']!r}: a job searches over a preset of {config['of']}: "
                f"{', '.join(presets)}; what is to be otherwise belongs in `changes`"
            )
        return config

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return the trials that have reported; how many there will be, where that is known."""
        done = len(list((folder.run / "trials").glob("*/reports.jsonl")))
        config = parse_yaml(folder.config.read_text(encoding="utf-8"), str(folder.config))
        grid = config.get("searcher", {}).get("name") == "grid"
        return Progress(done, None if grid else config.get("trials"), "trials") if done else None


class Simulate(Configured):
    """`l2o simulate`."""

    name = "simulate"
    about = "draw labelled synthetic images"
    example = "extends: garments\nimages: 500\n"

    def progress(self, folder: JobFolder) -> Progress | None:
        """Return the images that are drawn."""
        done = sum(1 for _ in (folder.run / "images").glob("*/*.png"))
        config = parse_yaml(folder.config.read_text(encoding="utf-8"), str(folder.config))
        return Progress(done, config.get("images"), "images") if done else None
