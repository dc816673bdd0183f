"""Fine-tuning on image files: images per second against a bare loop, the start, the memory."""

from __future__ import annotations

import copy
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold, mebibytes
from l2o.benchmarks.speed.memory import peak_of_process
from l2o.benchmarks.speed.timing import Times, ratio, time_alternately
from l2o.benchmarks.speed.training import POLICY
from l2o.benchmarks.studies.base import Columns
from l2o.benchmarks.studies.options import Device, Quick, count, text
from l2o.configs.schema import FineTuning, Options
from l2o.deciding.by_name import load_policy
from l2o.envs.fine_tuning.compute import DTYPES, Precision
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.runtime.executor import Processes
from l2o.envs.tasks.base import Task
from l2o.envs.tasks.images.folder import FolderFamily
from l2o.extras import needed_by

SIDE, CLASSES, KL_WEIGHT = 256, 4, 0.3
"""Of the images, in pixels; folders they lie in; of the proxy KL."""
RATE = 1e-4
"""Small: what is timed must not diverge, whatever the policy does."""
FEWER = 10
"""Memory is compared with that of a data set so many times smaller."""
MEMORY_STEPS = 8
"""Steps that memory is measured over."""
QUICK: Options = {"images": 32, "size": 32, "batch_size": 4, "steps": 1, "rounds": 1}
QUICK |= {"many": 100, "starts": 1}

BARE, CONSTANT, POLICED = "bare loop", "fine-tune, no policy", f"fine-tune, {POLICY}"
CACHED, PLAIN = "fine-tune, no policy, cached images", "bare loop, no frozen network"


@dataclass(frozen=True)
class Pace:
    """Images per second of a contender, over the bare loop's; seconds of each round."""

    name: str
    images_per_second: float
    ratio: float
    steps: int
    seconds: Sequence[float]


@dataclass(frozen=True)
class Start:
    """A fine-tune in a new process: how many images there are, and what that takes.

    Attributes:
        images: of the source.
        loading: seconds until the process runs and all libraries are imported, of each start.
        seconds: from there to the end of the first step, of each start.
        peaks: most bytes that the process held over some steps, of each start, where it is told.
    """

    images: int
    loading: Sequence[float]
    seconds: Sequence[float]
    peaks: Sequence[int]

    @property
    def peak(self) -> int | None:
        """The median peak."""
        return round(statistics.median(self.peaks)) if self.peaks else None


STARTS: Columns = {
    "images": lambda row: f"{row.images:,}",
    "importing libraries, s": lambda row: f"{statistics.median(row.loading):.1f}",
    "then to the first step, s": lambda row: f"{statistics.median(row.seconds):.1f}",
    "peak memory": lambda row: mebibytes(row.peak),
    "starts": lambda row: str(len(row.seconds)),
}
"""The table of starts."""


@dataclass(frozen=True)
class Paces(Measured[Pace]):
    """Images per second, and starts."""

    rows: Sequence[Pace]
    starts: Sequence[Start] = ()


