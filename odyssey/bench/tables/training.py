"""The goals of tensors and training: a module for each part, whose `sections` are measured in turn."""

from __future__ import annotations

from collections.abc import Iterator

from odyssey.bench.peers import PEERS, load
from odyssey.bench.tables import Request, Section, optimizers, resnet

__all__ = ["training"]

PARTS = (resnet.sections, optimizers.sections)


def training(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    load(tuple(PEERS))
    for part in PARTS:
        yield from part(request)
