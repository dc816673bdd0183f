"""Optimizers that packages of the extra `rivals` bring."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any, ClassVar

from torch.optim import Optimizer

from l2o.envs.optimizers.base import InnerOptimizer
from l2o.extras import needed_by


class ExtraOptimizer(InnerOptimizer):
    """An inner optimizer of a package that need not be installed.

    Such optimizers set their steps themselves: they are run under the constant schedule and the
    flat profile, one fine-tune after another.

    Attributes:
        module: imported when settings are made, so that a lack is known before any work.
    """

    module: ClassVar[str]

    def __post_init__(self) -> None:
        """Raise MissingExtraError if the package is not installed."""
        self.load()

    def load(self) -> Any:
        """Return the module.

        Raises:
            MissingExtraError: its package is not installed.
        """
        with needed_by(f"optimizer {type(self).__name__}"):
            return importlib.import_module(self.module)


def quietly(make: Any, *arguments: Any, **options: Any) -> Optimizer:
    """Return what a constructor makes that prints what it does."""
    with contextlib.redirect_stdout(io.StringIO()):
        made: Optimizer = make(*arguments, **options)
    return made
