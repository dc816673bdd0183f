"""Several sources in one fine-tune: shares of batches, their statistics, rehearsal."""

from l2o.envs.fine_tuning.sources.batch_norm import SourcedForward, SourceNorm
from l2o.envs.fine_tuning.sources.mix import SourceMix
from l2o.envs.fine_tuning.sources.rehearsal import Rehearsal

__all__ = ["Rehearsal", "SourceMix", "SourceNorm", "SourcedForward"]
