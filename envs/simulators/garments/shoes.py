"""Shoes, from the side, toes to the left: sandal, sneaker, ankle boot."""

from __future__ import annotations

import numpy as np

from l2o.envs.simulators.garments.outline import Cutter, Garment, Points


def draw_sneaker(cutter: Cutter, seam: float) -> Garment:
    """A low shoe with a thick sole, laces and stripes."""
    garment, cut = Garment(), cutter.cut
    sole, heel, tongue = cut(0.1, 0.22), cut(0.6, 0.88), cut(0.75, 1.05)
    dip, toe = cut(0.45, 0.64), cut(0.2, 0.36)
    lace = cut(0.05, 0.25)
    upper = [
        (-1.0, -0.6 * sole),
        (-1.0, -sole - 0.6 * toe),
        (-0.85, -sole - toe),
        (-0.5, -sole - toe - 0.06),
        (lace - 0.15, -tongue + 0.14),
        (lace, -tongue - 0.04),
        (lace + 0.16, -tongue - 0.02),
        (lace + 0.26, -dip - 0.1),
        (0.62, -dip),
        (0.84, -heel - 0.02),
        (0.98, -heel),
        (0.96, -0.35),
        (1.0, -0.6 * sole),
    ]
    garment.add(upper, rounds=1)
    inner = [(lace + 0.12, -tongue + 0.04), (0.6, -dip - 0.02), (0.86, -heel + 0.02)]
    garment.line(inner, 0.07, rounds=1, tone=cut(0.3, 0.8))
    nose = [(-1.0, -sole), (-1.0, -sole - 0.6 * toe), (-0.8, -sole - toe), (-0.55, -sole)]
    garment.add(nose, rounds=1, tone=cut(0.7, 1.2))
    garment.add([(0.7, -sole), (0.8, -heel), (0.97, -heel), (0.98, -sole)], 1, tone=cut(0.6, 1.3))
    add_sole(garment, cutter, sole)
    for k in range(cutter.generator.integers(2, 6)):
        share = 0.2 + 0.16 * k
        x, y = -0.45 + share * (lace + 0.35), -toe - 0.12 - share * (tongue - toe - 0.1)
        garment.line([(x, y), (x + 0.14, y + 0.16)], 0.04, tone=2.0 - seam)
    for _ in range(cutter.generator.integers(0, 4) if cutter.has() else 0):
        x = cut(-0.2, 0.6)
        stripe = [(x, -sole), (x + cut(-0.25, 0.25), -dip)]
        garment.line(stripe, cut(0.03, 0.1), tone=cut(0.2, 1.6))
    return garment


def draw_boot(cutter: Cutter, seam: float) -> Garment:
    """A shaft above the ankle, a heel of any height."""
    garment, cut = Garment(), cutter.cut
    heel = (cut(0.08, 0.25), cut(0.3, 0.75))[cutter.pick(0.5, 0.5)]
    shaft, front, back = cut(1.05, 1.8), cut(-0.1, 0.25), cut(0.78, 1.0)
    toe, lift = cut(0.2, 0.4), 0.75 * heel
    upper = [
        (-1.0, -0.05),
        (-0.95, -toe),
        (-0.6, -toe - 0.15 - 0.2 * lift),
        (-0.25, -toe - 0.3 - 0.5 * lift),
        (front - 0.02, -0.75 - 0.4 * lift),
        (front, -shaft),
        (back, -shaft + cut(-0.08, 0.12)),
        (back - 0.06, -0.8),
        (0.96, -0.45 - 0.4 * heel),
        (0.93, -heel),
        (0.4, -0.8 * heel),
        (-0.2, -0.12 * heel - 0.03),
        (-0.6, 0.0),
    ]
    garment.add(upper, rounds=1)
    add_heel(garment, cutter, heel, cut(0.4, 0.7))
    dark = cut(0.4, 1.3)
    foot = [
        (-1.0, -0.04),
        (-0.55, 0.0),
        (-0.2, -0.1 * heel - 0.02),
        (0.4, -0.8 * heel),
        (0.93, -heel),
    ]
    garment.line(foot, cut(0.06, 0.14), rounds=1, tone=dark)
    if cutter.has(0.5):
        garment.line([(front + 0.35, -shaft), (front + 0.45, -0.3 - heel)], 0.04, tone=seam)
    if cutter.has(0.35):
        for y in np.linspace(-toe - 0.4 - 0.5 * lift, -shaft + 0.1, 5):
            garment.line([(front - 0.05, y), (front + 0.25, y + 0.06)], 0.05, tone=2.0 - seam)
    if cutter.has(0.35):
        y = -cut(0.6, 0.9) - 0.4 * heel
        garment.line([(-0.3, y + 0.2), (1.0, y)], cut(0.04, 0.12), tone=seam)
    return garment


