"""Whole powers by multiplication: the C library's pow may differ in its last bit from one machine to the next."""

from __future__ import annotations

__all__ = ["power"]


def power(base: float, exponent: int) -> float:
    """base ** exponent by squaring, the same bits everywhere; exponent from 0 on."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
