"""What may be given as a prompt, looked through once and aligned at its first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.errors import DTypeError, ShapeError
from odyssey.typing import Array

__all__ = ["Prompts", "check_ids", "prompts_of"]


@dataclass(frozen=True)
class Prompts:
    """Prompts side by side.

    Attributes:
        ids: (batch, longest) int64, each sequence from its first token on, zeros behind its last.
        lengths: (batch,) int64, at least 1 each.
        alone: whether one prompt was given, and not a list of one.
    """

    ids: Array
    lengths: Array
    alone: bool


def check_ids(ids: Any, vocabulary: int, name: str) -> Array:
    """Token numbers as int64.

    Raises:
        DTypeError: they are not integers.
        ValueError: one is not in [0, vocabulary).
    """
    array = np.asarray(ids)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: expected token numbers, integers, found {array.dtype}; encode text with the tokenizer"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= vocabulary:
        found = low if low < 0 else high
        raise ValueError(
            f"{name}: expected token numbers from 0 to {vocabulary - 1}, found {found}; "
            "use the tokenizer that belongs to the model"
        )
    return array.astype(np.int64, copy=False)


def prompts_of(given: Any, vocabulary: int) -> Prompts:
    """One sequence of token numbers, or several of any lengths.

    Args:
        given: (length,) integers, (batch, length), or a list of sequences.
        vocabulary: how many tokens there are.

    Raises:
        DTypeError: for anything but integers, ShapeError: for more than two axes.
        ValueError: there is no prompt, one is empty, or a number is not a token's.
    """
    if isinstance(given, str) or (isinstance(given, list | tuple) and any(isinstance(one, str) for one in given)):
        raise DTypeError(
            "generate: expected token numbers, found text; encode it with the tokenizer, "
            "or call odyssey.models.generate_text(model, tokenizer, text)"
        )
    rows, alone = _rows(given)
    if not rows:
        raise ValueError("generate: expected at least one prompt, found none")
    checked = []
    for place, row in enumerate(rows):
        array = check_ids(row, vocabulary, "generate")
        where = "" if alone else f" (number {place})"
        if array.ndim != 1:
            raise ShapeError(f"generate: expected each prompt as a list of tokens, found {array.ndim} axes{where}")
        if array.size == 0:
            raise ValueError(
                f"generate: expected at least one token in a prompt, found an empty one{where}; "
                "begin with the tokenizer's beginning-of-sequence token"
            )
        checked.append(array)
    lengths = np.array([len(row) for row in checked], np.int64)
    ids = np.zeros((len(checked), int(lengths.max())), np.int64)
    for line, row in zip(ids, checked, strict=True):
        line[: len(row)] = row
    return Prompts(ids, lengths, alone)


def _rows(given: Any) -> tuple[Sequence[Any], bool]:
    """The prompts one by one, and whether it was one alone."""
    if isinstance(given, list | tuple):
        if not given:
            return [], True
        if np.ndim(given[0]) == 0 and all(np.ndim(one) == 0 for one in given):
            return [given], True
        return given, False
    array = np.asarray(given)
    if array.ndim == 1:
        return [array], True
    if array.ndim != 2:
        raise ShapeError(f"generate: expected prompts (length,) or (batch, length), found {array.ndim} axes")
    return list(array), False
