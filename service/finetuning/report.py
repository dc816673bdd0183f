"""The report of a fine-tune: what came of it, class by class, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from l2o.adaptation import LABEL_FREE
from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.report.factors import duration
from l2o.benchmarks.report.figures.learning_rates import draw_learning_rates
from l2o.benchmarks.report.page import Page, Picture, to_picture
from l2o.benchmarks.report.tables import UNKNOWN, Table, Tables
from l2o.benchmarks.report.text import Text
from l2o.extras import MissingExtraError
from l2o.service.finetuning import figures
from l2o.service.finetuning.tested import Tested
from l2o.service.finetuning.tested_masks import TestedMasks

if TYPE_CHECKING:
    from l2o.service.finetuning.run import Finetuning

_SPLITS = {
    "target_test": "target (real)",
    "source_validation": "source, held out",
    "proxy_test": "kept of the pretraining",
}
_WORDS = (
    ("target (real)", "photographs that the network never trained on; they only score."),
    ("source, held out", "synthetic images like those it was trained on."),
    (
        "kept of the pretraining",
        "on real photographs: how often the pretrained classifier still gives, on the fine-tuned "
        "backbone, the answer that it gave before; or its accuracy, where labels are known.",
    ),
    (
        "learning rates",
        "of each layer group, as they were used: multiplier × base learning rate × schedule.",
    ),
    (
        "evidence",
        "Grad-CAM (Selvaraju et al., ICCV 2017): what in an image speaks for the network's answer.",
    ),
)


def write_report(finetuning: Finetuning, record: Record, found: Any) -> None:
    """Write `report.html`, `report.md` and `figures/`."""
    pictures, left_out = _pictures(finetuning, record, found)
    text = Text(
        summary=_summary(finetuning, record),
        footer=" ".join([*_how_to_load(finetuning), *left_out]),
        units="Accuracies in per cent.",
        words=dict(_WORDS),
    )
    scores, classes = scores_table(record), classes_table(finetuning, found)
    detail = [table for table in (classes, rounds_table(finetuning)) if table is not None]
    tables = Tables(main=[scores], detail=detail)
    Page(_title(finetuning), text, tables, pictures).write(finetuning.out)


def scores_table(record: Record) -> Table:
    """Return the metrics on each split."""
    shown = [record.scores.get(split, {}) for split in _SPLITS]
    names = list(dict.fromkeys(name for of in shown for name in of))
    names = [name for name in names if name != "loss"]
    rows = [
        (words, *(_percent(record.scores.get(split, {}).get(name)) for name in names))
        for split, words in _SPLITS.items()
    ]
    return Table("What came of it", ("", *(n.replace("_", " ") for n in names)), rows)


def rounds_table(finetuning: Finetuning) -> Table | None:
    """Return what each round of self-training selected; None where there were none."""
    rounds = getattr(finetuning.run, "rounds", [])
    if not rounds:
        return None
    rows = [
        (
            str(each["round"]),
            f"{each['labelled_images']} of {each['images']}",
            str(sum(each["labels_by_class"])),
            str(sum(count > 0 for count in each["labels_by_class"])),
            f"{each['confidence']:.3f}",
        )
        for each in rounds
    ]
    columns = ("round", "images labelled", "labels", "classes", "confidence")
    return Table("Rounds of self-training", columns, rows)


def classes_table(finetuning: Finetuning, found: Any) -> Table | None:
    """Return what came of each class; None where classes have no names or no labels."""
    classes = finetuning.run.task.classes
    if found is None or not found.labelled:
        return None
    if isinstance(found, TestedMasks):
        rows = [(name, _percent(v)) for name, v in zip(classes, found.overlaps(), strict=False)]
        return Table("Class by class", ("class", "IoU"), rows)
    counts = found.confusion()
    names = classes or tuple(str(number) for number in range(len(counts)))
    lines: list[tuple[str, ...]] = []
    for number, (name, accuracy) in enumerate(zip(names, found.class_accuracies(), strict=True)):
        wrong = counts[number].clone()
        wrong[number] = 0
        other = names[int(wrong.argmax())] if int(wrong.sum()) else UNKNOWN
        taken = str(int(counts[:, number].sum()))
        lines.append((name, str(int(counts[number].sum())), taken, _percent(accuracy), other))
    columns = ("class", "images", "answers", "accuracy", "most often taken for")
    return Table("Class by class", columns, lines)


def _pictures(
    finetuning: Finetuning, record: Record, found: Any
) -> tuple[list[Picture], list[str]]:
    run = finetuning.run
    title = f"{_title(finetuning)}, base LR {record.rates.base_lr:g}"
    pictures = [
        to_picture("learning_rates", "Learning rates", "", draw_learning_rates(record, title))
    ]
    if not isinstance(found, Tested):
        return pictures, []
    if found.labelled and found.logits.shape[1] <= 60:
        drawn = figures.draw_confusion(found.confusion(), run.task.classes)
        caption = "Per cent of the images of each class (row), by answer (column)."
        pictures.append(to_picture("confusion", "Confusion", caption, drawn))
    if run.task.network is None:
        return pictures, []
    samples = figures.draw_samples(_samples(run, found))
    caption = "First images of each; below them their class, or what the network takes them for."
    pictures.append(to_picture("samples", "Images", caption, samples))
    left_out = []
    for name, right in (("right", True), ("wrong", False)) if found.labelled else ():
        try:
            looks = figures.draw_looks(run, found, right)
        except (MissingExtraError, RuntimeError) as error:
            looks = str(error).splitlines()[0]
        if isinstance(looks, str):
            left_out.append(f"Not drawn, where it looks when it is {name}: {looks}.")
            continue
        heading = f"Where it looks when it is {name}"
        caption = "The surest of these answers, and the evidence for them."
        pictures.append(to_picture(f"looks_{name}", heading, caption, looks))
    return pictures, left_out


def _samples(run: Any, found: Tested) -> dict[str, tuple[torch.Tensor, Sequence[str]]]:
    names = run.task.classes or tuple(map(str, range(found.logits.shape[1])))
    spread = torch.linspace(0, len(run.task.source_train) - 1, figures.SHOWN).long().tolist()
    source = [run.task.source_train[i] for i in spread]
    places = torch.linspace(0, len(found.labels) - 1, figures.SHOWN).long().tolist()
    target = torch.stack([run.task.target_test[i][0] for i in places])
    return {
        "source": (
            figures.as_pictures(run, torch.stack([image for image, _ in source])),
            [names[int(label)] for _, label in source],
        ),
        "target": (
            figures.as_pictures(run, target),
            [f"→ {names[int(found.predicted[i])]}" for i in places],
        ),
    }


def _title(finetuning: Finetuning) -> str:
    from l2o.service.finetuning.written import describe

    network = finetuning.run.task.network
    what = finetuning.run.task.name if network is None else network.name
    return f"{what} under {describe(finetuning.config.choice)}"


def _summary(finetuning: Finetuning, record: Record) -> str:
    run, config = finetuning.run, finetuning.config
    guidance = ", ".join(config.finetuning.guidance) or "no guidance"
    kept = "" if config.select == "last" else f" Kept is the network of step {finetuning.best.step}"
    kept += {"source_validation": ", the best on held-out source images."}.get(config.select, "")
    if config.select == "target":
        kept += ", the best on the target: an oracle, which looks at its labels."
    if config.select in LABEL_FREE:
        kept += f", the best by {config.select} of the target's unlabelled images."
    kept += _second_stage(finetuning)
    return (
        f"{record.steps} steps of {run.task.batch_size} images on {len(run.task.source_train)} "
        f"source images, {config.finetuning.optimizer.name}, {guidance}; "
        f"{duration(record.seconds)}, {finetuning.images_per_second:.0f} images/s.{kept}"
    )


def _second_stage(finetuning: Finetuning) -> str:
    """Return a sentence on the second stage, if there was one."""
    config, images = finetuning.config.adaptation, finetuning.run.task.target_train
    if config is None or images is None:
        return ""
    method = config.method if isinstance(config.method, str) else config.method.name
    ignored = " (labels that they have are ignored)" if images.labelled else ""
    return (
        f" The last {config.rounds * config.steps} steps are of a second stage, {method}, with "
        f"{len(images)} unlabelled images of the target{ignored}."
    )


def _how_to_load(finetuning: Finetuning) -> list[str]:
    if finetuning.run.task.network is None:
        return ["All numbers are in results.json; config.yaml repeats the run."]
    from l2o.files.seals import read_json

    card = read_json(finetuning.out / "model.json", "run it again")
    return [
        "All numbers are in results.json, all answers in predictions.csv; config.yaml repeats the "
        f"run. The network is loaded by: {'; '.join(card['load'])}."
    ]


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}"
