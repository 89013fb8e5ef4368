"""Ten loops of plain Python, and what they are given: for racing compilers of such loops.

None of them is written for one compiler: no types, no hints, no arrays as a whole. Each returns something that says
whether it computed the right thing, or leaves it in its last argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LOOPS", "Loop"]


def mandelbrot(width: Any, height: Any, limit: Any, image: Any) -> Any:
    """How soon each point of the plane escapes."""
    for row in range(height):
        for column in range(width):
            cr = 3.0 * column / width - 2.0
            ci = 2.0 * row / height - 1.0
            x = 0.0
            y = 0.0
            count = 0
            while count < limit and x * x + y * y <= 4.0:
                x, y = x * x - y * y + cr, 2.0 * x * y + ci
                count += 1
            image[row, column] = count
    return image[height // 2, width // 2]


def nbody(place: Any, speed: Any, mass: Any, steps: Any, dt: Any) -> Any:
    """Bodies that attract one another; the energy of their motion at the end."""
    n = mass.shape[0]
    for _ in range(steps):
        for i in range(n):
            for j in range(i + 1, n):
                dx = place[i, 0] - place[j, 0]
                dy = place[i, 1] - place[j, 1]
                dz = place[i, 2] - place[j, 2]
                square = dx * dx + dy * dy + dz * dz + 0.01
                pull = dt / (square * math.sqrt(square))
                speed[i, 0] -= dx * mass[j] * pull
                speed[i, 1] -= dy * mass[j] * pull
                speed[i, 2] -= dz * mass[j] * pull
                speed[j, 0] += dx * mass[i] * pull
                speed[j, 1] += dy * mass[i] * pull
                speed[j, 2] += dz * mass[i] * pull
        for i in range(n):
            for axis in range(3):
                place[i, axis] += dt * speed[i, axis]
    energy = 0.0
    for i in range(n):
        energy += 0.5 * mass[i] * (speed[i, 0] * speed[i, 0] + speed[i, 1] * speed[i, 1] + speed[i, 2] * speed[i, 2])
    return energy


def edit_distance(a: Any, b: Any) -> Any:
    """How many letters have to be changed, put in or taken out."""
    n = len(b)
    before = np.zeros(n + 1, np.int64)
    row = np.zeros(n + 1, np.int64)
    for j in range(n + 1):
        before[j] = j
    for i in range(len(a)):
        row[0] = i + 1
        for j in range(n):
            best = before[j] + (0 if a[i] == b[j] else 1)
            if before[j + 1] + 1 < best:
                best = before[j + 1] + 1
            if row[j] + 1 < best:
                best = row[j] + 1
            row[j + 1] = best
        before, row = row, before
    return before[n]


def kmeans_step(points: Any, centres: Any, sums: Any, counts: Any, labels: Any) -> Any:
    """Each point to its nearest centre, and the sums of the points by centre; returns the squared distances' sum."""
    total = 0.0
    for i in range(points.shape[0]):
        nearest = 0
        least = math.inf
        for k in range(centres.shape[0]):
            square = 0.0
            for axis in range(points.shape[1]):
                gap = points[i, axis] - centres[k, axis]
                square += gap * gap
            if square < least:
                least = square
                nearest = k
        labels[i] = nearest
        counts[nearest] += 1
        for axis in range(points.shape[1]):
            sums[nearest, axis] += points[i, axis]
        total += least
    return total


