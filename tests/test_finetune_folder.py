"""`l2o finetune` on folders of images as a stranger runs it: what it leaves, and how it goes on."""

import csv
import json
import os

import image_sets as sets
import pytest
import timm
import torch
from matplotlib.image import imread
from typer.testing import CliRunner

from l2o.configs.load import load_config
from l2o.envs.networks.saved import load_finetuned
from l2o.service.cli import app
from l2o.service.finetuning.run import run_finetune
from l2o.service.finetuning.tested import pooled
from l2o.service.load.fine_tune_kills import FineTuneKills

CLASSES = ["cat", "dog", "fish"]
NETWORK = ["network=timm:test_resnet", "pretrained=false", "size=32", "batch_size=4"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    sets.class_folders(root / "renders", CLASSES, images=10)
    sets.class_folders(root / "photos", CLASSES, images=5, start=50)
    sets.flat(root / "unlabelled")
    sets.folder_masks(root / "drawn")
    sets.folder_masks(root / "masked", palette=True)
    return root


def arguments(folders, *more, target="photos"):
    places = [f"source={folders / 'renders'}", f"target={folders / target}"]
    return ["folder", *places, *NETWORK, "task.options.workers=0", *more]


def command(*given):
    result = CliRunner().invoke(app, list(map(str, given)), prog_name="l2o")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def config(folders, *more, **options):
    return load_config("finetune", "folder", arguments(folders, *more, **options)[1:])


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_command_leaves_all_that_is_promised(folders, tmp_path):
    out = tmp_path / "run"
    given = arguments(folders, "steps=12", "tracker=tensorboard")
    done = command("finetune", *given, "--policy", "asg-base", "--out", out)
    assert done.exit_code == 0, done.output
    assert "target accuracy" in done.output
    results = json.loads((out / "results.json").read_text())
    assert results["classes"] == CLASSES
    assert results["choice"] == "policy asg-base"
    assert results["images_per_second"] > 0
    assert results["learning_rates"]["step"][0] == 0
    assert torch.tensor(results["confusion"]).sum() == len(table(out / "predictions.csv"))
    for name in ("learning_rates", "confusion", "samples"):
        assert imread(out / "figures" / f"{name}.png").std() > 0.02, f"{name} is blank"
    page = (out / "report.html").read_text()
    assert "timm.create_model" in page
    assert "Class by class" in page
    assert list((out / "tensorboard").rglob("events*"))
    assert not (out / "checkpoints" / "latest.pt").exists()

    # The network loads back into timm by the two lines of its card, and answers the same.
    scope = {}
    os.chdir(out)
    exec("\n".join(json.loads((out / "model.json").read_text())["load"]), scope)
    network, ours = scope["network"].eval(), load_finetuned(out)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), ours.network(x))
    assert ours.classes == tuple(CLASSES)

    # Predicting the images that were scored gives the predictions that were written.
    predicted = command("predict", out, folders / "photos", "--out", tmp_path / "all.csv")
    assert predicted.exit_code == 0, predicted.output
    answers = {row["image"]: row for row in table(tmp_path / "all.csv")}
    assert len(answers) == 15
    for row in table(out / "predictions.csv"):
        assert answers[row["image"]]["prediction"] == row["prediction"]
        assert float(answers[row["image"]]["confidence"]) == pytest.approx(
            float(row["confidence"]), abs=2e-4
        )


def test_one_image_and_several_answers(folders, tmp_path):
    run_finetune(config(folders, "steps=2", "evaluations=1"), tmp_path / "run")
    image = folders / "photos" / "dog" / "0.png"
    out = tmp_path / "one.csv"
    assert command("predict", tmp_path / "run", image, "--top", "9", "--out", out).exit_code == 0
    (row,) = table(out)
    assert sum(float(row[f"confidence_{n}"]) for n in (1, 2, 3)) == pytest.approx(1.0, abs=1e-3)
    assert {row[f"prediction_{n}"] for n in (1, 2, 3)} == set(CLASSES)


def test_a_target_without_labels_is_predicted_and_not_scored(folders, tmp_path):
    out = tmp_path / "run"
    done = command("finetune", *arguments(folders, "steps=4", target="unlabelled"), "--out", out)
    assert done.exit_code == 0, done.output
    assert "target accuracy unknown" in done.output
    results = json.loads((out / "results.json").read_text())
    assert results["scores"]["target_test"]["accuracy"] is None
    assert results["scores"]["proxy_test"]["accuracy"] is not None
    assert {row["label"] for row in table(out / "predictions.csv")} == {""}


