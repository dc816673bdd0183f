"""How factors on the base learning rate, and times, are written."""

from __future__ import annotations

from fractions import Fraction


def show_factor(factor: float) -> str:
    """Return a factor as people write it: unit fractions below 1.

    Example:
        >>> show_factor(1 / 30), show_factor(3.0), show_factor(0.7)
        ('1/30', '3', '0.7')
    """
    ratio = Fraction(factor).limit_denominator(1000)
    if factor < 1 and ratio.numerator == 1 and abs(float(ratio) / factor - 1) < 0.005:
        return f"1/{ratio.denominator}"
    return f"{factor:g}"


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    Example:
        >>> duration(42), duration(600), duration(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
