"""The processes that share one fine-tune: this one alone, or those that accelerate launched."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor, nn

from l2o.extras import needed_by


class OneProcess:
    """A fine-tune by one process.

    Attributes:
        rank: number of this process.
        count: of all of them.
    """

    rank = 0
    count = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes what there is to write."""
        return self.rank == 0

    def share(self, order: Tensor) -> Tensor:
        """Return this process's part of a batch's indices."""
        return order

    def wrap(self, forward: nn.Module) -> nn.Module:
        """Return a module whose gradients are those of all processes together."""
        return forward

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes."""
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""


class LaunchedProcesses(OneProcess):
    """The processes of `accelerate launch` or torchrun, each with its share of every batch.

    Gradients are averaged by DistributedDataParallel before the optimizer's step, and losses before
    the controller sees them, so that all processes decide the same and stay equal.
    """

    def __init__(self, device_type: str) -> None:
        with needed_by("fine-tuning by several processes", "accelerate"):
            from accelerate import PartialState
        self._state = PartialState(cpu=device_type == "cpu")
        self.rank, self.count = self._state.process_index, self._state.num_processes

    @property
    def device(self) -> Any:
        """The device of this process."""
        return self._state.device

    def share(self, order: Tensor) -> Tensor:
        """Return this process's part of a batch's indices.

        Raises:
            ValueError: the processes cannot have equal shares.
        """
        if len(order) % self.count:
            raise ValueError(
                f"a batch of {len(order)} cannot be shared evenly by {self.count} processes; "
                f"take a batch_size that is a multiple of {self.count}"
            )
        return order[self.rank :: self.count]

    def wrap(self, forward: nn.Module) -> nn.Module:
        """Return the module in DistributedDataParallel."""
        from torch.nn.parallel import DistributedDataParallel

        forward = nn.SyncBatchNorm.convert_sync_batchnorm(forward) if self._on_gpu else forward
        # Buffers are those of frozen batch norm: the same everywhere.
        return DistributedDataParallel(forward, broadcast_buffers=False)

    @property
    def _on_gpu(self) -> bool:
        return bool(self.device.type == "cuda")

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes."""
        from accelerate.utils import reduce

        found: Tensor = reduce(value.detach().clone(), reduction="mean")
        return found

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._state.wait_for_everyone()


def launched_rank() -> int:
    """Return the number of this process among those that were launched together, else 0."""
    return int(os.environ.get("RANK", "0"))


def find_processes(device_type: str) -> OneProcess:
    """Return the processes that this one was launched with, by the variables that launchers set."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return OneProcess()
    return LaunchedProcesses(device_type)
