"""Garments with sleeves: t-shirt, pullover, coat, shirt, dress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2o.envs.simulators.garments.outline import Cutter, Garment


@dataclass(frozen=True)
class Body:
    """Measures of the part without sleeves; its length is 2, all widths are halves.

    Attributes:
        neck: width of the neckline at the shoulders.
        depth: of the neckline.
        shoulder: where a sleeve begins.
        drop: how much lower that is than the neck.
        chest: below the arms.
        arm: height of an armhole.
        waist: in the middle.
        hem: at the bottom.
        sag: how much lower the hem is in the middle.
    """

    neck: float
    depth: float
    shoulder: float
    drop: float
    chest: float
    arm: float
    waist: float
    hem: float
    sag: float = 0.0

    def add_to(self, garment: Garment, pointed: bool = False) -> None:
        """Add the body; a neckline is round, or comes to a point."""
        neckline = [(0.0, self.depth)]
        if not pointed:
            neckline += [(0.55 * self.neck, 0.85 * self.depth), (0.9 * self.neck, 0.4 * self.depth)]
        side = [
            (self.neck, 0.0),
            (self.shoulder, self.drop),
            (self.chest, self.drop + self.arm),
            (0.5 * (self.chest + self.waist), 0.8),
            (self.waist, 1.1),
            (self.hem, 1.95),
            (self.hem, 2.0),
            (0.5 * self.hem, 2.0 + 0.8 * self.sag),
            (0.0, 2.0 + self.sag),
        ]
        garment.whole(neckline + side, rounds=1)


@dataclass(frozen=True)
class Sleeve:
    """Measures of a sleeve.

    Attributes:
        length: from the shoulder.
        angle: to the body, in radians; 0 hangs straight down.
        cuff: width at its end.
        bend: how far the elbow is out.
        tone: factor on the cloth's brightness.
        shadow: factor where it touches the body.
    """

    length: float
    angle: float
    cuff: float
    bend: float = 0.0
    tone: float = 1.0
    shadow: float = 1.0

    def add_to(self, garment: Garment, body: Body, seam: float) -> None:
        """Add both sleeves, and the seams where they begin."""
        along = np.array([np.sin(self.angle), np.cos(self.angle)])
        out = np.array([np.cos(self.angle), -np.sin(self.angle)])
        shoulder = np.array([body.shoulder, body.drop])
        armpit = np.array([body.chest, body.drop + body.arm])
        end = shoulder + self.length * along
        elbow = shoulder + 0.5 * self.length * along + self.bend * out
        inner = end - self.cuff * out
        wide = 0.5 * (self.cuff + float(np.dot(shoulder - armpit, out)))
        corners = [shoulder, elbow, end, inner, elbow - max(wide, self.cuff) * out, armpit]
        inside = np.array([0.1, 0.0])
        outline = np.stack([shoulder - inside, *corners, armpit - inside])
        garment.pair(outline, rounds=1, tone=self.tone)
        for side in ((1.0, 1.0), (-1.0, 1.0)):
            garment.line(np.stack([shoulder, armpit]) * side, 0.03, tone=seam)
            cuff = np.stack([end, inner]) - 0.1 * along
            garment.line(cuff * side, 0.03, tone=seam)
            garment.line(np.stack([armpit, corners[4], inner]) * side, 0.035, tone=self.shadow)


def draw_tshirt(cutter: Cutter, seam: float) -> Garment:
    """Short sleeves that stand off, or none; a round or pointed neck; perhaps a print."""
    garment, cut = Garment(), cutter.cut
    sleeveless = cutter.pick(0.86, 0.14) == 1
    body = Body(
        neck=cut(0.16, 0.34),
        depth=cut(0.1, 0.55) if sleeveless else cut(0.06, 0.34),
        shoulder=cut(0.36, 0.5) if sleeveless else cut(0.5, 0.66),
        drop=cut(0.04, 0.2),
        chest=cut(0.54, 0.7),
        arm=cut(0.4, 0.6),
        waist=cut(0.5, 0.68),
        hem=cut(0.52, 0.74),
        sag=cut(-0.05, 0.12),
    )
    body.add_to(garment, pointed=cutter.pick(0.7, 0.3) == 1)
    if not sleeveless:
        sleeve = Sleeve(cut(0.45, 0.75), cut(0.3, 0.8), cut(0.26, 0.42), tone=tone(cutter))
        sleeve.add_to(garment, body, seam)
    if cutter.has(0.5):
        add_neckband(garment, body, seam)
    if cutter.has(0.5):
        add_print(garment, cutter, 0.75)
    return garment


def draw_pullover(cutter: Cutter, seam: float) -> Garment:
    """Long sleeves that hang, a small round neck, ribbed ends."""
    garment, cut = Garment(), cutter.cut
    body = Body(
        neck=cut(0.16, 0.34),
        depth=cut(0.04, 0.22),
        shoulder=cut(0.46, 0.6),
        drop=cut(0.08, 0.22),
        chest=(chest := cut(0.42, 0.58)),
        arm=cut(0.36, 0.6),
        waist=chest + cut(-0.08, 0.04),
        hem=chest + cut(-0.12, 0.06),
        sag=cut(-0.04, 0.08),
    )
    body.add_to(garment)
    add_long_sleeves(garment, cutter, body, seam)
    add_neckband(garment, body, seam)
    if cutter.has(0.8):
        garment.line([(-1, 1.86), (1, 1.86)], 0.03, tone=seam)
    if cutter.has(0.4):
        add_print(garment, cutter, 0.6)
    return garment


def draw_coat(cutter: Cutter, seam: float) -> Garment:
    """Long sleeves, an opening from neck to hem, an open or a standing collar, pockets."""
    garment, cut = Garment(), cutter.cut
    body = Body(
        neck=cut(0.14, 0.26),
        depth=cut(0.0, 0.12),
        shoulder=cut(0.44, 0.58),
        drop=cut(0.12, 0.26),
        chest=(chest := cut(0.42, 0.58)),
        arm=cut(0.36, 0.6),
        waist=chest + cut(-0.08, 0.04),
        hem=chest + cut(-0.08, 0.12),
        sag=cut(-0.04, 0.06),
    )
    body.add_to(garment)
    add_long_sleeves(garment, cutter, body, seam)
    if cutter.has(0.35):
        for y in np.arange(0.3, 2.0, cut(0.14, 0.26)):
            garment.line([(-1.0, y), (1.0, y)], 0.035, tone=seam)
    opening, depth = cut(-0.08, 0.08), cut(0.2, 0.9)
    if cutter.pick(0.55, 0.45) == 0:
        garment.add([(-body.neck, 0.0), (body.neck, 0.0), (opening, depth)], tone=cut(0.15, 0.6))
        for side in (-1.0, 1.0):
            lapel = [(side * body.neck, 0.0), (side * (body.neck + 0.12), 0.3), (opening, depth)]
            garment.line(lapel, 0.04, tone=seam)
    else:
        high = cut(0.05, 0.2)
        collar = [(0.0, -high), (body.neck, -high), (body.neck + 0.08, 0.06), (0.0, 0.16)]
        garment.whole(collar, tone=cut(0.75, 1.1))
        garment.line([(-body.neck, 0.08), (0, 0.16), (body.neck, 0.08)], 0.03, tone=seam)
    garment.line([(opening, depth * 0.6), (opening, 2.2)], cut(0.03, 0.08), tone=seam)
    if cutter.has(0.7):
        add_buttons(garment, cutter, opening + 0.09, 0.5, seam)
    if cutter.has(0.7):
        low = cut(1.15, 1.45)
        for side in (-1.0, 1.0):
            garment.line(
                [(0.18 * side, low), (0.42 * side, low + cut(-0.15, 0.05))], 0.04, tone=seam
            )
    return garment


def draw_shirt(cutter: Cutter, seam: float) -> Garment:
    """Sleeves of any length, a collar in two points, a row of buttons."""
    garment, cut = Garment(), cutter.cut
    length = cutter.pick(0.6, 0.25, 0.15)
    loose = length == 2
    body = Body(
        neck=cut(0.12, 0.3),
        depth=cut(0.1, 0.45),
        shoulder=cut(0.46, 0.6),
        drop=cut(0.08, 0.24),
        chest=(chest := cut(0.42, 0.6)),
        arm=cut(0.36, 0.6),
        waist=chest + cut(-0.08, 0.06),
        hem=chest + (cut(0.0, 0.35) if loose else cut(-0.06, 0.1)),
        sag=cut(-0.05, 0.2),
    )
    body.add_to(garment, pointed=True)
    if length == 0:
        add_long_sleeves(garment, cutter, body, seam)
    else:
        reach = cut(0.7, 1.2) if loose else cut(0.45, 0.75)
        sleeve = Sleeve(reach, cut(0.25, 0.6), cut(0.26, 0.42), tone=tone(cutter))
        sleeve.add_to(garment, body, seam)
    if cutter.has(0.9):
        for side in (-1.0, 1.0):
            tip = (side * cut(0.14, 0.3), cut(0.2, 0.4))
            wing = [(side * body.neck, -0.06), tip, (0.0, body.depth)]
            garment.add(wing, tone=cut(0.85, 1.15))
            garment.line(wing, 0.03, tone=seam)
    if cutter.has(0.9):
        garment.line([(0.0, body.depth), (0.0, 2.2)], 0.03, tone=seam)
        add_buttons(garment, cutter, 0.05, body.depth + 0.1, seam)
    if cutter.has(0.3):
        pocket = [(0.16, 0.6), (0.38, 0.6), (0.38, 0.85), (0.16, 0.85), (0.16, 0.6)]
        garment.line(pocket, 0.025, tone=seam)
    return garment


def draw_dress(cutter: Cutter, seam: float) -> Garment:
    """Narrow and long; flared or straight, with or without sleeves."""
    garment, cut = Garment(), cutter.cut
    kind = cutter.pick(0.45, 0.3, 0.25)
    chest = cut(0.24, 0.38)
    flare = cut(0.7, 1.2) if cutter.pick(0.7, 0.3) == 0 else cut(1.3, 2.4)
    body = Body(
        neck=cut(0.1, 0.2),
        depth=cut(0.1, 0.36),
        shoulder=cut(0.18, 0.26) if kind == 0 else cut(0.24, 0.36),
        drop=cut(0.03, 0.1),
        chest=chest,
        arm=cut(0.26, 0.4),
        waist=chest * cut(0.75, 1.1),
        hem=chest * flare,
        sag=cut(0.0, 0.08),
    )
    body.add_to(garment, pointed=cutter.pick(0.6, 0.4) == 1)
    if kind == 1:
        Sleeve(cut(0.25, 0.5), cut(0.2, 0.7), cut(0.14, 0.24)).add_to(garment, body, seam)
    elif kind == 2:
        sleeve = Sleeve(cut(0.8, 1.2), cut(0.05, 0.2), cut(0.09, 0.16), cut(0.0, 0.05))
        sleeve.add_to(garment, body, seam)
    if cutter.has(0.6):
        waist = cut(0.75, 1.0)
        garment.line([(-1.0, waist), (1.0, waist)], cut(0.02, 0.08), tone=seam)
    if cutter.has(0.4):
        for x in (-0.5, 0.0, 0.5):
            garment.line([(0.6 * x * chest, 1.1), (x * body.hem, 2.1)], 0.025, tone=seam)
    return garment


def add_long_sleeves(garment: Garment, cutter: Cutter, body: Body, seam: float) -> None:
    """Add sleeves that hang beside the body."""
    cut = cutter.cut
    angle, cuff, bend = cut(0.04, 0.22), cut(0.12, 0.2), cut(0.02, 0.1)
    Sleeve(cut(1.4, 1.85), angle, cuff, bend, tone(cutter), cut(0.2, 0.9)).add_to(
        garment, body, seam
    )


def add_neckband(garment: Garment, body: Body, seam: float) -> None:
    """Add a seam along the neckline."""
    low = body.depth + 0.08
    wide = body.neck + 0.06
    line = [
        (-wide, 0.02),
        (-0.6 * wide, 0.8 * low),
        (0.0, low),
        (0.6 * wide, 0.8 * low),
        (wide, 0.02),
    ]
    garment.line(line, 0.04, rounds=2, tone=seam)


def add_print(garment: Garment, cutter: Cutter, height: float) -> None:
    """Add blocks like a line or two of letters, or a picture, on the chest."""
    cut = cutter.cut
    bright = cut(0.1, 1.0)
    wide, step = cut(0.2, 0.4), cut(0.08, 0.16)
    for row in range(cutter.pick(0.5, 0.3, 0.2) + 1):
        y = height + row * 0.2
        for x in np.arange(-wide, wide, step):
            tall = cut(0.04, 0.2)
            box = [(x, y), (x + 0.75 * step, y), (x + 0.75 * step, y + tall), (x, y + tall)]
            garment.add(box, tone=bright, cloth=False)


def add_buttons(garment: Garment, cutter: Cutter, x: float, top: float, seam: float) -> None:
    """Add a row of buttons down to the hem."""
    for y in np.linspace(top, 1.8, cutter.generator.integers(0, 1 + cutter.buttons)):
        garment.line([(x, y - 0.02), (x, y + 0.02)], 0.06, tone=2.0 - seam)


def tone(cutter: Cutter) -> float:
    """Draw how bright sleeves are, relative to the body: mostly alike."""
    return cutter.cut(0.6, 1.4) if cutter.has(0.15) else cutter.cut(0.93, 1.05)
