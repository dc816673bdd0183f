"""What a fine-tune leaves in its folder: network, predictions, results, figures, report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2o.benchmarks.cells.cell import record_of, to_plain
from l2o.benchmarks.cells.record import Record, finite
from l2o.benchmarks.cells.scores_by_name import PROXY, score
from l2o.benchmarks.comparisons.table.selection import LABEL_FREE, kept_score
from l2o.benchmarks.comparisons.table.selection import RULES as SELECTION
from l2o.configs.schema import Named, PolicyChoice
from l2o.files.atomic import write_atomically
from l2o.files.seals import write_json
from l2o.service.finetuning.report import write_report
from l2o.service.finetuning.tested import Tested, answer_classes
from l2o.service.finetuning.tested_masks import TestedMasks, answer_masks

if TYPE_CHECKING:
    from l2o.service.finetuning.run import Finetuning

PREDICTIONS = "predictions.csv"
WEIGHTS = "model.safetensors"
_MOST_CLASSES = 200
"""Classes up to which the confusion matrix is kept in the results."""

Found = Tested | TestedMasks | None


def write_all(finetuning: Finetuning, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Write everything, the results last: where they are, a run is whole.

    Args:
        finetuning: that has ended.
        scores: of the network that is kept, where that is not the last one.
    """
    out, run = finetuning.out, finetuning.run
    found = tested(finetuning)
    record = make_record(finetuning, found, scores)
    save_network(run, out)
    if found is not None:
        write_atomically(out / PREDICTIONS, predictions(found, run.task.classes))
    results = results_of(finetuning, record, found)
    write_report(finetuning, record, found)
    write_json(out / "results.json", results, indent=2)


def tested(finetuning: Finetuning) -> Found:
    """Return what the network answers on the target; None where outputs are no classes."""
    run = finetuning.run
    if run.objective.name == "classification":
        return answer_classes(run)
    return answer_masks(run) if run.objective.name == "segmentation" else None


def make_record(
    finetuning: Finetuning, found: Found, scores: Mapping[str, Mapping[str, float]]
) -> Record:
    """Return the fine-tune's record, as a benchmark's cell has it."""
    run, curve = finetuning.run, finetuning.curve
    last = {split: to_plain(values) for split, values in scores.items()}
    last = last or curve.points[-1].scores
    classes = found.class_accuracies() if isinstance(found, Tested) else ()
    return record_of(
        finetuning.cell(),
        metric=run.objective.main,
        scores={**last, PROXY: to_plain(score(run, PROXY))},
        measures={} if found is None else found.measures(),
        class_accuracy=classes,
        diverged=curve.diverged or last["source_validation"]["loss"] is None,
        chance=run.objective.metric().chance,
        steps=run.steps,
        seconds=round(finetuning.seconds, 3),
        curve=tuple(curve.points),
        learning_rates=finetuning.decided(),
    )


def results_of(finetuning: Finetuning, record: Record, found: Found) -> dict[str, Any]:
    """Return the content of `results.json`."""
    run, best = finetuning.run, finetuning.best
    plain = record.model_dump(mode="json", exclude={"error", "traceback"})
    results: dict[str, Any] = {
        "kind": "finetune",
        "choice": describe(finetuning.config.choice),
        "selected": {"rule": finetuning.config.select, "step": best.step or run.step},
        "images_per_second": round(finetuning.images_per_second, 2),
        "classes": list(run.task.classes),
        "unlabelled": sorted(run.task.unlabelled),
        "task": dict(run.task.description),
        **plain,
    }
    if finetuning.config.adaptation is not None:
        results["adaptation"] = adapted(finetuning, record)
    if isinstance(found, Tested) and found.labelled and found.logits.shape[1] <= _MOST_CLASSES:
        results["confusion"] = found.confusion().tolist()
    if isinstance(found, TestedMasks):
        results["overlap"] = list(found.overlaps())
    return results


def adapted(finetuning: Finetuning, record: Record) -> dict[str, Any]:
    """Return what is told of a second stage: its rounds, and what each selection rule picks."""
    target = finetuning.run.task.target_train
    assert target is not None
    picks = {rule: kept_score(record, rule) for rule in (*SELECTION, *LABEL_FREE)}
    return {
        "unlabelled_images": len(target),
        "labels_ignored": target.labelled,
        "rounds": getattr(finetuning.run, "rounds", []),
        "picked_by": {rule: finite(score) for rule, score in picks.items()},
    }


def save_network(run: Any, out: Path) -> None:
    """Write the network; one without a name of its own as its plain state."""
    if run.task.network is not None:
        from l2o.envs.networks.saved import save_network as save_named

        save_named(run.model, run.task.network, out, run.task.classes)
        return
    from safetensors.torch import save

    state = {n: t.detach().cpu().contiguous().clone() for n, t in run.model.state_dict().items()}
    write_atomically(out / WEIGHTS, save(state, metadata={"format": "pt"}))


def predictions(found: Tested | TestedMasks, classes: tuple[str, ...]) -> str:
    """Return the table of answers as CSV: a line for each image of the target."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows(_of_masks(found) if isinstance(found, TestedMasks) else _of(found, classes))
    return text.getvalue()


def _of(found: Tested, classes: tuple[str, ...]) -> Iterable[list[str]]:
    def name(label: int) -> str:
        return classes[label] if classes and label >= 0 else str(label) if label >= 0 else ""

    yield ["image", "label", "prediction", "confidence"]
    rows = zip(
        found.files,
        found.labels.tolist(),
        found.predicted.tolist(),
        found.confidence.tolist(),
        strict=True,
    )
    for file, label, predicted, confidence in rows:
        yield [file, name(label) if found.labelled else "", name(predicted), f"{confidence:.4f}"]


def _of_masks(found: TestedMasks) -> Iterable[list[str]]:
    yield ["image", "pixel_accuracy"]
    for file, share in zip(found.files, found.of_images().tolist(), strict=True):
        yield [file, f"{share:.4f}" if found.labelled else ""]


def describe(choice: PolicyChoice) -> str:
    """Return a short name of what sets the learning rates.

    Example:
        >>> describe(PolicyChoice(schedule="cosine", profile="small_backbone"))
        'cosine, small_backbone'
    """
    if choice.policy is not None:
        return f"policy {Path(choice.policy).name}"
    if choice.rule is not None:
        return choice.rule if isinstance(choice.rule, str) else choice.rule.name
    chosen = (choice.schedule, choice.profile)
    parts = [part.name if isinstance(part, Named) else part for part in chosen]
    return ", ".join(parts + (["early stopping"] if choice.early_stopping is not None else []))
