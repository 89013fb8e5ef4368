"""The goals of transformers: a module for each part, whose `sections` are measured in turn."""

from __future__ import annotations

from collections.abc import Iterator

from odyssey.bench.peers import PEERS, load
from odyssey.bench.tables import Request, Section, sentences, sparse, sparse_large

__all__ = ["transformers"]

PARTS = (sparse.sections, sentences.sections, sparse_large.sections)


def transformers(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    load(tuple(PEERS))
    for part in PARTS:
        yield from part(request)
