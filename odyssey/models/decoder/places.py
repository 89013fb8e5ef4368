"""Where the tokens of a call stand: which are real, at which positions, and what each of them sees.

A decoder computes real tokens alone, one below another, (tokens, hidden_size). Only attention needs to know of
sequences: there they are rows of `length` places, each sequence beginning at place 0, so that padding, wherever it was,
comes last and causality hides it. Thus nothing is masked in a padded batch, and a token's bits are those it has alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from odyssey.errors import DTypeError, ShapeError
from odyssey.models.decoder.cache import Cache
from odyssey.models.decoder.rotary import RotaryTables
from odyssey.tensor.tape import Array

__all__ = ["Places", "Sight", "placed"]

BLOCK = 128
"""Keys that attention takes at a time: a range of keys may begin at multiples of it without changing a bit."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The keys of a cache, or of the call itself, that attention walks, and what hides some of them.

    Attributes:
        start, stop: the range of places.
        is_causal: whether the newest query sees all of it, and each before it one less.
        mask: broadcasts to (batch, heads, length, stop - start), True where the key takes part; or None.
    """

    start: int
    stop: int
    is_causal: bool
    mask: Array | None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens of a call stand.

    Attributes:
        batch, length: sequences, and the places of each in this call.
        tokens: how many are real.
        rows: of the ids (batch, width) as given, the flat numbers of the real ones; None where all are.
        spread: (batch * length,) which real token stands at each place, any for padding; None where all are real.
        gather: (tokens,) the place of each real token, the inverse; None likewise.
        cos, sin: broadcast to (batch, heads, length, pairs).
        full, windowed: what layers without and with a sliding window see.
        before: (batch,) tokens of each sequence before this call.
        counts: (batch,) real tokens of each in this call.
        cached: (sequence, place) of each real token in the cache, None for one range that all share.
    """

    batch: int
    length: int
    tokens: int
    rows: Array | None
    spread: Array | None
    gather: Array | None
    cos: Array
    sin: Array
    full: Sight
    windowed: Sight
    before: Array
    counts: Array
    cached: tuple[Array, Array] | None

    def last(self) -> Array:
        """The flat number of each sequence's last real token; that of another where there is none."""
        return np.asarray(np.maximum(np.cumsum(self.counts) - 1, 0))


def placed(
    shape: tuple[int, int],
    mask: Array | None,
    positions: Array | None,
    cache: Cache | None,
    tables: RotaryTables,
    dtype: np.dtype[np.generic],
    window: int | None,
    context: int,
) -> Places:
    """The places of ids of that shape.

    Args:
        shape: (batch, width) of the ids.
        mask: `real` says which are, (batch, width) bool; None for all.
        positions: (batch, width) or (width,), for the rotary embedding; None to count from each sequence's first token.
        cache: what came before, or None.
        tables: of the rotary embedding; of `dtype`.
        window: of the layers that have one.
        context: how many positions there are.

    Raises:
        ValueError: a position outside of the context, or more tokens than the cache has room for.
    """
    batch, width = shape
    length, rows, spread, gather = width, None, None, None
    counts = np.full(batch, width, np.int64)
    if mask is not None and not mask.all():
        counts = mask.sum(1)
        length = int(counts.max())
        rows = np.flatnonzero(mask)
        if window is not None:
            _check_gaps(mask, counts)
        first = np.cumsum(counts) - counts
        spread = np.minimum(first[:, None] + np.arange(length), max(len(rows) - 1, 0)).ravel()
        gather = np.flatnonzero(np.arange(length) < counts[:, None])
    before = np.zeros(batch, np.int64) if cache is None else cache.lengths
    _check_room(before + counts, cache)
    same = bool((before == before[0]).all())
    padded = None if rows is None else mask
    cos, sin = _turns(shape, padded, positions, before, same, spread, tables, dtype, context)
    return Places(
        batch=batch,
        length=length,
        tokens=int(counts.sum()),
        rows=rows,
        spread=spread,
        gather=gather,
        cos=cos,
        sin=sin,
        full=_sight(before, counts, same, length, None),
        windowed=_sight(before, counts, same, length, window),
        before=before,
        counts=counts,
        cached=None if cache is None or (same and rows is None) else _cached(before, counts),
    )


