"""N fine-tunes at once on one device, with the numbers of N single ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.inner_loop import InnerLoop, check_guidance_actions
from l2o.envs.runtime.stopwatch import Stopwatch
from l2o.envs.stacked.choose import choose_stack
from l2o.envs.stacked.chunk import Chunk
from l2o.envs.stacked.clock import DeviceClock
from l2o.envs.stacked.data import room_for
from l2o.envs.stacked.freed_memory import keep_heap
from l2o.envs.stacked.graph import SharedMemory
from l2o.envs.stacked.guidance import check_stackable
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
from l2o.envs.stacked.orders import Orders
from l2o.envs.stacked.placement import Placement
from l2o.envs.stacked.precision import PRECISIONS, computing_in
from l2o.envs.stacked.results import Collector, Scores
from l2o.envs.stacked.stack import Stack
from l2o.envs.stacked.start import Prepared, Start
from l2o.envs.stacked.trainer import Trainer
from l2o.envs.stacked.transfers import HostLink
from l2o.envs.stacked.vmapped import VmappedStack
from l2o.intervals import Windows
from l2o.measures import Outputs
from l2o.signals.spec import SignalSpec

CPU_CHUNK = 16
"""Networks per chunk on CPU: fewer cost more Python each, more cost more memory."""

EVALUATION_BATCH = 128
"""Images of each network per forward pass when evaluating."""


class StackedFineTune:
    """`FineTune` for N runs at once: the same batches, losses, updates, signals and evaluations.

    Runs may differ in task, network, architecture, seed, base LR, optimizer and guidance weights
    (`Start`), and may be at different steps. One that diverges or ends is left as it is while the
    others go on; `reset` begins runs anew at any time.

    Args:
        config: length, optimizer, guidance, decision interval, device; resolved or not.
        runs: N.
        layers: rows of the observations; at least as many as any network has layer groups, and
            one more for each guidance action.
        validate: whether the source validation loss is measured at each decision.
        signals: the spec to observe with.
        guidance_actions: names of guidance terms whose weights the multipliers scale, too; their
            rows come after those of a network's layers.
        chunk: networks computed at once; None takes 16 on CPU, all of them elsewhere.
        substitute: whether layers are replaced by stacked ones where that gives the same numbers;
            else, and where it does not, `torch.func.vmap` does the stacking.
        precision: "float32", "tf32" (CUDA) or "bf16" (autocast).

    Attributes:
        reasons: architecture -> why it is not computed by substitution.
        stopwatch: seconds of making, stepping and evaluating.

    Raises:
        ValueError: a setting that stacked fine-tunes do not have; the message says what to do.

    Example:
        >>> runs = StackedFineTune(FineTuning(), runs=2, layers=6)  # doctest: +SKIP
        >>> runs.reset({0: Start(task, seed=0), 1: Start(task, seed=1)})  # doctest: +SKIP
        >>> runs.set_multipliers(torch.ones(2, 6)); runs.advance()  # doctest: +SKIP
    """

    def __init__(
        self,
        config: FineTuning | InnerLoop,
        runs: int,
        layers: int,
        *,
        validate: bool = False,
        signals: SignalSpec | None = None,
        guidance_actions: Sequence[str] = (),
        chunk: int | None = None,
        substitute: bool = True,
        precision: str = "float32",
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.loop = InnerLoop.of(config)
        if not self.loop.compute.is_plain:
            raise ValueError(
                f"{self.loop.compute} has no stacked form; fine-tune one by one (stacked=false), "
                "or leave precision, channels_last, accumulate and compile at their defaults"
            )
        if not self.loop.is_plain:
            raise ValueError(
                "source_weights, source_norm and rehearsal have no stacked form; fine-tune one by "
                "one (stacked=false), or leave them at their defaults"
            )
        self.runs = runs
        self.layers = layers
        self.validate = validate
        self.spec = signals or SignalSpec()
        self.substitute = substitute
        self.precision = precision
        self.device, self.interval = self.loop.device, self.loop.interval
        if self.device.type == "cpu":
            keep_heap()
        self.optimizer, self.guidance = self.loop.optimizer, self.loop.guidance
        check_stackable(self.guidance)
        check_guidance_actions(guidance_actions, self.guidance)
        self.guidance_actions = tuple(guidance_actions)
        self._windows: dict[int, Windows] = {}
        self.reasons: dict[str, str] = {}
        self._kinds: dict[Any, type[Stack]] = {}
        self.chunk = chunk or (CPU_CHUNK if self.device.type == "cpu" else runs)
        self.starts: dict[int, Prepared] = {}
        self.step: NDArray[np.int64] = np.zeros(runs, np.int64)
        self.steps: NDArray[np.int64] = np.zeros(runs, np.int64)
        self.diverged: NDArray[np.bool_] = np.zeros(runs, np.bool_)
        self.stopwatch = Stopwatch()
        self._shared = SharedMemory(self.device) if self.device.type == "cuda" else None
        self._placement = Placement(runs, self.chunk)
        self._link = HostLink(self.device)
        self._clock = DeviceClock(self.device)
        self._collector = Collector(self._placement, layers, self.spec, self._link, self._shared)
        self._results = self._collector.empty()
        # One row more than there are runs: for the vacant positions of chunks.
        self._orders = Orders.empty(runs + 1, layers)
        self._orders.multipliers[:] = 1.0

    @property
    def done(self) -> NDArray[np.bool_]:
        """Whether each run has ended: all steps taken, or diverged. `[N]`."""
        return self.diverged | (self.step >= self.steps)

    @property
    def windows(self) -> NDArray[np.int64]:
        """Optimizer steps of each run's next decision window, 0 where none has begun. `[N]`."""
        found = np.zeros(self.runs, np.int64)
        for run, windows in self._windows.items():
            found[run] = windows.end_after(int(self.step[run])) - self.step[run]
        return found

    def reset(self, starts: Mapping[int, Start], splits: Sequence[str] = ()) -> None:
        """Begin runs anew, by number; the others go on.

        Args:
            starts: run -> what it begins with.
            splits: what to score the new runs on, as `advance` does.
        """
        self._clock.mark("making")
        prepared = {
            run: Prepared(start, self.loop.steps, self.optimizer) for run, start in starts.items()
        }
        for start in prepared.values():
            self._check(start)
        _check_metrics([*self.starts.values(), *prepared.values()])
        self._placement.leave(prepared)
        self._placement.enter(prepared, self._make_trainer)
        orders = self._orders
        orders.begins[:] = 0.0
        for trainer, positions in self._placement.groups(prepared):
            trainer.chunk.load(positions)
        for run, start in prepared.items():
            self.starts[run] = start
            self.step[run], self.steps[run], self.diverged[run] = 0, start.steps, False
            self._windows[run] = Windows(self.interval, start.steps)
            orders.base_lr[run], orders.multipliers[run] = start.base_lr, 1.0
            orders.progress[run], orders.steps_left[run] = 0.0, start.steps
            orders.begins[run] = 1.0
        table = self._send()
        new = np.zeros(self.runs, np.bool_)
        new[list(prepared)] = True
        for trainer, part, _ in self._parts_of(new):
            trainer.begin(Orders(table[part]))
        self._finish(new, splits)

    def _check(self, start: Prepared) -> None:
        layers, room = len(start.layout.groups), self.layers - len(self.guidance_actions)
        if layers > room:
            raise ValueError(
                f"a network of {layers} layer groups does not fit observations of {room} "
                "rows; the family's max_layers must be that of its deepest network"
            )
        if type(start.optimizer) not in STACKED_OPTIMIZERS:
            raise ValueError(
                f"optimizer {type(start.optimizer).__name__} has no stacked form; use sgd, "
                "sgd_lr_momentum, adam, adamw, rmsprop or lion, or FineTuneEnv"
            )

    def _make_trainer(self, starts: list[Prepared]) -> Trainer:
        like = starts[0]
        if like.key not in self._kinds:
            self._kinds[like.key] = self._choose(like)
        chunk = Chunk(
            like,
            self._kinds[like.key],
            len(starts),
            capacity=room_for(max(len(start.source) for start in starts)),
            steps=max(start.steps for start in starts),
            guidance=self.guidance,
            keep_start="drift" in self.spec.needs,
            device=self.device,
            evaluation_batch=EVALUATION_BATCH,
            watch_head="head" in self.spec.needs,
            largest="largest" in self.spec.needs,
            guidance_actions=self.guidance_actions,
        )
        actions = len(self.guidance_actions)
        return Trainer(chunk, self.layers, actions, self.validate, self._shared)

    def _choose(self, like: Prepared) -> type[Stack]:
        if not self.substitute:
            return VmappedStack
        example = like.source.images[0]
        kernels = self.device.type == "cpu" and self.precision != "bf16"
        maps = WantedMaps.of(self.guidance.values(), like)
        kind, reason = choose_stack(like.model, like.proxy_head, example, kernels, maps)
        if reason:
            self.reasons[type(like.model).__name__] = reason
        return kind

    # Training -----------------------------------------------------------------------------------

    def set_multipliers(self, multipliers: Tensor) -> None:
        """Use these multipliers `[N, layers]` from the next step on; rows of padding are ignored.

        Raises:
            ValueError: wrong shape, or a value that is negative or not finite.
        """
        chosen = multipliers.detach().to("cpu", torch.float64)
        if chosen.shape != (self.runs, self.layers):
            raise ValueError(
                f"{self.runs} runs of {self.layers} layers need multipliers of shape "
                f"{(self.runs, self.layers)}, got {tuple(chosen.shape)}"
            )
        if not (torch.isfinite(chosen) & (chosen >= 0)).all():
            raise ValueError("multipliers must be finite and not negative")
        self._orders.multipliers[:-1] = chosen.numpy()

    def advance(self, only: NDArray[np.bool_] | None = None, splits: Sequence[str] = ()) -> None:
        """Take the optimizer steps of a decision window with all runs that have not ended.

        Orders go to the device in one copy; observations, losses and scores come back in one.

        Args:
            only: `[N]`, the runs to train; None trains all.
            splits: what to score the trained runs on; see `scores`.
        """
        active = ~self.done if only is None else ~self.done & only
        windows = self.windows
        counts = np.where(active, np.minimum(windows, self.steps - self.step), 0)
        whole = active & (counts == windows)
        orders, after = self._orders, self.step + counts
        orders.whole[:-1] = whole
        orders.begun[:-1], orders.count[:-1], orders.begins[:] = self.step, counts, 0.0
        orders.progress[:-1] = np.minimum(after / np.maximum(self.steps, 1), 1.0)
        orders.steps_left[:-1] = np.maximum(self.steps - after, 0)
        self._clock.mark("stepping")
        table = self._send()
        with computing_in(self.precision, self.device):
            for trainer, part, runs in self._parts_of(active):
                trainer.train(
                    Orders(table[part]), np.append(counts, 0)[runs], np.append(whole, False)[runs]
                )
        self.step = after
        self._finish(active, splits)
        self.diverged = self.diverged | (active & np.isinf(self._results.loss))

    def _send(self) -> Tensor:
        return self._link.send(self._orders.table[self._placement.run_of])

    def _parts_of(
        self, wanted: NDArray[np.bool_]
    ) -> Iterator[tuple[Trainer, slice, NDArray[np.int64]]]:
        """Yield chunks that hold wanted runs: trainer, slots, run in each slot."""
        some = np.append(wanted, False)
        for trainer, part in self._placement.parts():
            runs = self._placement.run_of[part]
            if some[runs].any():
                yield trainer, part, runs

    def _finish(self, wanted: NDArray[np.bool_], splits: Sequence[str]) -> None:
        """Score wanted runs, and bring what is newest of all to the host."""
        self._clock.mark("evaluating")
        with computing_in(self.precision, self.device):
            for trainer, _, _ in self._parts_of(wanted):
                for split in splits:
                    trainer.evaluate(split)
        self._clock.mark("stepping")
        results = self._collector.collect(splits)
        self._clock.mark("")
        self.stopwatch.add(self._clock.read())
        for found in results.scores.values():
            for column in found.values():
                column[~wanted] = np.nan
        self._results = results

    # Results ------------------------------------------------------------------------------------

    @property
    def observation(self) -> Tensor:
        """The newest observations `[N, layers, F]`, on the host."""
        return torch.from_numpy(self._results.observation)

    @property
    def last_loss(self) -> Tensor:
        """Mean training loss of each run's last window `[N]`; NaN before the first."""
        return torch.from_numpy(self._results.loss)

    @property
    def last_proxy_kl(self) -> Tensor:
        """Mean proxy KL of each run's last window `[N]`; NaN before the first."""
        return torch.from_numpy(self._results.proxy_kl)

    @property
    def scores(self) -> dict[str, Scores]:
        """Split -> metric -> values `[N]`, of the splits and runs last asked for.

        "proxy_test" is scored by the proxy heads: it tells what the backbones keep.
        """
        return self._results.scores

    def evaluate(
        self, splits: Sequence[str], runs: Sequence[int] | None = None
    ) -> dict[str, Scores]:
        """Score runs (None: all) on splits; return `scores`, NaN but for these runs."""
        wanted = np.isin(
            np.arange(self.runs), list(self._placement.where if runs is None else runs)
        )
        self._finish(wanted, splits)
        return self.scores

    def outputs(self, split: str, runs: Sequence[int]) -> dict[int, Outputs]:
        """Return runs' logits, labels and features on a split, on the host, for `l2o.measures`."""
        found: dict[int, Outputs] = {}
        every = list(self._placement.where.items())
        with computing_in(self.precision, self.device):
            for trainer in self._placement.trainers:
                places = {r: at for r, (held, at) in every if held is trainer and r in runs}
                if places:
                    measured = trainer.outputs(split, list(places.values()))
                    found |= dict(zip(places, measured, strict=True))
        return found

    def not_captured(self) -> dict[str, str]:
        """Return what could not be captured as a CUDA graph and runs as it is, with the reasons."""
        every = [trainer.graphs for trainer in self._placement.trainers]
        every.append(self._collector.graphs)
        return {str(key): why for graphs in every for key, why in graphs.reasons.items()}

    def weights(self, run: int) -> dict[str, Tensor]:
        """Return a copy of one run's trained parameters, by name."""
        trainer, position = self._placement.where[run]
        return trainer.chunk.weights(position)


def _check_metrics(starts: Sequence[Prepared]) -> None:
    """Raise ValueError unless all have the same metrics: results are one table for all."""
    found = {
        (*start.objective.metrics, *start.proxy_objective.metrics): start.objective.name
        for start in starts
    }
    if len(found) > 1:
        raise ValueError(
            f"tasks of the objectives {', '.join(found.values())} have different metrics; run "
            "those of each objective in a stack of their own"
        )
