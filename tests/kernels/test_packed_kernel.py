"""Weights packed once: the bits of the array, whatever changes between the calls."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError

# Winograd's tiles, few of them and many; strides, groups, depthwise (never packed ahead), and the plain way.
CASES = [
    ((1, 33, 4, 4), (35, 33, 3, 3), {"padding": 1}),
    ((1, 16, 4, 5), (17, 16, 3, 3), {"padding": 1}),
    ((3, 20, 9, 8), (40, 20, 3, 3), {"padding": 1}),
    ((2, 3, 11, 11), (8, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((20, 24, 6, 6), (16, 24, 1, 1), {"stride": 2}),
    ((2, 8, 7, 7), (12, 4, 3, 3), {"groups": 2, "dilation": 2}),
    ((2, 8, 7, 7), (8, 1, 3, 3), {"groups": 8}),
]


def drawn(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("image", "weight", "options"), CASES)
def test_it_gives_the_bits_of_the_array_on_every_instruction_set(image, weight, options, dtype):
    x, w, bias = drawn(image, dtype), drawn(weight, dtype, 1), drawn(weight[0], dtype, 2)
    kernel = od.PackedKernel(w)
    for isa in od.isa.available():
        for threads in (1, 2):
            with od.isa.use(isa), od.threads.limit(threads):
                for _ in range(2):
                    for activation in (None, "relu", "silu"):
                        wanted = od.conv2d(x, w, bias, activation=activation, **options)
                        np.testing.assert_array_equal(
                            od.conv2d(x, kernel, bias, activation=activation, **options), wanted
                        )


def test_an_image_alone_has_the_bits_it_has_in_a_batch():
    """Few tiles leave the lanes to the outputs, many keep them: the same chains."""
    for channels, outputs, height, width in ((33, 35, 4, 4), (16, 17, 5, 4), (20, 48, 4, 6)):
        x, w, bias = drawn((19, channels, height, width)), drawn((outputs, channels, 3, 3), seed=1), drawn(outputs)
        for activation in (None, "relu", "tanh"):
            whole = od.conv2d(x, w, bias, padding=1, activation=activation)
            for i in (0, 18):
                one = od.conv2d(x[i : i + 1], w, bias, padding=1, activation=activation)
                np.testing.assert_array_equal(one[0], whole[i])


def test_it_follows_when_the_images_or_the_options_change():
    w = drawn((16, 16, 3, 3))
    kernel = od.PackedKernel(w)
    assert kernel.nbytes == 0
    for shape, options in (((1, 16, 8, 8), {"padding": 1}), ((1, 16, 4, 4), {"padding": 1}), ((1, 16, 4, 4), {}),
                           ((1, 16, 9, 9), {"stride": 2}), ((20, 16, 4, 4), {"padding": 1})):  # fmt: skip
        x = drawn(shape)
        np.testing.assert_array_equal(od.conv2d(x, kernel, **options), od.conv2d(x, w, **options))
    assert kernel.nbytes > w.nbytes


def test_its_weights_are_a_copy_that_cannot_be_written_to():
    w = drawn((4, 3, 3, 3))
    kernel = od.PackedKernel(w)
    x, before = drawn((1, 3, 5, 5)), w.copy()
    result = od.conv2d(x, kernel)
    w[...] = 0
    np.testing.assert_array_equal(od.conv2d(x, kernel), result)
    with pytest.raises(ValueError, match="read-only"):
        kernel.weight[...] = 0
    np.testing.assert_array_equal(np.asarray(kernel), before)
    assert np.asarray(kernel, np.float64).dtype == np.float64
    assert (kernel.shape, kernel.dtype) == ((4, 3, 3, 3), np.float32)
    assert repr(kernel) == "PackedKernel((4, 3, 3, 3), float32)"
    for other in (copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
        np.testing.assert_array_equal(od.conv2d(x, other), result)
    np.testing.assert_allclose(od.reference.conv2d(x, kernel), result, rtol=1e-4, atol=1e-5)


def test_threads_may_share_it():
    w = drawn((16, 16, 3, 3))
    kernel = od.PackedKernel(w)
    images = [drawn((1, 16, size, size), seed=size) for size in (4, 6, 8, 4, 6, 8)] * 20
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda x: od.conv2d(x, kernel, padding=1), images))
    for x, y in zip(images, found, strict=True):
        np.testing.assert_array_equal(y, od.conv2d(x, w, padding=1))


def test_what_is_no_kernel_is_refused():
    with pytest.raises(ShapeError, match="weight must be"):
        od.PackedKernel(np.ones((3, 3), np.float32))
    with pytest.raises(DTypeError):
        od.PackedKernel(np.ones((1, 1, 3, 3), np.int64))
    kernel = od.PackedKernel(drawn((4, 3, 3, 3)))
    with pytest.raises(DTypeError):
        od.conv2d(drawn((1, 3, 5, 5), np.float64), kernel)
    with pytest.raises(ShapeError, match="channels"):
        od.conv2d(drawn((1, 2, 5, 5)), kernel)
