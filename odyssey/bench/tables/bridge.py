"""The goals of the bridge: a module for each way across, whose `sections` are measured in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from odyssey.bench.tables import (
    Request,
    Section,
    crossing_costs,
    crossing_direct,
    crossing_hybrid,
    crossing_jit,
    crossing_proto,
    crossing_shared,
    crossing_stream,
)

__all__ = ["bridge"]

PARTS: tuple[Callable[[Request], Iterator[Section]], ...] = (
    crossing_direct.sections,
    crossing_stream.sections,
    crossing_shared.sections,
    crossing_proto.sections,
    crossing_jit.sections,
    crossing_hybrid.sections,
    crossing_costs.sections,
)


def bridge(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    for part in PARTS:
        yield from part(request)