def draw_sandal(cutter: Cutter, seam: float) -> Garment:
    """A sole, flat or raised, and straps with the ground seen between them."""
    garment, cut = Garment(), cutter.cut
    kind = cutter.pick(0.5, 0.2, 0.3)
    heel = (cut(0.02, 0.12), cut(0.25, 0.6), cut(0.4, 1.0))[kind]
    thick, ball = cut(0.06, 0.16), cut(-0.5, -0.25)
    foot = np.array(
        [(-1.0, -0.04), (ball, 0.0), (0.1, -0.5 * heel), (0.5, -0.92 * heel), (0.98, -heel)]
    )
    tone = cut(0.2, 0.95)
    slab = np.concatenate([foot, (foot - (0.0, thick))[::-1]])
    if kind == 1:
        garment.add([*foot, (0.95, 0.0), (ball, 0.05)], tone=cut(0.3, 0.9), cloth=False)
    garment.add(slab, rounds=1, tone=tone, cloth=False)
    if kind == 2:
        add_heel(garment, cutter, heel, cut(0.6, 0.8))
    add_straps(garment, cutter, foot - (0.0, 0.5 * thick), heel)
    return garment


def add_straps(garment: Garment, cutter: Cutter, foot: Points, heel: float) -> None:
    """Add straps over the toes, over the instep and around the ankle."""
    cut, integers = cutter.cut, cutter.generator.integers
    width = cut(0.06, 0.2)
    for _ in range(1 + integers(0, 3)):
        left = cut(-0.9, -0.4)
        right = left + cut(0.3, 0.7)
        ends = [(x, float(np.interp(x, foot[:, 0], foot[:, 1]))) for x in (left, right)]
        high = -cut(0.3, 0.55) - 0.3 * heel
        middle = (0.5 * (left + right) + cut(-0.15, 0.2), high)
        garment.line([ends[0], middle, ends[1]], width, rounds=2, seam=False)
    if cutter.pick(0.65, 0.35) == 0:
        y = -heel - cut(0.35, 0.7)
        front = cut(0.2, 0.4)
        garment.line([(0.92, -heel), (0.95, y)], width, seam=False)
        garment.line([(0.95, y), (0.6, y - 0.05), (front, y + 0.05)], width, rounds=1, seam=False)
        knot = (cut(-0.5, 0.0), -0.5 * heel - cut(0.2, 0.35))
        if cutter.pick(0.6, 0.4) == 0:
            garment.line([(front, y + 0.05), knot], width, seam=False)
        if cutter.pick(0.5, 0.5) == 0:
            garment.line([(front, y + 0.05), (0.45, -0.85 * heel)], width, seam=False)


def add_sole(garment: Garment, cutter: Cutter, thick: float) -> None:
    """Add a flat sole, of a tone of its own."""
    sole = [(-1.0, -thick), (1.0, -thick), (1.02, -0.3 * thick), (0.95, 0.0)]
    sole += [(-0.85, 0.0), (-1.0, -0.4 * thick)]
    garment.add(sole, rounds=1, tone=cutter.cut(0.1, 1.0), cloth=False)


def add_heel(garment: Garment, cutter: Cutter, heel: float, start: float) -> None:
    """Add a heel: a block, or thinner towards the ground."""
    end = start + (0.95 - start) * cutter.cut(0.0, 0.6)
    block = [(start, -0.9 * heel), (0.95, -heel - 0.03), (0.93, 0.0), (min(end, 0.8), 0.0)]
    garment.add(block, tone=cutter.cut(0.5, 1.1))
