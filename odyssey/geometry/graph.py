"""Undirected graphs as CSR arrays, from whatever holds them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import odyssey
from odyssey.errors import FormatError, ShapeError
from odyssey.typing import Array

__all__ = ["Graph", "graph_of", "nearest_neighbours"]


@dataclass(frozen=True)
class Graph:
    """An undirected graph: node i's neighbours are indices[indptr[i]:indptr[i + 1]], ascending, `lengths` beside them
    are those of the edges. Without loops; every edge stands at both its ends."""

    indptr: Array
    indices: Array
    lengths: Array

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.indptr) - 1

    @property
    def degrees(self) -> Array:
        """How many neighbours each node has."""
        return np.diff(self.indptr)

    @property
    def unweighted(self) -> bool:
        """Whether every edge has length 1."""
        return bool(np.all(self.lengths == 1))

    def neighbours(self, node: int) -> Array:
        """Their numbers, ascending."""
        return np.asarray(self.indices[self.indptr[node] : self.indptr[node + 1]])

    def edges(self) -> tuple[Array, Array]:
        """Every edge once, its lower end first: (edges, 2) int64, and their lengths."""
        ends = np.repeat(np.arange(self.nodes), self.degrees)
        once = ends < self.indices
        return np.stack([ends[once], self.indices[once]], axis=1), self.lengths[once]

    def distances(self, source: int, targets: Iterable[int], farthest: float) -> dict[int, float]:
        """Dijkstra's shortest paths from `source` to those of `targets` within `farthest`."""
        wanted, found = set(targets), {}
        best, queue = {source: 0.0}, [(0.0, source)]
        while queue and wanted:
            distance, node = heapq.heappop(queue)
            if distance > best[node]:
                continue
            if node in wanted:
                wanted.remove(node)
                found[node] = distance
            span = slice(self.indptr[node], self.indptr[node + 1])
            for neighbour, length in zip(self.indices[span].tolist(), self.lengths[span].tolist(), strict=True):
                reached = distance + length
                if reached <= farthest and reached < best.get(neighbour, np.inf):
                    best[neighbour] = reached
                    heapq.heappush(queue, (reached, neighbour))
        return found


def graph_of(graph: Any) -> Graph:
    """A graph from scipy.sparse, from anything else with `indptr` and `indices` (and `data`), or from a tuple of them.

    Entries are lengths of edges, all 1 where there are none. An edge may stand at one end or at both; of two different
    lengths the shorter counts.

    Raises:
        FormatError: for arrays that are not CSR's, a loop, or a length that is not positive and finite.

    >>> path = graph_of(([0, 1, 3, 4], [1, 0, 2, 1]))
    >>> path.degrees
    array([1, 2, 1])
    """
    if isinstance(graph, Graph):
        return graph
    if hasattr(graph, "tocsr"):
        graph = graph.tocsr()
    if hasattr(graph, "indptr") and hasattr(graph, "indices"):
        parts = [graph.indptr, graph.indices, getattr(graph, "data", None)]
    elif isinstance(graph, (tuple, list)) and len(graph) in (2, 3):
        parts = [*graph, *[None] * (3 - len(graph))]
    else:
        raise FormatError(
            f"expected a graph as (indptr, indices) or (indptr, indices, lengths), or a scipy.sparse matrix; "
            f"found {type(graph).__name__}"
        )
    indptr, indices = (np.asarray(part, np.int64).ravel() for part in parts[:2])
    lengths = np.ones(len(indices)) if parts[2] is None else np.asarray(parts[2], np.float64).ravel()
    nodes = len(indptr) - 1
    if nodes < 0 or indptr[0] != 0 or indptr[-1] != len(indices) or np.any(np.diff(indptr) < 0):
        raise FormatError(f"indptr must rise from 0 to the number of indices, {len(indices)}; found {indptr[:8]} ...")
    if len(lengths) != len(indices):
        raise FormatError(f"expected a length for each of {len(indices)} indices, found {len(lengths)}")
    if np.any((indices < 0) | (indices >= nodes)):
        raise FormatError(f"indices must lie in [0, {nodes}); found {indices.min()} to {indices.max()}")
    ends = np.repeat(np.arange(nodes), np.diff(indptr))
    if np.any(ends == indices):
        raise FormatError(f"expected no loops, found one at node {ends[ends == indices][0]}; remove the diagonal")
    if not np.all((lengths > 0) & np.isfinite(lengths)):
        raise FormatError("lengths of edges must be positive and finite")
    return _both_ways(ends, indices, lengths, nodes)


def _both_ways(ends: Array, others: Array, lengths: Array, nodes: int) -> Graph:
    starts, stops = np.concatenate([ends, others]), np.concatenate([others, ends])
    lengths = np.concatenate([lengths, lengths])
    order = np.lexsort((lengths, stops, starts))
    starts, stops, lengths = starts[order], stops[order], lengths[order]
    first = np.ones(len(starts), bool)
    first[1:] = (starts[1:] != starts[:-1]) | (stops[1:] != stops[:-1])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(starts[first], minlength=nodes))])
    return Graph(indptr, stops[first], lengths[first])


def nearest_neighbours(points: Array, k: int, metric: str = "euclidean", c: float = 1.0) -> Graph:
    """The graph in which each point, a row, is joined to the k nearest to it; lengths are distances.

    Of equally far points those of the lowest numbers are taken.

    Raises:
        ShapeError: for points that are not (m, n), or no more than k of them.
    """
    if np.ndim(points) != 2 or not 0 < k < len(points):
        raise ShapeError(f"expected points (m, n) and 0 < k < m; found {np.shape(points)} and k = {k}")
    distances = odyssey.pairwise_distance(points, metric=metric, c=c)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    lengths = np.take_along_axis(distances, nearest, axis=1).astype(np.float64)
    if not np.all(lengths > 0):
        raise ValueError("nearest_neighbours: two points are one; remove what stands twice (np.unique)")
    return _both_ways(np.repeat(np.arange(len(points)), k), nearest.ravel(), lengths.ravel(), len(points))
