"""Curvature of graphs: algorithms over the kernels of distances."""

from odyssey.geometry.curvature import forman_ricci, ollivier_ricci
from odyssey.geometry.graph import Graph, graph_of, nearest_neighbours

__all__ = ["Graph", "forman_ricci", "graph_of", "nearest_neighbours", "ollivier_ricci"]
