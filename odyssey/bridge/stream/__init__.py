"""Batches without end, between threads and an event loop: `Stream` loads, computes and hands out at the same time."""

from odyssey.bridge.stream.batch import Batch, Failure, nbytes
from odyssey.bridge.stream.stats import Stats, overlap
from odyssey.bridge.stream.stream import Stream

__all__ = ["Batch", "Failure", "Stats", "Stream", "nbytes", "overlap"]
