"""N fine-tunes at once on one device, with the numbers of N single ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.configs.schema import FineTuning, Named
from l2o.envs.build import build
from l2o.envs.device import resolve_device
from l2o.envs.optimizers import OPTIMIZERS
from l2o.envs.stacked.choose import choose_stack
from l2o.envs.stacked.chunk import Chunk
from l2o.envs.stacked.heap import keep_heap
from l2o.envs.stacked.measured import Measured
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
from l2o.envs.stacked.placement import Placement
from l2o.envs.stacked.precision import PRECISIONS, computing_in
from l2o.envs.stacked.stack import Stack
from l2o.envs.stacked.start import Prepared, Start
from l2o.envs.stacked.vmapped import VmappedStack
from l2o.guidance import GUIDANCE, ProxyKL
from l2o.spec import SignalSpec

CPU_CHUNK = 16
"""Networks per chunk on CPU: fewer cost more Python each, more cost more memory."""

EVALUATION_BATCH = 128
"""Images of each network per forward pass when evaluating."""


class StackedFineTune:
    """`FineTune` for N runs at once: the same batches, losses, updates, signals and evaluations.

    Runs may differ in task, network, architecture, seed, base LR, optimizer and guidance weight
    (`Start`), and may be at different steps. One that diverges or ends is left as it is while the
    others go on; `reset` begins runs anew at any time.

    Args:
        config: length, optimizer, guidance, decision interval, device.
        runs: N.
        layers: rows of the observations; at least as many as any network has layer groups.
        validate: whether the source validation loss is measured at each decision.
        signals: the spec to observe with.
        chunk: networks computed at once; None takes 16 on CPU, all of them elsewhere.
        substitute: whether layers are replaced by stacked ones where that gives the same numbers;
            else, and where it does not, `torch.func.vmap` does the stacking.
        precision: "float32", "tf32" (CUDA) or "bf16" (autocast).

    Attributes:
        reasons: architecture -> why it is not computed by substitution.

    Raises:
        ValueError: a setting that stacked fine-tunes do not have; the message says what to do.

    Example:
        >>> runs = StackedFineTune(FineTuning(), runs=2, layers=6)  # doctest: +SKIP
        >>> runs.reset({0: Start(task, seed=0), 1: Start(task, seed=1)})  # doctest: +SKIP
        >>> runs.set_multipliers(torch.ones(2, 6)); runs.advance()  # doctest: +SKIP
    """

    def __init__(
        self,
        config: FineTuning,
        runs: int,
        layers: int,
        *,
        validate: bool = False,
        signals: SignalSpec | None = None,
        chunk: int | None = None,
        substitute: bool = True,
        precision: str = "float32",
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.config = config
        self.runs = runs
        self.layers = layers
        self.validate = validate
        self.spec = signals or SignalSpec()
        self.substitute = substitute
        self.precision = precision
        self.device = resolve_device(config.device)
        if self.device.type == "cpu":
            keep_heap()
        self.optimizer = build("optimizer", OPTIMIZERS, config.optimizer)
        self.guidance = _guidance(config)
        self.reasons: dict[str, str] = {}
        self._kinds: dict[Any, type[Stack]] = {}
        self.chunk = chunk or (CPU_CHUNK if self.device.type == "cpu" else runs)
        self._placement = Placement(self.chunk)
        self._measured = Measured(runs, layers, self.device)
        self._multipliers = torch.ones(runs, layers, dtype=torch.float64)
        self._windows = torch.full((2, runs), torch.nan, device=self.device)
        self.starts: dict[int, Prepared] = {}
        self.step: NDArray[np.int64] = np.zeros(runs, np.int64)
        self.steps: NDArray[np.int64] = np.zeros(runs, np.int64)
        self.diverged: NDArray[np.bool_] = np.zeros(runs, np.bool_)

    @property
    def done(self) -> NDArray[np.bool_]:
        """Whether each run has ended: all steps taken, or diverged. `[N]`."""
        return self.diverged | (self.step >= self.steps)

    def reset(self, starts: Mapping[int, Start]) -> None:
        """Begin runs anew, by number; the others go on."""
        prepared = {
            run: Prepared(start, self.config.steps, self.optimizer) for run, start in starts.items()
        }
        for start in prepared.values():
            self._check(start)
        self._placement.leave(prepared)
        self._placement.enter(prepared, self._make_chunk)
        for run, start in prepared.items():
            chunk, position = self._placement.where[run]
            chunk.load(position, start, self.guidance.weight if self.guidance else 0.0)
            self.starts[run] = start
            self.step[run], self.steps[run], self.diverged[run] = 0, start.steps, False
            self._multipliers[run] = 1.0
            self._windows[:, run] = torch.nan
        for chunk, runs, positions in self._placement.groups(prepared):
            self._begin(chunk, runs, positions)

    def _check(self, start: Prepared) -> None:
        layers = len(start.layout.groups)
        if layers > self.layers:
            raise ValueError(
                f"a network of {layers} layer groups does not fit observations of {self.layers} "
                "rows; the family's max_layers must be that of its deepest network"
            )
        if type(start.optimizer) not in STACKED_OPTIMIZERS:
            raise ValueError(
                f"optimizer {type(start.optimizer).__name__} has no stacked form; use sgd, "
                "sgd_lr_momentum, adam or adamw, or FineTuneEnv"
            )

    def _make_chunk(self, starts: list[Prepared]) -> Chunk:
        like = starts[0]
        if like.key not in self._kinds:
            self._kinds[like.key] = self._choose(like)
        return Chunk(
            like,
            self._kinds[like.key],
            len(starts),
            capacity=max(len(start.task.source_train) for start in starts),
            steps=max(start.steps for start in starts),
            guidance=self.guidance,
            keep_start="drift" in self.spec.needs,
            watch_head="head" in self.spec.needs,
            device=self.device,
            evaluation_batch=EVALUATION_BATCH,
        )

    def _choose(self, like: Prepared) -> type[Stack]:
        if not self.substitute:
            return VmappedStack
        example = like.task.source_train.images[0]
        kernels = self.device.type == "cpu" and self.precision != "bf16"
        kind, reason = choose_stack(like.model, like.proxy_head, example, kernels)
        if reason:
            self.reasons[type(like.model).__name__] = reason
        return kind

    def _begin(self, chunk: Chunk, runs: list[int], positions: list[int]) -> None:
        """Measure runs at their start."""
        rates = torch.tensor([self.starts[run].base_lr for run in runs], dtype=torch.float64)
        self._measured.begin(runs, chunk.layout, rates)
        norms = chunk.measure(started=False)
        self._measured.write(runs, positions, start_norm=norms["weight_norm"], **norms)
        self._write_progress(chunk, runs)

    # Training -----------------------------------------------------------------------------------

    def set_multipliers(self, multipliers: Tensor) -> None:
        """Use these multipliers `[N, layers]` from the next step on; rows of padding are ignored.

        Raises:
            ValueError: wrong shape, or a value that is negative or not finite.
        """
        chosen = multipliers.detach().to("cpu", torch.float64)
        if chosen.shape != self._multipliers.shape:
            raise ValueError(
                f"{self.runs} runs of {self.layers} layers need multipliers of shape "
                f"{tuple(self._multipliers.shape)}, got {tuple(chosen.shape)}"
            )
        if not (torch.isfinite(chosen) & (chosen >= 0)).all():
            raise ValueError("multipliers must be finite and not negative")
        self._multipliers = chosen

    def advance(self, only: NDArray[np.bool_] | None = None) -> None:
        """Take up to `interval` optimizer steps with all runs that have not ended.

        Args:
            only: `[N]`, the runs to train; None trains all.
        """
        active = ~self.done if only is None else ~self.done & only
        counts = np.where(active, np.minimum(self.config.interval, self.steps - self.step), 0)
        with computing_in(self.precision, self.device):
            for chunk, runs, positions in self._placement.groups(np.flatnonzero(active).tolist()):
                self._advance_chunk(chunk, runs, positions, counts[runs])
        self.step += counts
        for chunk, runs, positions in self._placement.groups(np.flatnonzero(active).tolist()):
            self._finish_window(chunk, runs, positions, counts[runs])
        self._note_divergence(active)

    def _advance_chunk(
        self, chunk: Chunk, runs: list[int], positions: list[int], counts: NDArray[np.int64]
    ) -> None:
        chunk.set_rates(self._rates(chunk, runs, positions))
        chunk.loss_sum.zero_()
        chunk.kl_sum.zero_()
        chunk.head_sum.zero_()
        begun = np.zeros(chunk.count, np.int64)
        begun[positions] = self.step[runs]
        taken = 0
        # Runs that end within the window hold still for the rest of it.
        for until in sorted(set(counts.tolist())):
            moving = [p for p, count in zip(positions, counts, strict=True) if count >= until]
            still = sorted(set(range(chunk.count)) - set(moving))
            self._train(chunk, begun + taken, until - taken, still, until)
            taken = until

    def _train(
        self, chunk: Chunk, begun: NDArray[np.int64], length: int, still: list[int], until: int
    ) -> None:
        """Train a part of a window; what the meter needs is noted before its last step."""
        measured = until == self.config.interval
        steps = torch.from_numpy(begun).to(self.device)
        chunk.train(steps, length - measured, still)
        if measured:
            chunk.remember()
            if self.validate:
                chunk.validation_loss = chunk.loss("source_validation")
            chunk.train(steps + (length - 1), 1, still)

    def _rates(self, chunk: Chunk, runs: list[int], positions: list[int]) -> Tensor:
        rates = torch.zeros(chunk.count, len(chunk.layout.groups), dtype=torch.float64)
        base = torch.tensor([self.starts[run].base_lr for run in runs], dtype=torch.float64)
        rates[positions] = base[:, None] * self._multipliers[runs][:, : rates.shape[1]]
        return rates

    def _finish_window(
        self, chunk: Chunk, runs: list[int], positions: list[int], counts: NDArray[np.int64]
    ) -> None:
        taken = torch.from_numpy(counts).to(self.device)
        sums = torch.stack([chunk.loss_sum, chunk.kl_sum])[:, positions]
        means = torch.nan_to_num(sums / taken, nan=torch.inf, neginf=torch.inf)
        self._windows[:, runs] = means
        whole = counts == self.config.interval
        if not whole.any():
            return
        kept = np.flatnonzero(whole).tolist()
        measured, at = [runs[i] for i in kept], [positions[i] for i in kept]
        self._measured.shift("loss", measured, means[0, kept])
        self._measured.shift("proxy_kl", measured, means[1, kept])
        if chunk.watch_head:
            head = chunk.head_sum[:, at] / self.config.interval
            for name, values in zip(("head_mean", "head_std"), head):
                self._measured.put(name, measured, torch.nan_to_num(values, nan=torch.inf))
        middle = (self.step[measured] - (self.config.interval + 1) / 2) / self.steps[measured]
        self._measured.put("window_progress", measured, torch.from_numpy(middle))
        if self.validate:
            self._measured.shift("validation_loss", measured, chunk.validation_loss[at])
        layers = len(chunk.layout.groups)
        self._measured.put("multiplier", measured, self._multipliers[measured][:, :layers])
        self._measured.write(measured, at, **chunk.measure(started=True))
        self._write_progress(chunk, measured)

    def _write_progress(self, chunk: Chunk, runs: list[int]) -> None:
        if not self.step[runs].any():
            ones = torch.ones(len(runs), len(chunk.layout.groups))
            self._measured.put("multiplier", runs, ones)
        done, total = self.step[runs], self.steps[runs]
        self._measured.put("progress", runs, torch.from_numpy(np.minimum(done / total, 1.0)))
        self._measured.put("steps_left", runs, torch.from_numpy(np.maximum(total - done, 0)))

    def _note_divergence(self, active: NDArray[np.bool_]) -> None:
        losses = self._windows[0].cpu().numpy()
        self.diverged |= active & np.isinf(losses)

    # Results ------------------------------------------------------------------------------------

    @property
    def observation(self) -> Tensor:
        """The newest observations `[N, layers, F]`, on the host."""
        return self._measured.observation(self.spec).cpu()

    @property
    def last_loss(self) -> Tensor:
        """Mean training loss of each run's last window `[N]`; NaN before the first."""
        return self._windows[0].cpu()

    @property
    def last_proxy_kl(self) -> Tensor:
        """Mean proxy KL of each run's last window `[N]`; NaN before the first."""
        return self._windows[1].cpu()

    def accuracy(self, split: str, runs: Sequence[int] | None = None) -> Tensor:
        """Return the accuracy on a split, `[N]`, NaN but for the runs asked for (None: all)."""
        return self._evaluate(lambda chunk: chunk.accuracy(split), runs)

    def loss(self, split: str, runs: Sequence[int] | None = None) -> Tensor:
        """Return the mean cross-entropy on a split, likewise."""
        return self._evaluate(lambda chunk: chunk.loss(split), runs)

    def proxy_accuracy(self, runs: Sequence[int] | None = None) -> Tensor:
        """Return the accuracy of the proxy heads on the fine-tuned backbones, likewise."""
        return self.accuracy("proxy_test", runs)

    def _evaluate(self, evaluate: Callable[[Chunk], Tensor], runs: Sequence[int] | None) -> Tensor:
        wanted = range(self.runs) if runs is None else runs
        values: Tensor | None = None
        with computing_in(self.precision, self.device):
            for chunk, held, positions in self._placement.groups(wanted):
                measured = evaluate(chunk)
                if values is None:
                    values = measured.new_full((self.runs,), torch.nan)
                values[held] = measured[positions]
        return torch.full((self.runs,), torch.nan) if values is None else values.cpu()

    def weights(self, run: int) -> dict[str, Tensor]:
        """Return a copy of one run's trained parameters, by name."""
        chunk, position = self._placement.where[run]
        return chunk.weights(position)


def _guidance(config: FineTuning) -> ProxyKL | None:
    terms = [
        build("guidance", GUIDANCE, Named(name=name, options=options))
        for name, options in config.guidance.items()
    ]
    if any(not isinstance(term, ProxyKL) for term in terms):
        raise ValueError(
            f"guidance {', '.join(config.guidance)}: stacked fine-tunes have proxy_kl only; "
            "use FineTuneEnv for the others"
        )
    return terms[0] if terms else None  # type: ignore[return-value]