@dataclass(frozen=True, kw_only=True)
class Images(Measurement[Pace]):
    """Measure fine-tuning on image files against a bare loop over the same images.

    Images are drawn and written as JPEG; nothing is downloaded, weights are random. The bare loop
    is PyTorch's DataLoader over the same data set, with the same transforms, network and SGD. All
    but one contender run the frozen network on each batch, since images are augmented anew. On the
    CPU without workers, seconds are those that the thread works.
    """

    examples = (
        "l2o speed images --json images.json",
        "l2o speed images --device cuda --precision bf16 --network timm:resnet50 --size 224 "
        "--batch-size 64 --workers 4 --steps 60",
    )
    title = "Images"
    columns = {
        "": lambda row: row.name,
        "images/s": lambda row: f"{row.images_per_second:,.1f}",
        "over the bare loop": lambda row: f"{row.ratio:.3f}",
        "rounds × steps": lambda row: f"{len(row.seconds)} × {row.steps}",
    }
    measured = Paces
    device: Device = "cpu"
    network: Annotated[str, text("The network, library:architecture.")] = "timm:test_resnet"
    size: Annotated[int, count("Height and width that it is given.")] = 48
    batch_size: Annotated[int, count("Images per step.", 2)] = 64
    images: Annotated[int, count("Images that are drawn.", 4 * CLASSES)] = 320
    steps: Annotated[int, count("Training steps per round.")] = 10
    rounds: Annotated[int, count("Times that each is measured.")] = 9
    workers: Annotated[int, count("Processes that read ahead.", 0)] = 0
    precision: Annotated[Precision, text("float32, bf16 or fp16.")] = "float32"
    many: Annotated[int, count("Images of the large data set.", 4 * FEWER)] = 50_000
    starts: Annotated[int, count("Starts with many images, and with a tenth.")] = 3
    quick: Quick = False

    @property
    def as_run(self) -> Images:
        """What is measured: a small part, if that is all that is wanted."""
        return replace(self, **QUICK) if self.quick else self

    def answer(self) -> Paces:
        """Measure paces, starts and memory."""
        with drawn_images(self.as_run.images) as folder:
            rows = list(self.as_run.paces(folder))
            starts = self.as_run.begin(folder)
        return Paces(rows, [*_pace_figures(rows), *_start_figures(starts)], starts)

    def rows(self) -> Iterator[Pace]:
        """Time the contenders only."""
        with drawn_images(self.as_run.images) as folder:
            yield from self.as_run.paces(folder)

    def tables(self, answer: Measured[Pace]) -> list[Table]:
        """Return paces, starts and figures."""
        assert isinstance(answer, Paces), "what `answer` returns"
        paces, *figures = super().tables(answer)
        return [paces, Table.of("Starts", answer.starts, STARTS), *figures]

    def to_json(self, answer: Measured[Pace]) -> Any:
        """Return options as they were run, and what was found."""
        return super(Images, self.as_run).to_json(answer)

    def paces(self, folder: Path) -> Iterator[Pace]:
        """Time the contenders, in turn."""
        contenders = self._contenders(folder)
        runs = {name: partial(run, self.steps) for name, run in contenders.items()}
        alone = self.where.type == "cpu" and self.workers == 0
        clock = time.thread_time if alone else time.perf_counter
        times = time_alternately(runs, self.rounds, self.where, clock)
        for name, spent in times.items():
            yield self._pace(name, spent, times[BARE])

    def _pace(self, name: str, spent: Times, bare: Times) -> Pace:
        images = self.steps * self.batch_size
        return Pace(name, images / spent.median, ratio(bare, spent), self.steps, spent.seconds)

    def _contenders(self, folder: Path) -> dict[str, Any]:
        """Return what takes a number of steps, by name."""
        total = self.steps * (self.rounds + 1)
        task, kept = (self.task(folder / "few", cache) for cache in (False, True))
        for number in range(len(kept.source_train)):
            kept.source_train[number]
        bare = partial(BareImages, device=self.where, precision=self.precision, steps=total)
        tune = partial(self.fine_tune, steps=total)
        return {
            BARE: bare(task).run,
            CONSTANT: tune(task).advance,
            POLICED: tune(task, POLICY).advance,
            CACHED: tune(kept).advance,
            PLAIN: bare(task, frozen=False).run,
        }

    def task(self, source: Path, cache: bool = True) -> Task:
        """Return the task on a folder of images."""
        family = FolderFamily(
            source=str(source),
            target=str(source.parent / "few"),
            network=self.network,
            pretrained=False,
            size=self.size,
            batch_size=self.batch_size,
            workers=self.workers,
            cache=cache,
            base_lr=RATE,
        )
        return family.sample(0)

    def fine_tune(self, task: Task, policy: str | None = None, *, steps: int) -> FineTune:
        """Return a fine-tune, under a policy or at the base learning rate."""
        config = FineTuning(
            steps=steps,
            guidance={"proxy_kl": {"weight": KL_WEIGHT}},
            device=self.device,
            precision=self.precision,
            channels_last=True,
        )
        return FineTune(task, config, policy=None if policy is None else load_policy(policy))

    def begin(self, folder: Path) -> list[Start]:
        """Start fine-tunes in new processes, with many images and with a part of them, in turn."""
        sizes = self.many // FEWER, self.many
        for images in sizes:
            link_images(folder / "few", folder / str(images), images)
        found: dict[int, list[Sequence[float]]] = {images: [] for images in sizes}
        for _ in range(self.starts):
            for images, seen in found.items():
                seen.append(_in_new_process(self, folder / str(images)))
        return [_start(images, seen) for images, seen in found.items()]


