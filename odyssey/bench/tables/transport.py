"""The goals of transport, hyper-connections and geometry: a module for each, whose `sections` are measured in turn."""

from __future__ import annotations

from collections.abc import Iterator

from odyssey.bench.peers import PEERS, load
from odyssey.bench.tables import Request, Section, geometry, hyper, sinkhorn

__all__ = ["transport"]

PARTS = (sinkhorn.sections, hyper.sections, geometry.sections)


def transport(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    load(tuple(PEERS))
    for part in PARTS:
        yield from part(request)
