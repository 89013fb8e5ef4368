"""Curvatures of graphs on which they are known."""

import sys

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import FormatError, ShapeError
from odyssey.geometry import graph_of, nearest_neighbours

pytest.importorskip("scipy", reason="scipy is not installed: exact transport is not tested")


def csr(nodes, edges, lengths=None):
    around = [[] for _ in range(nodes)]
    for number, (x, y) in enumerate(edges):
        w = 1.0 if lengths is None else lengths[number]
        around[x].append((y, w))
        around[y].append((x, w))
    rows = [sorted(row) for row in around]
    return (
        np.cumsum([0] + [len(row) for row in rows]),
        np.array([y for row in rows for y, _ in row]),
        np.array([w for row in rows for _, w in row]),
    )


def complete(n):
    return csr(n, [(i, j) for i in range(n) for j in range(i)])


def cycle(n):
    return csr(n, [(i, (i + 1) % n) for i in range(n)])


def torus(n):
    at = lambda i, j: i % n * n + j % n  # noqa: E731
    return csr(n * n, [e for i in range(n) for j in range(n) for e in ((at(i, j), at(i + 1, j)), (at(i, j), at(i, j + 1)))])


def tree(degree, depth):
    edges, level, count = [], [0], 1
    for d in range(depth):
        following = []
        for node in level:
            for _ in range(degree if d == 0 else degree - 1):
                edges.append((node, count))
                following.append(count)
                count += 1
        level = following
    return csr(count, edges)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_complete_graphs(n, alpha):
    _, curvature = od.ollivier_ricci(complete(n), alpha=alpha)
    np.testing.assert_allclose(curvature, 1 - abs(alpha - (1 - alpha) / (n - 1)), atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_cycles_and_grids_are_flat(alpha):
    for graph in (cycle(6), cycle(11), torus(7)):
        edges, curvature = od.ollivier_ricci(graph, alpha=alpha)
        assert np.all(edges[:, 0] < edges[:, 1])
        np.testing.assert_allclose(curvature, 0, atol=1e-9)
    np.testing.assert_allclose(od.ollivier_ricci(cycle(5), alpha=0.5)[1], 0.25, atol=1e-9)
    np.testing.assert_allclose(od.ollivier_ricci(cycle(4), alpha=0.5)[1], 0.5, atol=1e-9)


@pytest.mark.parametrize("degree", [3, 4, 6])
def test_trees_are_negative(degree):
    graph = tree(degree, 3)
    degrees = np.diff(graph[0])
    for alpha in (0.0, 0.5):
        edges, curvature = od.ollivier_ricci(graph, alpha=alpha)
        inner = degrees[edges].min(axis=1) > 1
        # Jost and Liu 2014; the lazy walk's is (1 - alpha) of the limit's.
        np.testing.assert_allclose(curvature[inner], (1 - alpha) * (4 / degree - 2), atol=1e-9)


def test_lengths_scale_away():
    graph = torus(5)
    _, unit = od.ollivier_ricci(graph)
    _, scaled = od.ollivier_ricci((graph[0], graph[1], 3.7 * graph[2]))
    np.testing.assert_allclose(scaled, unit, atol=1e-9)


def test_general_masses_agree_with_pot():
    ot = pytest.importorskip("ot", reason="POT is not installed: transport is not compared with its")
    from odyssey.geometry.curvature import _exact

    rng = np.random.default_rng(0)
    a, b, cost = rng.random(5), rng.random(7), rng.random((5, 7))
    a, b = a / a.sum(), b / b.sum()
    assert _exact(a, b, cost, 0) == pytest.approx(ot.emd2(a, b, cost))


def test_sinkhorn_comes_near():
    for graph in (complete(5), cycle(8), tree(3, 2)):
        _, exact = od.ollivier_ricci(graph)
        _, near = od.ollivier_ricci(graph, method="sinkhorn", reg=0.01)
        np.testing.assert_allclose(near, exact, atol=0.02)


def test_forman():
    np.testing.assert_array_equal(od.forman_ricci(cycle(6))[1], np.zeros(6))
    np.testing.assert_array_equal(od.forman_ricci(torus(5))[1], np.full(50, -4.0))
    np.testing.assert_allclose(od.forman_ricci(complete(6))[1], np.full(15, 4 - 10))
    np.testing.assert_allclose(od.forman_ricci(complete(6), augmented=True)[1], np.full(15, 4 - 10 + 3 * 4))
    edges, curvature = od.forman_ricci(tree(3, 2))
    degrees = np.diff(tree(3, 2)[0])
    np.testing.assert_allclose(curvature, 4 - degrees[edges].sum(axis=1))
    # A path with lengths 1 and 4: 2 - w / sqrt(1 * 4) of each.
    np.testing.assert_allclose(od.forman_ricci(csr(3, [(0, 1), (1, 2)], [1.0, 4.0]))[1], [2 - 1 / 2, 2 - 4 / 2])
    with pytest.raises(ValueError, match="lengths are all 1"):
        od.forman_ricci(csr(2, [(0, 1)], [2.0]), augmented=True)


def test_scipy_matrices_one_sided_too():
    from scipy.sparse import coo_matrix

    half = coo_matrix((np.ones(3), ([0, 1, 0], [1, 2, 2])), shape=(3, 3))
    found = graph_of(half)
    whole = graph_of(complete(3))
    np.testing.assert_array_equal(found.indptr, whole.indptr)
    np.testing.assert_array_equal(found.indices, whole.indices)
    np.testing.assert_allclose(od.ollivier_ricci(half)[1], od.ollivier_ricci(complete(3))[1])


def test_points_are_joined_to_their_nearest():
    x = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    net = nearest_neighbours(x, 4)
    assert net.degrees.min() >= 4
    edges, curvature = od.ollivier_ricci(x, k=4)
    assert len(edges) == len(net.indices) // 2
    assert np.all(curvature <= 1)
    d = od.pairwise_distance(x)
    np.testing.assert_array_equal(net.edges()[1].astype(np.float32), d[tuple(edges.T)])


def test_what_is_no_graph_is_explained(monkeypatch):
    for wrong, message in (
        (([0, 1], [3]), "indices must lie"),
        (([0, 1], [0]), "no loops"),
        (([0, 2], [0]), "must rise from 0"),
        (([0, 1, 2], [1, 0], [1.0, -1.0]), "positive and finite"),
        (np.eye(3), "expected a graph"),
    ):
        with pytest.raises(FormatError, match=message):
            od.forman_ricci(wrong)
    with pytest.raises(ValueError, match="alpha"):
        od.ollivier_ricci(cycle(4), alpha=2)
    with pytest.raises(ValueError, match="'exact' or 'sinkhorn'"):
        od.ollivier_ricci(cycle(4), method="fast")
    with pytest.raises(ShapeError, match="0 < k < m"):
        od.ollivier_ricci(np.zeros((3, 2), np.float32), k=3)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ModuleNotFoundError, match=r"odyssey\[geometry\]"):
        od.ollivier_ricci(cycle(4))
