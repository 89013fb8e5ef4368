"""Dropout by a counter-based generator.

x is float32 or float64, of any shape (else `DTypeError`); p lies in [0, 1], seed and offset in [0, 2^64) (else
`ValueError`). `out`, of x's shape and type, receives the result and is returned; it may be x.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") makes four words of 32
bits out of a counter of four words and a key of two. The key is the seed, low half first; the counter is the block's
number and then the offset, low halves first. Of every 64 elements in C order, number 16 w + l takes word w of block
16 (i // 64) + l: words of sixteen blocks side by side. An element stays where its word is at least p · 2^32, rounded to
an integer.
"""

from __future__ import annotations

import numpy as np

from odyssey.reference._arrays import deliver, real
from odyssey.typing import Array, ArrayLike

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)


def dropout(x: ArrayLike, p: float = 0.5, seed: int = 0, offset: int = 0, out: Array | None = None) -> Array:
    """Each element with probability p replaced by 0, else times 1 / (1 - p).

    >>> dropout(np.ones(8, np.float32), seed=1)
    array([2., 2., 0., 2., 0., 0., 0., 0.], dtype=float32)
    """
    x = real("x", x)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p, the part that becomes 0, must lie in [0, 1]; found {p!r}")
    for name, value in (("seed", seed), ("offset", offset)):
        if not 0 <= value < 1 << 64:
            raise ValueError(f"dropout: {name} must lie in [0, 2**64); found {value!r}")
    threshold = np.uint64(np.rint(p * 2.0**32))
    if p == 1:
        return deliver(np.zeros(x.shape), x.dtype, out)
    if threshold == 0:
        return deliver(x, x.dtype, out)
    kept = words(x.size, seed, offset).reshape(x.shape) >= min(threshold, LOW)
    # One rounding, in the type at hand: so says the definition.
    return deliver(np.where(kept, x * x.dtype.type(1 / (1 - p)), 0), x.dtype, out)


def dropout_backward(
    grad: ArrayLike, p: float = 0.5, seed: int = 0, offset: int = 0, out: Array | None = None
) -> Array:
    """The gradient of dropout: grad / (1 - p) where the element stayed, else 0.

    >>> dropout_backward(np.ones(4, np.float32), seed=1)
    array([2., 2., 0., 2.], dtype=float32)
    """
    return dropout(real("grad", grad), p, seed, offset, out)


def words(n: int, seed: int, offset: int) -> Array:
    """The random words of n elements, as uint64."""
    groups = -(-n // 64)
    block = np.arange(16 * groups, dtype=np.uint64)
    low, high = (np.full_like(block, half) for half in (offset & 0xFFFFFFFF, offset >> 32))
    counter = [block & LOW, block >> np.uint64(32), low, high]
    drawn = np.stack(philox(counter, (seed & 0xFFFFFFFF, seed >> 32)))
    return drawn.reshape(4, groups, 16).transpose(1, 0, 2).reshape(-1)[:n]


def philox(counter: list[Array], key: tuple[int, int]) -> list[Array]:
    """Philox4x32-10 of counters, four arrays of words held in uint64.

    >>> [hex(int(word)) for word in philox([np.uint64(0)] * 4, (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        high0, high1 = product0 >> np.uint64(32), product1 >> np.uint64(32)
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint64(k0), product1 & LOW, high0 ^ c3 ^ np.uint64(k1), product0 & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return [c0, c1, c2, c3]
