"""What presets tell in their first lines, and what they name, can be had."""

import re
import shlex

import pytest

from l2o.configs.catalog import list_presets, read_source
from l2o.configs.load import load_config
from l2o.configs.schema import TrainConfig
from l2o.policies.train import check_training

KINDS = ("train", "finetune", "benchmark", "tune", "simulate")


def commands():
    """Yield kind, preset and overrides of each command that a preset's comments tell."""
    for kind in KINDS:
        for name in list_presets(kind):
            _, text, _ = read_source(kind, name)
            for line in re.findall(r"^#   l2o (.*)$", text, re.MULTILINE):
                words = shlex.split(line, comments=True)
                if words[0] in KINDS and words[1] in list_presets(words[0]):
                    given = [word for word in words[2:] if re.match(r"[\w.]+=", word)]
                    yield pytest.param(words[0], words[1], given, id=line[:60])


@pytest.mark.parametrize(("kind", "name", "overrides"), list(commands()))
def test_a_presets_command_is_a_config(kind, name, overrides):
    load_config(kind, name, overrides)


# The others learn simulators.
POLICIES = [n for n in list_presets("train") if isinstance(load_config("train", n), TrainConfig)]


@pytest.mark.parametrize("name", POLICIES)
def test_a_training_can_make_what_its_preset_names(name):
    config = load_config("train", name)
    trained, evaluated = check_training(config)
    assert trained.name == config.task.name
    assert evaluated.name == config.task.name
