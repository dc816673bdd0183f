"""Kernels in C++ for small networks on CPU, compiled on first use where there is a compiler."""

from l2o.envs.stacked.kernels.convolution import Geometry, convolve, images_innermost, supports
from l2o.envs.stacked.kernels.gather import gather_images
from l2o.envs.stacked.kernels.library import load_kernels, why_no_kernels

__all__ = [
    "Geometry",
    "convolve",
    "gather_images",
    "images_innermost",
    "load_kernels",
    "supports",
    "why_no_kernels",
]
