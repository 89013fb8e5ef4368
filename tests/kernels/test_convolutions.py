"""What the rows of the table are too small to show of convolutions."""

import numpy as np
import pytest

import odyssey as od
from odyssey.testing import magnitudes, winograd

# Several slabs, and a last one that is not whole; rows of tiles cut in bands; images of few tiles; outputs in blocks.
BY_TILES = (
    (9, 24, 33, 34, 32, 1), (1, 32, 4, 1100, 32, 1), (70, 40, 4, 4, 33, 1), (3, 32, 40, 41, 24, 0), (4, 256, 4, 4, 300, 1),
)  # fmt: skip


@pytest.mark.parametrize("shape", BY_TILES)
def test_gradients_of_weights_by_tiles_are_within_their_bound_and_one_result_everywhere(shape):
    n, channels, height, width, outputs, padding = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, channels, height, width)).astype(np.float32)
    grad = rng.standard_normal((n, outputs, height + 2 * padding - 2, width + 2 * padding - 2)).astype(np.float32)
    weight_shape = (outputs, channels, 3, 3)
    assert winograd.pays(x.shape, weight_shape, padding=padding)
    exact = od.conv2d_backward_weight(grad.astype(np.float64), x.astype(np.float64), weight_shape, padding=padding)
    bound = magnitudes.conv2d_backward_weight(grad, x, weight_shape, padding=padding)
    results = []
    for isa in od.isa.available():
        for threads in (2,) if isa == "scalar" else (1, 2, 5):  # a second each on scalar
            with od.isa.use(isa), od.threads.limit(threads):
                results.append(od.conv2d_backward_weight(grad, x, weight_shape, padding=padding))
    tiles = grad[:, 0].size // 4
    assert np.all(np.abs(results[0] - exact) <= (tiles + 12) * 2.0**-24 * bound)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
