"""Commands that run a config: train, finetune, benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from l2o.configs.catalog import Kind, list_presets
from l2o.configs.errors import ConfigError
from l2o.configs.inherit import merge, read_config
from l2o.configs.load import check_config, config_data, schema_of
from l2o.service.server.jobs.commands.base import Command
from l2o.service.server.jobs.folder import JobFolder


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


class Train(Configured):
    """`l2o train`."""

    name = "train"
    about = "learn a policy"
    example = "extends: demo\nname: my-policy\n"

    def total(self, folder: JobFolder) -> int | None:
        """Return the fine-tunes to learn from, None where time is what ends it."""
        from l2o.configs.load import load_config

        return load_config("train", folder.config).episodes


class Benchmark(Configured):
    """`l2o benchmark`."""

    name = "benchmark"
    about = "compare policies and schedules"
    example = "extends: demo\n"
    resumes = False

    def rows(self, run: Path) -> list[Path]:
        """Return the files of finished fine-tunes, one for each family that is compared over."""
        found = [run / "cells.jsonl", *sorted(run.glob("*/cells.jsonl"))]
        return [path for path in found if path.is_file()]
