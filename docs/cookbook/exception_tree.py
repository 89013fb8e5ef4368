"""Python's exceptions, a tree, in the Poincaré disc: docs/cookbook/exception_tree.md explains it.

    python docs/cookbook/exception_tree.py [figure.svg]
"""

import builtins
import sys

import numpy as np

import odyssey as od
from odyssey.geometry import Graph, graph_of

F = od.nn.functional


def exception_tree() -> tuple[list[str], list[int]]:
    """The names of the built-in exceptions, BaseException first, and the number of each one's parent."""
    classes, parents = [BaseException], [0]
    for number, each in enumerate(classes):  # the list grows while it is walked: breadth first
        children = sorted(
            (c for c in vars(builtins).values() if isinstance(c, type) and c.__base__ is each and issubclass(c, each)),
            key=lambda c: c.__name__,
        )
        children = [c for c in dict.fromkeys(children) if c not in classes]
        classes += children
        parents += [number] * len(children)
    return [c.__name__ for c in classes], parents


def tree_graph(parents: list[int]) -> Graph:
    """The tree as a graph: CSR with each edge at its upper end."""
    children = [[j for j, p in enumerate(parents) if p == i and j != i] for i in range(len(parents))]
    indptr = np.cumsum([0, *map(len, children)])
    return graph_of((indptr, np.array([j for row in children for j in row])))


def train(optimizer, parents: list[int], steps: int = 2000, seed: int = 0) -> tuple[np.ndarray, float]:
    """Points of which a tree neighbour is near and everything else far: each node's cross entropy over all others, with
    minus the distances as logits, against its neighbours (Nickel and Kiela 2017, all nodes for a sample)."""
    tree = tree_graph(parents)
    nodes = tree.nodes
    wanted = np.zeros((nodes, nodes))
    for node in range(nodes):
        wanted[node, tree.neighbours(node)] = 1 / tree.degrees[node] / nodes
    itself = np.where(np.eye(nodes) > 0, 1e9, 0.0)
    start = 1e-2 * np.random.default_rng(seed).standard_normal((nodes, 2))
    points = od.Tensor(start, requires_grad=True)
    opt = optimizer([points])
    rate = opt.lr
    for step in range(steps):
        opt.lr = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        opt.zero_grad()
        logits = -F.pairwise_distance(points, None, "poincare") - itself
        loss = -(F.log_softmax(logits) * wanted).sum()
        loss.backward()
        opt.step()
    return points.data, loss.item()


def neighbours_first(points: np.ndarray, parents: list[int]) -> float:
    """Mean average precision: do a node's tree neighbours come before all others, in order of distance?"""
    distances = od.pairwise_distance(points, metric="poincare")
    np.fill_diagonal(distances, np.inf)
    tree, precisions = tree_graph(parents), []
    for node in range(tree.nodes):
        hits = np.isin(np.argsort(distances[node]), tree.neighbours(node))
        precisions.append(np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)))
    return float(np.mean(precisions))


def geodesic(a: np.ndarray, b: np.ndarray, count: int = 30) -> np.ndarray:
    """Points along it: the exponential of parts of the logarithm."""
    return od.exp_map(a, np.linspace(0, 1, count)[:, np.newaxis] * od.log_map(a, b))


def mean_of(points: np.ndarray) -> np.ndarray:
    """Fréchet's: from which the tangents to all points cancel."""
    mean = np.zeros(points.shape[1])
    for _ in range(500):  # short steps: far points bend the sum of squares as much as they are far
        mean = od.exp_map(mean, 0.05 * od.log_map(mean, points).mean(axis=0))
    return mean


def draw(points: np.ndarray, names: list[str], parents: list[int], path: str) -> None:
    """The disc: edges along geodesics, coloured by Ollivier's curvature, names at nodes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # An isometry of the ball brings the mean of the points to its middle.
    points = od.mobius_add(-mean_of(points), points)
    edges, curvature = od.ollivier_ricci(tree_graph(parents))
    low, high = float(curvature.min()), max(0.0, float(curvature.max()))
    figure, axes = plt.subplots(figsize=(11, 10))
    axes.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.6"))
    colours = plt.get_cmap("coolwarm_r")
    for (i, j), bend in zip(edges.tolist(), curvature.tolist(), strict=True):
        reach = max(-low, high, 1e-9)
        axes.plot(*geodesic(points[i], points[j]).T, color=colours(0.5 + 0.5 * bend / reach), linewidth=1.4, zorder=1)
    axes.scatter(*points.T, s=16, color="black", zorder=2)
    leaf = [i not in parents for i in range(len(names))]
    for (x, y), name, outer in zip(points, names, leaf, strict=True):
        if outer:  # outwards, along the radius
            angle = np.degrees(np.arctan2(y, x))
            flip = abs(angle) > 90
            x, y = np.array([x, y]) * (1 + 0.015 / np.hypot(x, y))
            axes.annotate(name, (x, y), rotation=angle + 180 * flip, rotation_mode="anchor", fontsize=6,
                          ha="right" if flip else "left", va="center")  # fmt: skip
        else:
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8, weight="bold",
                          bbox={"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.7})  # fmt: skip
    scale = plt.cm.ScalarMappable(plt.Normalize(-max(-low, high), max(-low, high)), colours)
    figure.colorbar(scale, ax=axes, shrink=0.5, label="Ollivier curvature of the edge")
    axes.set(xlim=(-1.28, 1.28), ylim=(-1.2, 1.2), aspect="equal")
    axes.axis("off")
    figure.savefig(path, bbox_inches="tight")


def main(path: str) -> None:
    """Both optimizers, and the better one's figure."""
    names, parents = exception_tree()
    print(f"{len(names)} exceptions")
    found = {}
    for name, optimizer in (
        ("RiemannianSGD", lambda p: od.optim.RiemannianSGD(p, lr=5.0, margin=1e-12)),
        ("RiemannianAdam", lambda p: od.optim.RiemannianAdam(p, lr=0.03, margin=1e-12)),
    ):
        points, loss = train(optimizer, parents)
        found[name] = loss, points
        print(f"{name}: loss {loss:.3f}, mean average precision {neighbours_first(points, parents):.3f}")
    draw(min(found.values(), key=lambda pair: pair[0])[1], names, parents, path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/images/exception_tree.svg")