def stencil(a: Any, b: Any, steps: Any) -> Any:
    """Each cell becomes the mean of its neighbours."""
    for _ in range(steps):
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                b[i, j] = 0.25 * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1])
        a, b = b, a
    return a[a.shape[0] // 2, a.shape[1] // 2]


def histogram(x: Any, low: Any, high: Any, counts: Any) -> Any:
    """How many numbers fall into each of equal parts of an interval; returns how many fall outside."""
    bins = len(counts)
    scale = bins / (high - low)
    outside = 0
    for i in range(len(x)):
        if low <= x[i] < high:
            counts[int((x[i] - low) * scale)] += 1
        else:
            outside += 1
    return outside


def viterbi(start: Any, change: Any, emit: Any, seen: Any, path: Any) -> Any:
    """The likeliest path through hidden states, by logarithms; returns its own."""
    n = len(seen)
    states = len(start)
    score = np.empty((n, states))
    came = np.zeros((n, states), np.int64)
    for s in range(states):
        score[0, s] = start[s] + emit[s, seen[0]]
    for t in range(1, n):
        for s in range(states):
            best = score[t - 1, 0] + change[0, s]
            origin = 0
            for r in range(1, states):
                way = score[t - 1, r] + change[r, s]
                if way > best:
                    best = way
                    origin = r
            score[t, s] = best + emit[s, seen[t]]
            came[t, s] = origin
    last = 0
    for s in range(1, states):
        if score[n - 1, s] > score[n - 1, last]:
            last = s
    path[n - 1] = last
    for t in range(n - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return score[n - 1, last]


def matrix_product(a: Any, b: Any, c: Any) -> Any:
    """c += a @ b in three loops."""
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(b.shape[1]):
                c[i, j] += factor * b[k, j]
    return c[0, 0]


def sieve(n: Any, composite: Any) -> Any:
    """How many primes there are below n."""
    count = 0
    for i in range(2, n):
        if not composite[i]:
            count += 1
            for j in range(i * i, n, i):
                composite[j] = True
    return count


def floyd_warshall(distance: Any) -> Any:
    """The shortest ways between all pairs of places."""
    n = distance.shape[0]
    for k in range(n):
        for i in range(n):
            first = distance[i, k]
            for j in range(n):
                way = first + distance[k, j]
                if way < distance[i, j]:
                    distance[i, j] = way
    return distance[0, n - 1]


@dataclass(frozen=True)
class Loop:
    """A loop to race.

    Attributes:
        function: in plain Python.
        make: arguments; small ones are for the interpreter, to compare with.
    """

    function: Callable[..., Any]
    make: Callable[[bool], tuple[Any, ...]]

    @property
    def name(self) -> str:
        """The loop's name."""
        return self.function.__name__.replace("_", " ")


def _mandelbrot(small: bool) -> tuple[Any, ...]:
    side = 16 if small else 96
    return side, side, 50 if small else 200, np.zeros((side, side), np.int64)


def _nbody(small: bool) -> tuple[Any, ...]:
    draw = np.random.default_rng(1)
    n = 5 if small else 40
    return draw.standard_normal((n, 3)), np.zeros((n, 3)), draw.random(n), 3 if small else 20, 1e-4


def _edit_distance(small: bool) -> tuple[Any, ...]:
    draw = np.random.default_rng(2)
    n = 20 if small else 500
    return draw.integers(0, 4, n, dtype=np.uint8), draw.integers(0, 4, n + 7, dtype=np.uint8)


def _kmeans(small: bool) -> tuple[Any, ...]:
    draw = np.random.default_rng(3)
    n, k, d = (20, 3, 4) if small else (2000, 16, 8)
    return draw.random((n, d)), draw.random((k, d)), np.zeros((k, d)), np.zeros(k, np.int64), np.zeros(n, np.int64)


def _stencil(small: bool) -> tuple[Any, ...]:
    side = 9 if small else 200
    a = np.random.default_rng(4).random((side, side))
    return a, a.copy(), 3 if small else 10


def _histogram(small: bool) -> tuple[Any, ...]:
    x = np.random.default_rng(5).standard_normal(200 if small else 100_000)
    return x, -3.0, 3.0, np.zeros(50, np.int64)


def _viterbi(small: bool) -> tuple[Any, ...]:
    draw = np.random.default_rng(6)
    n, states, symbols = (12, 3, 4) if small else (400, 24, 16)
    logs = [np.log(draw.random(shape)) for shape in (states, (states, states), (states, symbols))]
    return *logs, draw.integers(0, symbols, n), np.zeros(n, np.int64)


def _product(small: bool) -> tuple[Any, ...]:
    n = 7 if small else 160
    draw = np.random.default_rng(7)
    return draw.random((n, n)), draw.random((n, n)), np.zeros((n, n))


def _sieve(small: bool) -> tuple[Any, ...]:
    n = 100 if small else 100_000
    return n, np.zeros(n, bool)


def _floyd(small: bool) -> tuple[Any, ...]:
    n = 7 if small else 120
    return (np.random.default_rng(8).random((n, n)),)


LOOPS = [
    Loop(mandelbrot, _mandelbrot), Loop(nbody, _nbody), Loop(edit_distance, _edit_distance), Loop(kmeans_step, _kmeans),
    Loop(stencil, _stencil), Loop(histogram, _histogram), Loop(viterbi, _viterbi), Loop(matrix_product, _product),
    Loop(sieve, _sieve), Loop(floyd_warshall, _floyd),
]  # fmt: skip
