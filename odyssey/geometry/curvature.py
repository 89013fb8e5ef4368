"""Ricci curvature of the edges of a graph, after Ollivier and after Forman."""

from __future__ import annotations

from typing import Any

import numpy as np

import odyssey
from odyssey.geometry.graph import Graph, graph_of, nearest_neighbours
from odyssey.typing import Array

__all__ = ["forman_ricci", "ollivier_ricci"]


def ollivier_ricci(
    graph: Any,
    k: int | None = None,
    alpha: float = 0.5,
    method: str = "exact",
    reg: float = 0.05,
    metric: str = "euclidean",
    c: float = 1.0,
) -> tuple[Array, Array]:
    """1 - W(x, y) / d(x, y) of every edge: how much nearer than their nodes two neighbourhoods are.

    W is the cost of moving what stands around x to around y: `alpha` of a unit on the node, the rest shared equally by
    its neighbours (Ollivier, Ricci curvature of Markov chains on metric spaces, 2009); d the shortest path.

    Args:
        graph: (indptr, indices), (indptr, indices, lengths), a scipy.sparse matrix of lengths; or with k points (m, n),
            float32 or float64, each joined to its k nearest.
        k: how many.
        alpha: in [0, 1].
        method: "exact", which takes scipy, or "sinkhorn", entropic transport by `odyssey.sinkhorn`.
        reg: for "sinkhorn", the entropy's weight as a part of d: the cost is too large by what it smears.
        metric, c: of points. See `pairwise_distance`.

    Returns:
        The edges, (e, 2) int64, lower ends first and ascending, and their curvatures, (e,) float64.

    Raises:
        ValueError: for an alpha outside [0, 1] or an unknown method.
        ModuleNotFoundError: without scipy for "exact".
        FormatError, ShapeError: for what is no graph, or no points.

    >>> edges, curvature = od.ollivier_ricci(([0, 2, 4, 6], [1, 2, 0, 2, 0, 1]))  # a triangle
    >>> curvature
    array([0.75, 0.75, 0.75])
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"ollivier_ricci: alpha must lie in [0, 1], found {alpha!r}")
    transport = _transport(method)
    net = graph_of(graph) if k is None else nearest_neighbours(graph, k, metric, c)
    edges, lengths = net.edges()
    curvatures = np.empty(len(edges))
    for number, ((x, y), length) in enumerate(zip(edges.tolist(), lengths.tolist(), strict=True)):
        here, there, cost = _neighbourhoods(net, x, y, length, alpha)
        d = net.distances(x, (y,), length)[y]
        curvatures[number] = 1 - (transport(here, there, cost / d, reg) if len(here) and len(there) else 0.0)
    return edges, curvatures


def forman_ricci(graph: Any, augmented: bool = False) -> tuple[Array, Array]:
    """Forman's curvature of every edge: 4 - deg(x) - deg(y) where all lengths are 1.

    With lengths w it is 2 - w (sum of 1 / sqrt(w w')) over the edges w' that share a node with it (Sreejith, Mohanraj,
    Jost, Saucan, Samal, Forman curvature for complex networks, 2016; nodes weigh 1).

    Args:
        graph: as `ollivier_ricci` takes it.
        augmented: count every triangle as a face: 3 more for each that an edge is part of. Of graphs with lengths 1.

    Returns:
        The edges, (e, 2) int64, lower ends first and ascending, and their curvatures, (e,) float64.

    Raises:
        ValueError: for `augmented` and lengths that are not 1.
        FormatError: for what is no graph.

    >>> od.forman_ricci(([0, 2, 4, 6], [1, 2, 0, 2, 0, 1]), augmented=True)[1]
    array([3., 3., 3.])
    """
    net = graph_of(graph)
    edges, lengths = net.edges()
    if augmented and not net.unweighted:
        raise ValueError("forman_ricci: augmented takes a graph whose lengths are all 1; leave the lengths away")
    # Over all edges at a node of 1 / sqrt(w'); its own part of that is 1 / sqrt(w).
    at_node = np.bincount(
        np.repeat(np.arange(net.nodes), net.degrees), weights=1 / np.sqrt(net.lengths), minlength=net.nodes
    )
    root = np.sqrt(lengths)
    curvatures = 2 - root * (at_node[edges].sum(axis=1) - 2 / root)
    if augmented:
        for number, (x, y) in enumerate(edges.tolist()):
            curvatures[number] += 3 * np.intersect1d(net.neighbours(x), net.neighbours(y), assume_unique=True).size
    return edges, curvatures


def _neighbourhoods(net: Graph, x: int, y: int, length: float, alpha: float) -> tuple[Array, Array, Array]:
    """What must move from around x to around y, without what stands at both, and the distances between."""
    masses: dict[int, float] = {}
    for node, sign in ((x, 1), (y, -1)):
        neighbours = net.neighbours(node).tolist()
        masses[node] = masses.get(node, 0.0) + sign * alpha
        for neighbour in neighbours:
            masses[neighbour] = masses.get(neighbour, 0.0) + sign * (1 - alpha) / len(neighbours)
    # The transport costs of a metric do not change when what stands at both stays.
    sources = sorted(node for node, mass in masses.items() if mass > 1e-14)
    targets = sorted(node for node, mass in masses.items() if mass < -1e-14)
    around = [net.lengths[net.indptr[node] : net.indptr[node + 1]].max() for node in (x, y)]
    farthest = (length + around[0] + around[1]) * (1 + 1e-12)
    cost = np.empty((len(sources), len(targets)))
    for i, source in enumerate(sources):
        found = net.distances(source, targets, farthest)
        cost[i] = [found[target] for target in targets]
    return np.array([masses[node] for node in sources]), np.array([-masses[node] for node in targets]), cost


def _transport(method: str) -> Any:
    if method == "exact":
        try:
            from scipy.optimize import linear_sum_assignment, linprog  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError(
                "ollivier_ricci: the exact transport takes scipy, which is not installed\n"
                "  remedy: pip install 'odyssey[geometry]', or method=\"sinkhorn\""
            ) from None
        return _exact
    if method == "sinkhorn":
        return _entropic
    raise ValueError(f"ollivier_ricci: method must be 'exact' or 'sinkhorn', found {method!r}")


def _exact(here: Array, there: Array, cost: Array, _: float) -> float:
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import coo_matrix

    rows, columns = cost.shape
    if rows == columns and np.ptp(np.concatenate([here, there])) < 1e-14:  # equal masses: a permutation is best
        return float(here[0] * cost[linear_sum_assignment(cost)].sum())
    places = np.arange(rows * columns)
    sums = coo_matrix(
        (np.ones(2 * places.size), (np.concatenate([places // columns, rows + places % columns]), np.tile(places, 2)))
    )
    # One of the equations follows from the others; left out, rounding cannot make them contradict each other.
    found = linprog(cost.ravel(), A_eq=sums.tocsr()[:-1], b_eq=np.concatenate([here, there])[:-1], method="highs")
    if not found.success:
        raise ArithmeticError(f"ollivier_ricci: no transport found: {found.message}")
    return float(found.fun)


def _entropic(here: Array, there: Array, cost: Array, reg: float) -> float:
    moved = float(here.sum())
    plan: Any = odyssey.sinkhorn(here / moved, there / there.sum(), np.ascontiguousarray(cost), reg)
    return moved * float(np.sum(plan * cost))