def _check_gaps(mask: Array, counts: Array) -> None:
    width = mask.shape[1]
    spans = np.where(counts > 0, width - mask[:, ::-1].argmax(1) - mask.argmax(1), 0)
    if (spans != counts).any():
        one = int((spans != counts).argmax())
        raise ValueError(
            f"a sliding window counts neighbours: expected padding at the ends alone, found a gap in row {one} of the "
            "attention_mask"
        )


def _check_room(after: Array, cache: Cache | None) -> None:
    if cache is not None and int(after.max()) > cache.capacity:
        one = int(after.argmax())
        raise ValueError(
            f"the cache is full: expected at most {cache.capacity} tokens a sequence, found {int(after[one])} of "
            f"sequence {one} ({int(cache.lengths[one])} in the cache)\n  remedy: new_cache with a larger capacity"
        )


def _turns(
    shape: tuple[int, int],
    mask: Array | None,
    positions: Array | None,
    before: Array,
    same: bool,
    spread: Array | None,
    tables: RotaryTables,
    dtype: np.dtype[np.generic],
    context: int,
) -> tuple[Array, Array]:
    batch, width = shape
    if positions is None and mask is None and same:  # one range for all: no table is copied
        start = int(before[0])
        _check_positions(start, start + width - 1, context)
        cos, sin = tables.until(start + width, dtype)
        return cos[start : start + width], sin[start : start + width]
    if positions is None:
        positions = np.arange(width) + before[:, None]
        if mask is not None:
            positions = positions - mask.argmax(1)[:, None]
    found = np.broadcast_to(positions, shape)
    real = found if mask is None else found[mask]
    if real.size:
        _check_positions(int(real.min()), int(real.max()), context)
    if spread is not None:
        found = real[spread].reshape(batch, -1) if real.size else np.zeros((batch, 0), np.int64)
    cos, sin = tables.until(int(found.max(initial=0)) + 1, dtype)
    return cos[found][:, np.newaxis], sin[found][:, np.newaxis]


def _check_positions(least: int, most: int, context: int) -> None:
    if least < 0 or most >= context:
        raise ValueError(
            f"the context overflows: expected positions in [0, {context}), found {least if least < 0 else most}\n"
            "  remedy: fewer tokens, or a model with a longer context"
        )


def _sight(before: Array, counts: Array, same: bool, length: int, window: int | None) -> Sight:
    """What queries see that begin at the places `before`, `length` of each sequence of which `counts` are real."""
    stop = int((before + counts).max())
    if window is not None and stop <= window:
        window = None
    if same and window is None:
        return Sight(0, stop, True, None)
    start = 0 if window is None else max(int(before.min()) - window + 1, 0) // BLOCK * BLOCK
    queries = (before[:1] if same else before)[:, np.newaxis] + np.arange(length)
    keys = np.arange(start, stop)
    behind = queries[:, np.newaxis, :, np.newaxis] - keys  # by how much a key is older
    mask = np.asarray(behind < window) if same and window is not None else behind >= 0
    if window is not None and not same:
        mask &= behind < window
    return Sight(start, stop, same, mask)


def _cached(before: Array, counts: Array) -> tuple[Array, Array]:
    sequences = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return sequences, np.arange(len(sequences)) - first[sequences] + before[sequences]


def real_tokens(mask: object, counts: object, shape: tuple[int, int]) -> Array | None:
    """Which tokens are real, from an attention mask of 0 and 1 or bool, or from how many of each row are.

    Raises:
        ShapeError, DTypeError, ValueError: neither fits the ids, or both are given.
    """
    if mask is not None and counts is not None:
        raise ValueError("expected attention_mask or counts, found both: counts say what a mask padded right would")
    if counts is not None:
        given = np.asarray(counts)
        if given.shape != shape[:1] or given.dtype.kind not in "iu":
            raise ShapeError(f"expected counts {shape[:1]} of integers, found {given.shape} {given.dtype}")
        if given.size and (given.min() < 0 or given.max() > shape[1]):
            raise ValueError(f"expected counts in [0, {shape[1]}], the width of the ids, found {given.tolist()}")
        return np.asarray(np.arange(shape[1]) < given[:, np.newaxis])
    if mask is None:
        return None
    found = np.asarray(mask)
    if found.shape != shape:
        raise ShapeError(f"expected an attention_mask {shape} as the ids, found {found.shape}")
    if found.dtype != np.bool_:
        if found.dtype.kind not in "iuf" or not np.isin(found, (0, 1)).all():
            raise DTypeError(
                f"expected an attention_mask of bool, or of 0 and 1, found {found.dtype}; 1 stands for a token"
            )
        found = found != 0
    return found
