"""`l2o study kills`: what it compares. Folders of images are killed in test_finetune_folder.py."""

import torch
from safetensors.torch import save_file

from l2o.files.seals import write_json
from l2o.service.load.fine_tune_kills import Answer, FineTuneKills, compare


def folder(path, weight, accuracy):
    path.mkdir()
    save_file(
        {"head": torch.tensor([1.0, weight]), "body": torch.ones(2)},
        path / "model.safetensors",
    )
    write_json(path / "results.json", {"scores": accuracy, "seconds": accuracy})
    return path


def test_what_differs_is_told(tmp_path):
    whole = folder(tmp_path / "whole", 2.0, 0.5)
    found = Answer(kills=1)
    compare(found, whole, folder(tmp_path / "same", 2.0, 0.5))
    assert FineTuneKills(config="digits").holds(found)
    compare(found, whole, folder(tmp_path / "other", 2.0000002, 0.25))
    assert (found.different, found.results) == (["head"], ["scores"])
    study = FineTuneKills(config="digits")
    assert not study.holds(found)
    assert ("tensors that differ", "1") in study.tables(found)[0].rows
