"""Bags, from the front."""

from __future__ import annotations

import numpy as np

from l2o.envs.simulators.garments.outline import Cutter, Garment


def draw_bag(cutter: Cutter, seam: float) -> Garment:
    """A body wider at the bottom or the top, with handles, a strap or neither; a flap, a clasp."""
    garment, cut = Garment(), cutter.cut
    kind = cutter.pick(0.45, 0.25, 0.3)
    tall = cut(0.7, 1.5) if kind < 2 else cut(0.8, 1.6)
    low, high = cut(0.8, 1.0), cut(0.65, 1.0)
    corner = cut(0.03, 0.25)
    side = [
        (0.0, 0.0),
        (high - corner, 0.0),
        (high, corner),
        (low, tall - corner),
        (low - corner, tall),
        (0.0, tall),
    ]
    if kind == 0:
        for shift in (0.0, cut(-0.05, 0.08)):
            add_handle(garment, cutter, cut(0.28, 0.5), cut(0.25, 0.75), shift)
    elif kind == 1:
        add_handle(garment, cutter, high * cut(0.8, 1.0), cut(0.4, 1.1), 0.0)
    garment.whole(side, rounds=1)
    if cutter.has(0.6):
        flap = tall * cut(0.3, 0.7)
        line = [(-high, 0.0), (-0.9 * high, flap), (0.9 * high, flap), (high, 0.0)]
        garment.line(line, 0.045, rounds=1, tone=seam)
        garment.line([(0.0, flap - 0.08), (0.0, flap + 0.08)], cut(0.06, 0.16), tone=2.0 - seam)
    elif cutter.has(0.8):
        y = tall * cut(0.08, 0.25)
        garment.line([(-1.0, y), (1.0, y)], cut(0.03, 0.09), tone=seam)
    if cutter.has(0.4):
        for x in (-0.5 * high, 0.5 * high):
            garment.line([(x, 0.0), (x, tall)], cut(0.04, 0.1), tone=seam)
    return garment


def add_handle(garment: Garment, cutter: Cutter, wide: float, tall: float, shift: float) -> None:
    """Add an arc above the body, through which the ground is seen."""
    turn = np.linspace(0.0, np.pi, 12)
    power = cutter.cut(0.5, 1.0)
    arc = np.stack([shift - wide * np.cos(turn), -tall * np.sin(turn) ** power], axis=1)
    ends = np.array([[shift - wide, 0.15], [shift + wide, 0.15]])
    along = np.concatenate([ends[:1], arc, ends[1:]])
    garment.line(along, cutter.cut(0.04, 0.1), tone=cutter.cut(0.6, 1.1), seam=False)