class BareImages:
    """Fine-tuning on image files in plain PyTorch: DataLoader, autocast, SGD, the proxy KL.

    Args:
        task: what to fine-tune.
        device: of the network.
        precision: what autocast computes in.
        steps: that are taken at most.
        frozen: whether the frozen network runs on each batch, and the proxy KL is added.
    """

    def __init__(
        self,
        task: Task,
        device: torch.device,
        precision: Precision,
        steps: int,
        frozen: bool = True,
    ) -> None:
        self.device, self.type = device, DTYPES.get(precision)
        self.model = fresh_model(task, 0).to(device, memory_format=torch.channels_last)
        self.frozen = copy.deepcopy(self.model).eval().requires_grad_(False) if frozen else None
        self.proxy_head = copy.deepcopy(task.proxy_head).to(device).requires_grad_(False)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        # Any: map-style, whatever its class.
        data: Any = task.source_train
        size = min(task.batch_size, len(data))
        self.batches: Iterator[Any] = iter(
            DataLoader(
                data,
                size,
                # One pass over the loader for all steps: no epoch waits for its first batch.
                sampler=RandomSampler(data, num_samples=size * steps),
                num_workers=task.loading.workers,
                pin_memory=device.type == "cuda",
            )
        )

    def run(self, steps: int) -> None:
        """Take some steps."""
        for _ in range(steps):
            images, labels = (
                each.to(self.device, non_blocking=True) for each in next(self.batches)
            )
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.type, enabled=self.type is not None):
                loss = self._loss(images, labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        features = self.model.forward_features(images)
        loss = functional.cross_entropy(self.model.forward_head(features), labels)
        if self.frozen is None:
            return loss
        with torch.no_grad():
            teacher = self.proxy_head(self.frozen.forward_features(images)).log_softmax(dim=1)
        student = self.proxy_head(features).log_softmax(dim=1)
        kl = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return loss + KL_WEIGHT * kl


def _pace_figures(rows: Sequence[Pace]) -> Iterator[Figure]:
    ratios = {row.name: row.ratio for row in rows}
    for name in (CONSTANT, POLICED):
        yield hold(f"{name}: images/s over the bare loop's", ratios[name], 0.95, 1)
    yield hold("cached images: over the loop that decodes each time", ratios[CACHED], 1.5, 2)


def _start_figures(starts: Sequence[Start]) -> Iterator[Figure]:
    fewer, many = starts
    took = statistics.median(many.seconds)
    name = f"seconds from imports to the first step, {many.images:,} images"
    yield hold(name, took, 10, 5, at_least=False)
    if many.peak is not None and fewer.peak is not None:
        more = (many.peak - fewer.peak) / (many.images - fewer.images) / 1e3
        # Paths and labels. Decoded, an image of 256 x 256 has 197 kB.
        yield hold("memory for each image more, kB", more, 1, 0.5, at_least=False)


def _start(images: int, seen: Sequence[Sequence[float]]) -> Start:
    """Put together what several starts took."""
    loading, seconds, *peaks = zip(*seen, strict=True)
    return Start(images, loading, seconds, [int(peak) for each in peaks for peak in each])


def _in_new_process(chosen: Images, source: Path) -> Sequence[float]:
    """Return seconds of loading, seconds to the first step, and the peak of memory, if told."""
    began = time.time()
    with Processes(1) as executor:
        [(_, (loaded, ended, *peak))] = executor.map(_begin, [(chosen, source)])
    return loaded - began, ended - loaded, *peak


def _begin(arguments: tuple[Images, Path]) -> Sequence[float]:
    """Start a fine-tune; return the times before it and after its first step, and the peak."""
    chosen, source = arguments
    # Libraries are imported when they are used, which is here.
    chosen.task(source.parent / "few", cache=False)
    loaded = time.time()
    tune = chosen.fine_tune(chosen.task(source), POLICY, steps=MEMORY_STEPS)
    tune.advance(1)
    ended = time.time()
    tune.advance(MEMORY_STEPS - 1)
    peak = peak_of_process()
    return loaded, ended, *([] if peak is None else [peak])


@contextmanager
def drawn_images(number: int) -> Iterator[Path]:
    """Lend a folder with `few/CLASS/IMAGE.jpg`; the cache of images lies in it meanwhile, too."""
    with needed_by("a data set of images"):
        from PIL import Image
    generator = torch.Generator().manual_seed(0)
    before = os.environ.get("L2O_CACHE")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        for place in range(number):
            path = _place(folder / "few", place)
            Image.fromarray(draw_image(generator).numpy()).save(path, quality=90)
        os.environ["L2O_CACHE"] = str(folder / "cache")
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["L2O_CACHE"]
            else:
                os.environ["L2O_CACHE"] = before


def draw_image(generator: torch.Generator) -> Tensor:
    """Return noise that is stronger the coarser it is, as in photographs, uint8 `[H, W, 3]`."""
    total = torch.full((1, 3, SIDE, SIDE), 128.0)
    for side in (4, 16, 64, SIDE):
        noise = torch.randn(1, 3, side, side, generator=generator) * 120 / side**0.5
        total += functional.interpolate(noise, (SIDE, SIDE), mode="bilinear")
    return total[0].clamp(0, 255).byte().permute(1, 2, 0).contiguous()


def link_images(few: Path, folder: Path, number: int) -> None:
    """Fill a folder with images: hard links to a few, or copies where there are none."""
    sources = cycle(sorted(few.glob("*/*.jpg")))
    for place, source in enumerate(islice(sources, number)):
        path = _place(folder, place)
        try:
            path.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, path)


def _place(folder: Path, number: int) -> Path:
    """Return where an image lies, in the folder of its class, which is made."""
    path = folder / f"class{number % CLASSES}" / f"{number:06d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
