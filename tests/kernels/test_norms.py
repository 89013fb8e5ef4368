"""What a norm's call is: rows and groups alone, in place, running statistics, errors. Values are held by testing/cases."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError

DTYPES = (np.float32, np.float64)


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


def drawn(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def row_norms(n, dtype=np.float32):
    w, b = drawn(n, dtype=dtype, seed=1), drawn(n, dtype=dtype, seed=2)
    return {
        "rms_norm": lambda x, **o: od.rms_norm(x, w, **o),
        "layer_norm": lambda x, **o: od.layer_norm(x, w, b, **o),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 5, 16, 17, 100, 1000, 3000])
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm"])
def test_a_row_has_the_bits_of_the_row_alone(isa, threads, name, n, dtype):
    x = drawn(37, n, dtype=dtype)
    norm = row_norms(n, dtype)[name]
    whole = norm(x)
    for i in (0, 1, 20, 36):
        equal(norm(x[i]), whole[i])
        equal(norm(x[i : i + 1]), whole[i : i + 1])


@pytest.mark.parametrize("name", ["rms_norm", "layer_norm"])
def test_layouts_and_in_place_give_the_bits_of_the_contiguous_array(isa, name):
    x = drawn(6, 5, 33)
    norm = row_norms(33)[name]
    expected = norm(x)
    for view in (np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2], x[::-1, :, ::-1].copy()[::-1, :, ::-1]):
        equal(norm(view), expected)
        out = np.full_like(view, 7)
        assert norm(view, out=out) is out
        equal(np.ascontiguousarray(out), expected)
    same = x.copy()
    norm(same, out=same)
    equal(same, expected)
    equal(norm(x[:0]), expected[:0])


def test_a_long_array_is_streamed_with_the_same_bits(isa):
    x = drawn(3000, 1037)  # beyond the last-level cache, rows on every alignment
    w, b = drawn(1037, seed=1), drawn(1037, seed=2)
    for norm in (lambda x: od.rms_norm(x, w), lambda x: od.layer_norm(x, w, b)):
        whole = norm(x)
        equal(norm(x[5:9]), whole[5:9])
    dx, *_ = od.layer_norm_backward(x, x, w)
    equal(od.layer_norm_backward(x[5:9], x[5:9], w)[0], dx[5:9])


def test_group_and_instance_norm_of_an_image_alone(isa, threads):
    x = drawn(5, 6, 9, 11)
    w, b = drawn(6, seed=1), drawn(6, seed=2)
    for norm in (lambda x: od.group_norm(x, 3, w, b), lambda x: od.instance_norm(x, w, b)):
        whole = norm(x)
        for i in range(5):
            equal(norm(x[i : i + 1]), whole[i : i + 1])
        same = x.copy()
        assert np.shares_memory(od.group_norm(same, 1, out=same), same)


def test_instance_norm_is_group_norm_of_every_channel():
    x = drawn(2, 4, 6, 5)
    equal(od.instance_norm(x), od.group_norm(x, 4))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 5), (2, 3, 4, 4)])
def test_running_statistics_learn_in_training_only(isa, shape):
    x = drawn(*shape)
    axes = (0, *range(2, len(shape)))
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    od.batch_norm(x, mean, var)
    equal(mean, np.zeros(3, np.float32))
    od.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * x.mean(axes), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(var, 0.75 + 0.25 * x.var(axes, ddof=1), rtol=1e-5)
    equal(od.batch_norm(x, None, None, training=True), od.batch_norm(x, mean, var, training=True))


@pytest.mark.parametrize("ops", [od, od.reference], ids=["fast", "reference"])
def test_images_without_channels_are_normed_to_themselves(ops):
    x, none = np.empty((2, 0, 3), np.float32), np.empty(0, np.float32)
    equal(ops.instance_norm(x), x)
    for found, expected in zip(ops.instance_norm_backward(x, x), (x, none, none), strict=True):
        equal(found, expected)


def test_running_statistics_may_lie_anywhere():
    x = drawn(5, 4, 3)
    store = np.zeros((4, 2), np.float32)
    od.batch_norm(x, store[:, 0], store[::-1, 1], training=True)
    plain = np.zeros((2, 4), np.float32)
    od.batch_norm(x, plain[0], plain[1], training=True)
    equal(store[:, 0], plain[0])
    equal(store[::-1, 1], plain[1])


def test_folding_is_the_convolution_and_the_norm():
    x, w, b = drawn(2, 3, 8, 8), drawn(5, 3, 3, 3, seed=1), drawn(5, seed=2)
    mean, var, scale, shift = drawn(5, seed=3), np.abs(drawn(5, seed=4)) + 0.5, drawn(5, seed=5), drawn(5, seed=6)
    expected = od.batch_norm(od.conv2d(x, w, b), mean, var, scale, shift)
    np.testing.assert_allclose(
        od.conv2d(x, *od.fold_batch_norm(w, b, mean, var, scale, shift)), expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        od.conv2d(x, *od.fold_batch_norm(w, None, mean, var)), od.batch_norm(od.conv2d(x, w), mean, var), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_stay_in_their_row(isa, dtype):
    x = drawn(3, 40, dtype=dtype)
    x[1, 7] = np.nan
    for norm in row_norms(40, dtype).values():
        found = norm(x)
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[[0, 2]]).all()
    x[1, 7] = np.inf
    assert np.isnan(od.layer_norm(x)[1]).all()
    found = od.rms_norm(x)[1]
    assert np.isnan(found[7])
    assert (np.delete(found, 7) == 0).all()


def test_arguments_that_do_not_fit_are_named():
    x = drawn(2, 6, 5)
    row = np.ones(5, np.float32)
    with pytest.raises(ShapeError, match=r"layer_norm: weight must be \(5,\)"):
        od.layer_norm(x, np.ones(6, np.float32))
    with pytest.raises(ShapeError, match="at least one axis"):
        od.rms_norm(np.float32(3))
    with pytest.raises(DTypeError, match=r"weight: .* float64"):
        od.rms_norm(x, np.ones(5))
    with pytest.raises(ShapeError, match="grad and x must be of one shape"):
        od.layer_norm_backward(x[0], x)
    with pytest.raises(LayoutError, match="out overlaps weight"):
        od.rms_norm(x[0, 0], row, out=row)
    with pytest.raises(LayoutError, match="out overlaps x"):
        od.layer_norm(x[:1], out=x.reshape(-1)[1:31].reshape(1, 6, 5))
    with pytest.raises(ShapeError, match="num_groups must divide the 6 channels"):
        od.group_norm(x, 4)
    with pytest.raises(ShapeError, match="num_groups must divide"):
        od.group_norm(x, 0)
    with pytest.raises(ShapeError, match=r"\(N, C, ...\) with axes beyond C"):
        od.instance_norm(x[0])
    with pytest.raises(ShapeError, match=r"batch_norm: x must be \(N, C, ...\)"):
        od.batch_norm(x[0, 0], row, row)
    with pytest.raises(ShapeError, match=r"running_mean must be \(6,\)"):
        od.batch_norm(x, row, row)
    with pytest.raises(ValueError, match="running_var is needed unless training=True"):
        od.batch_norm(x, np.ones(6, np.float32), None)
    with pytest.raises(ShapeError, match="more than one value"):
        od.batch_norm(x[:1, :, :1], None, None, training=True)
    frozen = np.ones(6, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(LayoutError, match="updated in place"):
        od.batch_norm(x, frozen, frozen, training=True)
    with pytest.raises(LayoutError, match="updated in place"):
        od.batch_norm(x[:0], frozen, frozen, training=True)
    with pytest.raises(ShapeError, match=r"running_var must be \(6,\)"):
        od.batch_norm_backward(x, x, frozen, row, training=True)
    with pytest.raises(ShapeError, match="one entry for each output"):
        od.fold_batch_norm(np.ones((2, 3), np.float32), None, row, row)
