"""Graphs that are none are refused, and a graph is taken as it is."""

import numpy as np
import pytest

from odyssey.errors import FormatError, ShapeError
from odyssey.geometry import graph

PATH = ([0, 1, 3, 4], [1, 0, 2, 1])


def test_a_graph_is_taken_as_it_is():
    one = graph.graph_of(PATH)
    assert graph.graph_of(one) is one


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((*PATH, [1.0, 2.0]), "a length for each of 4"),
        (([0, 2, 1], [0, 1]), "indptr must rise"),
        (([0, 1, 2], [1, 5]), "indices must lie in"),
        (3.0, "expected a graph as"),
    ],
)
def test_what_is_no_graph_is_refused(wrong, words):
    with pytest.raises(FormatError, match=words):
        graph.graph_of(wrong)


def test_points_that_stand_twice_have_no_nearest_neighbours():
    points = np.float32([[0, 0], [0, 0], [1, 1]])
    with pytest.raises(ValueError, match="two points are one"):
        graph.nearest_neighbours(points, 1)
    with pytest.raises(ShapeError, match="0 < k < m"):
        graph.nearest_neighbours(points, 3)
