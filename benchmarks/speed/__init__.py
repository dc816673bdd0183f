"""Speed comparisons, each a command `l2o speed NAME`: a claim is a ratio measured in one run."""

_HERE = "l2o.benchmarks.speed"

SPEED: dict[str, tuple[str, str]] = {
    "stacked": (
        f"{_HERE}.stacked:Stacked",
        "How fast are stacked fine-tunes, against a bare loop?",
    ),
    "cells": (f"{_HERE}.cells:Cells", "How many fine-tunes a minute, stacked and one by one?"),
    "controller": (
        f"{_HERE}.controller:Controller",
        "What does a controller add to a training step?",
    ),
    "decision": (f"{_HERE}.decision:Decision", "How long does one decision take, by layer groups?"),
    "executors": (
        f"{_HERE}.executors:Executors",
        "What does Ray cost over processes, and do its records differ?",
    ),
    "scaling": (
        f"{_HERE}.scaling:Scaling",
        "How many nodes does one driver keep busy?",
    ),
    "footprint": (
        f"{_HERE}.footprint:Footprint",
        "What does a controller take with large networks?",
    ),
    "guidance": (
        f"{_HERE}.guidance:Guidance",
        "What does each guidance term cost per training step?",
    ),
    "adaptation": (
        f"{_HERE}.adaptation:Adaptation",
        "What does each method of adaptation cost per training step, and its memory?",
    ),
    "images": (
        f"{_HERE}.images:Images",
        "How fast is fine-tuning on image files, against a bare loop?",
    ),
    "small-images": (
        f"{_HERE}.small_images:SmallImages",
        "How much faster are steps on small images with kernels cropped to their maps?",
    ),
    "precision": (f"{_HERE}.precision:Precision", "What does a number format cost in accuracy?"),
    "service": (
        "l2o.service.load.speed:Service",
        "How fast does a server decide, and what does a policy elsewhere cost?",
    ),
    "page": (f"{_HERE}.page:Page", "Tables of written results, as Markdown; a picture."),
}
"""Name -> where the measurement is, and the question it answers; imported when used."""
