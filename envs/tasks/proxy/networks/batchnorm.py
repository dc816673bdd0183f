"""Residual blocks with batch normalisation."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from l2o.envs.tasks.proxy.networks.residual import ResidualBlock, ResidualNetwork


class BatchNormBlock(ResidualBlock):
    """The residual block with batch normalisation."""

    def norm(self, channels: int) -> nn.Module:
        """Make a normalisation of so many channels."""
        return nn.BatchNorm2d(channels)


class BatchNormNetwork(ResidualNetwork):
    """A stem, residual blocks with batch normalisation, mean pooling: a small ResNet.

    Source: He et al., Deep Residual Learning for Image Recognition.
    """

    block: ClassVar[type[ResidualBlock]] = BatchNormBlock