def test_an_oracle_without_labels_is_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="select=target needs the labels"):
        run_finetune(config(folders, "select=target", target="unlabelled"), tmp_path / "run")


@pytest.mark.parametrize("rule", ["source_validation", "target"])
def test_the_best_network_is_kept(rule, folders, tmp_path):
    given = ["steps=20", "base_lr=0.05", "evaluations=4", "finetuning.interval=5", f"select={rule}"]
    results = json.loads(run_finetune(config(folders, *given), tmp_path / "run").read_text())
    assert results["selected"]["rule"] == rule
    curve = {point["step"]: point["scores"] for point in results["curve"]}
    assert results["scores"]["target_test"] == curve[results["selected"]["step"]]["target_test"]
    if rule == "source_validation":
        scores = [point["source_validation"]["accuracy"] for point in curve.values()]
        best = curve[results["selected"]["step"]]["source_validation"]["accuracy"]
        assert best == max(scores)


def test_masks_are_learned_scored_and_predicted(folders, tmp_path):
    given = ["folder", f"source={folders / 'drawn'}", f"target={folders / 'masked'}"]
    given += [each for each in NETWORK if not each.startswith("size")]
    given += ["task.name=folder_masks", "task.options.classes=3", "task.options.workers=0"]
    given += ["task.options.head=fcn", "steps=4", "task.options.resize=64", "choice.profile=flat"]
    given += ["task.options.augment=[{name: scale_crop_mirror, options: {crop: 64}}]", "size=64"]
    out = tmp_path / "run"
    done = command("finetune", *given, "--out", out)
    assert done.exit_code == 0, done.output
    assert "target miou" in done.output
    results = json.loads((out / "results.json").read_text())
    assert len(results["overlap"]) == 3
    assert "IoU" in (out / "report.html").read_text()
    masks = tmp_path / "masks"
    predicted = command("predict", out, folders / "masked" / "images", "--out", masks)
    assert predicted.exit_code == 0, predicted.output
    found = sorted(masks.glob("*.png"))
    assert len(found) == len(list((folders / "masked" / "images").iterdir()))


# Stopped and gone on with -------------------------------------------------------------------------


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(folders):
    given = arguments(folders, "steps=40", "checkpoint_every=3", "evaluations=3")
    given = [*given[1:], "finetuning.optimizer.name=adamw", "base_lr=1e-3"]
    study = FineTuneKills(config="folder", overrides=tuple(given), kills=2)
    found = study.answer()
    assert found.kills == 2
    assert found.tensors > 0
    assert study.holds(found), found


def test_what_is_finished_stays_and_another_config_is_refused(folders, tmp_path):
    out = tmp_path / "run"
    given = arguments(folders, "steps=3", "evaluations=1")
    assert command("finetune", *given, "--out", out).exit_code == 0
    before = (out / "model.safetensors").read_bytes()
    again = command("finetune", *given, "--out", out)
    assert again.exit_code == 2
    assert "--resume" in again.output
    assert command("finetune", *given, "--out", out, "--resume").exit_code == 0
    assert (out / "model.safetensors").read_bytes() == before
    other = command("finetune", *given, "seed=5", "--out", out, "--resume")
    assert other.exit_code == 2
    assert "seed: 0 -> 5" in other.output


def test_a_damaged_checkpoint_is_named(folders, tmp_path):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints" / "latest.pt").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=r"latest\.pt"):
        run_finetune(config(folders, "steps=3"), out, resume=True)


def test_a_tracker_that_is_not_installed_says_how(folders, tmp_path):
    pytest.importorskip("accelerate")
    with pytest.raises(ValueError, match="pip install wandb"):
        run_finetune(config(folders, "steps=3", "tracker=wandb"), tmp_path / "run")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("network=timm:resnet5O", "resnet50"),
        ("task.options.augment=flipp", "flip"),
        ("epochs=1", "steps and epochs"),
        ("source=/nowhere", "/nowhere"),
        ("task.options.netwrok=a", "network"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(wrong, message, folders, tmp_path):
    out = tmp_path / "run"
    given = [each for each in arguments(folders, "steps=3") if wrong.split("=")[0] not in each]
    done = command("finetune", *given, wrong, "--out", out)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (out / "results.json").exists()


def test_predicting_with_what_is_no_run_says_so(tmp_path, folders):
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "holds no model.json"), ("none", "is no folder")):
        done = command("predict", tmp_path / folder, folders / "photos")
        assert done.exit_code == 2
        assert message in done.output


def test_features_of_any_kind_are_pooled_to_vectors():
    assert pooled(torch.ones(2, 7, 5)).shape == (2, 5)
    assert timm.__version__
