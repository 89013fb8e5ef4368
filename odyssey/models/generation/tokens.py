"""Tokens one after another: a prompt through the model once, then a token at a time over its cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from odyssey.models.generation.prompts import Prompts, check_ids, prompts_of
from odyssey.models.generation.sampling import Sampling
from odyssey.tensor.tape import no_grad
from odyssey.typing import Array

__all__ = ["Generates", "generate"]

CHUNK = 512  # tokens of a prompt that go through the model at once: what is between the layers stays in the cache
ENDED = -1
DEFAULT_COUNT = 128


class Generates(Protocol):
    """What a model has to have: its cache, and the logits behind what is appended to it."""

    config: Any  # vocab_size, context, stop_tokens

    def new_cache(self, batch: int, capacity: int) -> Any:
        """Room for `capacity` tokens of each of `batch` sequences."""

    def __call__(self, ids: Array, *, cache: Any, counts: Array | None, logits: str) -> Any:
        """Append the first counts[b] tokens of row b, and give the logits behind the last of them."""


def generate(
    model: Generates,
    prompts: Any,
    max_new_tokens: int | None = None,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | Sequence[int] | None = None,
    stop: int | Iterable[int] | None = None,
) -> Iterator[Any]:
    """The tokens that follow prompts, as they are found.

    Args:
        model: a decoder.
        prompts: token numbers: (length,), (batch, length), or a list of sequences of any lengths.
        max_new_tokens: after how many to end, at least 1; unless given 128, or what the context has room for.
        temperature, top_k, top_p: as in `Sampling`; with none of them the likeliest token follows.
        seed: a number for all, from which each prompt gets its own, or one for each; None draws anew in each run.
        stop: tokens that end a sequence, beside those of the model's configuration.

    Returns:
        An iterator. For one prompt it gives numbers, up to the one before a token that stops it. For several it gives
        int64 (batch,), with -1 for sequences that have ended, until all have.

    Nothing is computed before the first is asked for, but what is wrong with the arguments is said at once. A
    sequence's tokens are the same alone and in any batch: sequences are aligned at their first token, each has places
    of its own in the cache, and a row's bits do not depend on the other rows.

    Raises:
        ValueError: a prompt is empty, a token is not in the vocabulary, prompt and new tokens do not fit into the
            model's context, max_new_tokens is below 1, or a setting of `Sampling` is wrong.
        DTypeError, ShapeError: prompts are not token numbers in one or two axes.
        MemoryError: there is no room for the cache.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.models.MoETransformer.tiny(generator=np.random.default_rng(0))
        >>> tokens = list(od.models.generate(model, [1, 2, 3], max_new_tokens=4))
        >>> len(tokens)
        4
    """
    config = model.config
    batch = prompts_of(prompts, config.vocab_size)
    sampling = Sampling(temperature, top_k, top_p)
    count = _count(max_new_tokens, int(batch.lengths.max()), config.context)
    stops = _stops(stop, config)
    streams = Sampling.streams(len(batch.lengths), seed)
    return _tokens(model, batch, count, sampling, streams, stops)


def _count(wanted: int | None, longest: int, context: int) -> int:
    """How many tokens to find behind prompts of up to `longest`."""
    room = context - longest + 1  # the last one found is given out and never goes in
    if longest > context:
        raise ValueError(
            f"generate: expected a prompt within the context of {context} tokens, found {longest}; "
            "cut its beginning off"
        )
    if wanted is None:
        return min(DEFAULT_COUNT, room)
    if wanted < 1:
        raise ValueError(f"generate: expected max_new_tokens of 1 or more, found {wanted}")
    if wanted > room:
        raise ValueError(
            f"generate: expected prompt and new tokens to fit into the context of {context} tokens, found {longest} "
            f"and {wanted}; ask for at most {room} new ones"
        )
    return wanted


def _stops(stop: int | Iterable[int] | None, config: Any) -> Array:
    given = [] if stop is None else [stop] if isinstance(stop, int | np.integer) else list(stop)
    return np.array([*config.stop_tokens, *check_ids(given, config.vocab_size, "generate: stop")], np.int64)


def _tokens(
    model: Generates, batch: Prompts, count: int, sampling: Sampling, streams: list[np.random.Generator], stops: Array
) -> Iterator[Any]:
    with no_grad():
        cache = model.new_cache(len(batch.lengths), int(batch.lengths.max()) + count - 1)
        logits = _prefill(model, batch, cache)
    running = np.ones(len(batch.lengths), np.int64)
    for left in range(count - 1, -1, -1):
        tokens = sampling.draw(logits, streams)
        running[np.isin(tokens, stops)] = 0
        if not running.any():
            return
        tokens = np.where(running, tokens, ENDED)
        yield int(tokens[0]) if batch.alone else tokens
        if left:
            # The tape's switch is the thread's: it is never off while the caller runs.
            with no_grad():
                logits = _step(model, np.maximum(tokens, 0)[:, None], cache, running)


def _prefill(model: Generates, batch: Prompts, cache: Any) -> Array:
    """The logits behind each prompt's last token, (batch, vocabulary); the cache then holds the prompts."""
    last: Array | None = None
    for start in range(0, batch.ids.shape[1], CHUNK):
        ids = batch.ids[:, start : start + CHUNK]
        counts = np.clip(batch.lengths - start, 0, ids.shape[1])
        logits = _step(model, ids, cache, counts)
        if last is None:
            last = logits
        else:
            last[counts > 0] = logits[counts > 0]
    assert last is not None
    return last


def _step(model: Generates, ids: Array, cache: Any, counts: Array) -> Array:
    """The logits behind the last token of each row that has one."""
    whole = bool((counts == ids.shape[1]).all())
    logits = model(ids, cache=cache, counts=None if whole else counts, logits="last")
    return np.asarray(logits.data[:, -1])
