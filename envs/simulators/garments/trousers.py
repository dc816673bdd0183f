"""Trousers, long and short."""

from __future__ import annotations

from l2o.envs.simulators.garments.outline import Cutter, Garment


def draw_trousers(cutter: Cutter, seam: float) -> Garment:
    """Two legs below a waistband; one in twelve pairs is short and wide."""
    garment, cut = Garment(), cutter.cut
    short = cutter.pick(0.92, 0.08) == 1
    wide = 2.0 if short else 1.0
    waist, hip = cut(0.2, 0.3) * wide, cut(0.28, 0.38) * wide
    outer = cut(0.26, 0.42) * wide
    ankle = cut(0.5, 0.75) * wide * 0.42 if short else cut(0.11, 0.2)
    crotch, gap = cut(0.5, 0.75), cut(0.01, 0.07)
    knee = 0.5 * (hip + outer)
    leg = [
        (0.0, 0.0),
        (waist, 0.0),
        (hip, 0.45),
        (knee, 1.2),
        (outer, 2.0),
        (max(outer - 1.6 * ankle, gap), 2.0),
        (max(knee - 1.7 * ankle, 0.6 * gap), 1.2),
        (0.0, crotch),
    ]
    tones = (1.0, cut(0.88, 1.05))
    for side, tone in zip((1.0, -1.0), tones, strict=True):
        garment.add([(side * x, y) for x, y in leg], rounds=1, tone=tone)
    # Rounding has taken the corners of the legs apart: the seat joins them.
    garment.whole([(0.0, 0.0), (0.9 * waist, 0.0), (0.85 * hip, 0.4), (0.0, crotch)])
    garment.line([(-1.0, 0.12), (1.0, 0.12)], 0.03, tone=seam)
    garment.line([(0.0, 0.1), (0.0, crotch)], 0.03, tone=seam)
    if cutter.has(0.7):
        for side in (-1.0, 1.0):
            pocket = [(side * waist * 0.4, 0.14), (side * hip, 0.36)]
            garment.line(pocket, 0.03, tone=seam)
    if cutter.has(0.4):
        for side in (-1.0, 1.0):
            crease = [(side * hip * 0.55, 0.5), (side * (outer - 0.7 * ankle), 2.0)]
            garment.line(crease, cut(0.02, 0.08), tone=2.0 - seam)
    return garment
