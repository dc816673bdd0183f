"""What may be chosen of the `digits` family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from l2o.envs.tasks.axes import Axis
from l2o.envs.tasks.proxy.options import ProxyOptions


@dataclass(frozen=True, kw_only=True)
class DigitsOptions(ProxyOptions):
    """Options of `DigitsFamily`. An axis is a number, or a pair from which each task draws.

    Real digits are few, about 190 each for target validation and test, so that a digit comes back
    on another patch of the photograph.

    Example:
        >>> DigitsOptions(classes=(4, 10), rotation=0).photograph
        'either'
    """

    photograph: str = "either"
    """The proxies' background, china or flower; either alternates. The target has the other one."""
    fonts_per_task: Axis = (2, 6)
    """Number of fonts that a task's synthetic images are drawn from."""
    rotation: Axis = (5, 20)
    """Largest rotation of a synthetic digit, in degrees."""
    shear: Axis = (0.0, 0.3)
    """Largest shear of a synthetic digit, as a fraction of its height."""
    colours: Axis = (4, 16)
    """Number of pairs of colours (background, digit) that a task's images are drawn in."""
    contrast: Axis = (0.2, 0.3)
    """Smallest mean distance between the two colours of a pair, in [0, 0.5]."""
    classes: Axis = 10
    """Number of digits that a task has to tell apart, drawn from the ten."""
    label_noise: Axis = 0.0
    """Share of the training images whose label is another digit's."""
    target_train_images: int = 0
    """Size of the real set without labels that methods adapt to; its originals are taken from the
    set that rewards look at, and none of them scores. 0: there is none."""
    proxy_train_images: int = 0
    """Number of labelled images of the proxy's own domain that a fine-tune may rehearse
    (`finetuning.rehearsal`); 0: there are none."""
    psi: Mapping[str, Any] | str | None = None
    """What the source's images are drawn from by the simulator of digits: a point, a distribution
    as plain data (`kind` and its options), or the file or folder of a learned one. Null: by the
    family's own fonts, poses and colours, which differ from task to task."""
    sources: Mapping[str, Mapping[str, Any] | str] = field(default_factory=dict)
    """Several sources by name, each drawn from what `psi` may be; they share the source's images
    evenly, and `finetuning.source_weights` says how batches are mixed. Empty: there is one."""
