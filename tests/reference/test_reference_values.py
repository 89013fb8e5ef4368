"""The definitions against values worked out by hand, by closed formulas, and by other libraries' definitions."""

import math

import numpy as np
import pytest

from odyssey import reference as ref

RNG = np.random.default_rng(7)
DTYPES = (np.float32, np.float64)


def test_fma_rounds_once_in_float32():
    # (1 + 2^-12)² = 1 + 2^-11 + 2^-24: the last term is lost unless the sum is formed before rounding.
    a = np.float32([1 + 2.0**-12])
    assert ref.fma(a, a, np.float32([-1 - 2.0**-11]))[0] == 2.0**-24
    assert (a * a - np.float32(1 + 2.0**-11))[0] == 0


def test_fma_rounds_once_where_rounding_to_float64_first_would_err():
    # a·b = 2^-24 + 10478·2^-70. Next to 1, float64 drops the second term and is left with a tie between two float32,
    # which goes down to 1; the exact sum lies above the tie.
    a, b, one = np.float32([8391503 * 2.0**-35]), np.float32([8385714 * 2.0**-35]), np.float32([1])
    assert np.float32(float(a[0]) * float(b[0]) + 1) == 1
    assert ref.fma(a, b, one)[0] == np.nextafter(one, np.float32(2))[0]
    assert ref.fma(-a, b, -one)[0] == np.nextafter(-one, np.float32(-2))[0]


def test_fma_in_float64_is_exact_where_the_product_underflows_or_overflows():
    big, tiny = np.float64([2.0**1000]), np.float64([5e-324])
    assert ref.fma(big, big, np.float64([-np.inf]))[0] == -np.inf
    assert ref.fma(big, np.float64([2.0**24]), np.float64([-(2.0**1023)]))[0] == 2.0**1023
    assert ref.fma(big, big, np.float64([-(2.0**1023)]))[0] == np.inf
    assert ref.fma(big, np.float64([2.0**23]), np.float64([-(2.0**1023)]))[0] == 0
    assert ref.fma(tiny, np.float64([0.5]), np.float64([0.0]))[0] == 0
    assert ref.fma(tiny, np.float64([0.75]), np.float64([0.0]))[0] == tiny[0]


def test_fma_keeps_the_sign_of_zero_and_lets_nan_through():
    zero = np.float64([0.0])
    assert math.copysign(1, ref.fma(-zero, zero, -zero)[0]) == -1
    assert math.copysign(1, ref.fma(-zero, zero, zero)[0]) == 1
    with np.errstate(invalid="ignore"):
        assert np.isnan(ref.fma(zero, np.float64([np.inf]), zero)[0])


def test_axpy_is_a_fused_multiply_add():
    x, y = RNG.standard_normal((2, 50)).astype(np.float32)
    expected = ref.fma(np.float32([0.1]), x, y)
    assert np.array_equal(ref.axpy(0.1, x, y), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_takes_the_type_of_the_array(dtype):
    x = np.array([1, 2, 3], dtype)
    for result in (ref.add(x, 1), ref.subtract(1.0, x), ref.maximum(x, 2.0), ref.power(x, 2), ref.fma(x, 2.0, 1.0)):
        assert result.dtype == dtype


def test_parameters_are_rounded_to_the_type_of_the_array_first():
    x = np.float32([-1])
    assert ref.scale(x, 0.1)[0] == -np.float32(0.1)
    assert ref.leaky_relu(x, 0.1)[0] == -np.float32(0.1)
    assert ref.clip(np.float32([1]), 0.0, 0.1)[0] == np.float32(0.1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_keeps_its_digits_in_the_lower_tail(dtype):
    # Φ(-x) ~ φ(x) / x · (1 - 1/x² + 3/x⁴ - ...), to 15 digits at x = 12 with eight terms
    x = 12.0
    series = sum((-1) ** k * math.prod(range(1, 2 * k, 2)) / x ** (2 * k) for k in range(20))
    expected = -math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * series
    assert ref.gelu(np.array([-x], dtype))[0] == pytest.approx(expected, rel=1e-7 if dtype == np.float32 else 1e-13)


def test_smooth_activations_reach_their_limits_without_overflow():
    x = np.float32([-1e30, -200, 200, 1e30])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.array_equal(ref.sigmoid(x), np.float32([0, 0, 1, 1]))
        assert np.array_equal(ref.silu(x)[1:], np.float32([-0.0, 200, 1e30]))
        assert np.array_equal(ref.softplus(x), np.float32([0, 0, 200, 1e30]))
        assert np.array_equal(ref.elu(x), np.float32([-1, -1, 200, 1e30]))
        assert np.array_equal(ref.mish(x)[2:], np.float32([200, 1e30]))
        for approximate in ("none", "tanh"):
            assert np.array_equal(ref.gelu(x, approximate)[1:], np.float32([-0.0, 200, 1e30]))


@pytest.mark.parametrize("op", ["silu", "gelu", "mish"])
def test_gated_activations_have_their_limits_at_the_infinities(op):
    x, ones = np.float32([-np.inf, np.inf]), np.ones(2, np.float32)
    with np.errstate(invalid="raise"):
        y, slope = getattr(ref, op)(x), getattr(ref, f"{op}_backward")(ones, x)
    assert np.array_equal(y, [0, np.inf])
    assert np.signbit(y[0])
    assert np.array_equal(slope, [0, 1])


def test_identities_between_activations():
    x = RNG.standard_normal(200)
    assert np.allclose(ref.silu(x), x * ref.sigmoid(x), rtol=1e-15)
    assert np.allclose(ref.tanh(x), 2 * ref.sigmoid(2 * x) - 1, rtol=1e-12, atol=1e-15)
    assert np.allclose(ref.mish(x), x * np.tanh(ref.softplus(x)), rtol=1e-14)
    assert np.allclose(ref.hard_swish(x), x * ref.hard_sigmoid(x), rtol=1e-15)
    assert np.allclose(ref.gelu(x) + ref.gelu(-x), x * ref.erf(x / math.sqrt(2)), rtol=1e-13)
    assert np.allclose(ref.sigmoid(x) + ref.sigmoid(-x), 1, rtol=1e-15)


def test_prelu_takes_one_weight_for_all_or_one_for_each_channel():
    x = -np.ones((2, 3, 2), np.float32)
    assert np.array_equal(ref.prelu(x, np.float32([0.5])), -0.5 * np.ones((2, 3, 2)))
    each = ref.prelu(x, np.float32([1, 2, 3]))
    assert np.array_equal(each[1, :, 0], np.float32([-1, -2, -3]))
    dx, dweight = ref.prelu_backward(np.ones_like(x), x, np.float32([1, 2, 3]))
    assert np.array_equal(dx[0, :, 1], np.float32([1, 2, 3]))
    assert np.array_equal(dweight, np.float32([-4, -4, -4]))


def test_sums_do_not_lose_what_float32_would():
    x = np.float32([2.0**24, 1, 1, -(2.0**24)])
    assert ref.sum(x) == 2
    assert ref.mean(x) == 0.5
    assert ref.dot(x, np.ones(4, np.float32)) == 2


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_agree_with_numpy(axis, keepdims):
    x = RNG.standard_normal((3, 4, 5))
    options = {"axis": axis, "keepdims": keepdims}
    for op in ("sum", "mean", "max", "min", "var"):
        assert np.allclose(getattr(ref, op)(x, **options), getattr(np, op)(x, **options), rtol=1e-13)
    assert np.allclose(ref.var(x, ddof=1, **options), np.var(x, ddof=1, **options), rtol=1e-13)
    assert np.allclose(ref.norm(x, **options), np.sqrt(np.sum(x * x, **options)), rtol=1e-13)
    assert np.allclose(ref.logsumexp(x, **options), np.log(np.sum(np.exp(x), **options)), rtol=1e-13)


def test_argmax_finds_the_first_maximum_and_the_first_nan():
    assert ref.argmax(np.float32([1, 3, 3])) == 1
    assert ref.argmax(np.float32([1, np.nan, 3, np.nan])) == 1
    result = ref.argmax(np.float32([[1, 2], [5, 4]]), axis=0, keepdims=True)
    assert result.dtype == np.int64
    assert np.array_equal(result, [[1, 1]])


def test_reductions_of_nothing_are_those_of_numpy():
    empty = np.zeros((0, 3), np.float32)
    assert np.array_equal(ref.sum(empty, axis=0), [0, 0, 0])
    assert np.array_equal(ref.norm(empty, axis=0), [0, 0, 0])
    assert np.array_equal(ref.logsumexp(empty, axis=0), [-np.inf] * 3)
    with np.errstate(invalid="ignore"):
        assert np.isnan(ref.mean(empty, axis=0)).all()
    for op in (ref.max, ref.min, ref.argmax):
        with pytest.raises(ValueError, match=r"zero-size|empty"):
            op(empty, axis=0)


def test_the_gradient_of_an_extremum_goes_to_the_first_in_c_order():
    x = np.float32([[1, 5], [5, 0]])
    assert np.array_equal(ref.max_backward(np.float32(2), x), [[0, 2], [0, 0]])
    assert np.array_equal(ref.max_backward(np.float32(2), x, axis=(1, 0)), [[0, 2], [0, 0]])
    assert np.array_equal(ref.max_backward(np.float32([[3, 4]]), x, axis=0), [[0, 4], [3, 0]])
    assert np.array_equal(ref.min_backward(np.float32([3, 4]), x, axis=1), [[3, 0], [0, 4]])


def test_the_gradient_of_the_norm_of_zero_is_zero():
    x = np.zeros((2, 3), np.float32)
    assert np.array_equal(ref.norm_backward(np.ones(2, np.float32), x, ref.norm(x, axis=1), axis=1), x)


def test_softmax_of_large_values_and_masks():
    row = np.float32([1e30, 1e30, -np.inf])
    assert np.array_equal(ref.softmax(row), np.float32([0.5, 0.5, 0]))
    assert ref.log_softmax(row)[2] == -np.inf
    with np.errstate(invalid="ignore"):
        assert np.isnan(ref.softmax(np.float32([-np.inf, -np.inf]))).all()
        assert np.isnan(ref.softmax(np.float32([np.inf, 0]))).all()
    assert ref.logsumexp(np.float32([np.inf, 0])) == np.inf
    assert ref.logsumexp(np.float32([-np.inf, -np.inf])) == -np.inf


def test_cross_entropy_is_the_negative_log_softmax_at_the_label():
    logits = RNG.standard_normal((6, 4))
    labels = RNG.integers(0, 4, 6)
    rows = -ref.log_softmax(logits)[np.arange(6), labels]
    assert np.allclose(ref.cross_entropy(logits, labels, "none"), rows, rtol=1e-14)
    assert ref.cross_entropy(logits, labels, "sum") == pytest.approx(rows.sum(), rel=1e-14)
    assert ref.cross_entropy(logits, labels.astype(np.int32)) == pytest.approx(rows.mean(), rel=1e-14)


def test_matmul_follows_numpys_shapes():
    for a, b in (((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2))):
        a, b = RNG.standard_normal(a), RNG.standard_normal(b)
        assert np.allclose(ref.matmul(a, b), a @ b, rtol=1e-13)


def test_matmul_scales_and_adds():
    a, b, c = np.float32([[1, 2]]), np.float32([[3], [4]]), np.float32([[100]])
    assert ref.matmul(a, b, c, 2.0, 0.5) is c
    assert c[0, 0] == 72
    untouched = np.float32([[np.nan]])
    assert ref.matmul(a, b, untouched)[0, 0] == 11  # beta = 0 does not read what out holds


@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_is_its_own_seven_loops(groups):
    n, channels, height, width, outputs, kh, kw = 2, 4, 6, 7, 6, 3, 2
    (sy, sx), (py, px), (dy, dx) = (2, 1), (1, 2), (1, 2)
    x = RNG.standard_normal((n, channels, height, width))
    weight = RNG.standard_normal((outputs, channels // groups, kh, kw))
    bias = RNG.standard_normal(outputs)
    oh = (height + 2 * py - dy * (kh - 1) - 1) // sy + 1
    ow = (width + 2 * px - dx * (kw - 1) - 1) // sx + 1
    expected = np.zeros((n, outputs, oh, ow))
    for i in range(n):
        for o in range(outputs):
            first = o // (outputs // groups) * (channels // groups)
            for oy in range(oh):
                for ox in range(ow):
                    total = bias[o]
                    for c in range(channels // groups):
                        for ky in range(kh):
                            for kx in range(kw):
                                y, z = oy * sy - py + ky * dy, ox * sx - px + kx * dx
                                if 0 <= y < height and 0 <= z < width:
                                    total += x[i, first + c, y, z] * weight[o, c, ky, kx]
                    expected[i, o, oy, ox] = total
    result = ref.conv2d(x, weight, bias, (sy, sx), (py, px), (dy, dx), groups)
    assert np.allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_the_gradients_of_conv2d_are_its_adjoints():
    # <conv(x, w), g> = <x, backward_input(g, w)> = <w, backward_weight(g, x)>: conv2d is linear in each
    x, weight = RNG.standard_normal((2, 4, 9, 8)), RNG.standard_normal((6, 2, 3, 3))
    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    y = ref.conv2d(x, weight, **options)
    g = RNG.standard_normal(y.shape)
    expected = np.vdot(y, g)
    assert np.vdot(x, ref.conv2d_backward_input(g, weight, x.shape, **options)) == pytest.approx(expected, rel=1e-12)
    assert np.vdot(weight, ref.conv2d_backward_weight(g, x, weight.shape, **options)) == pytest.approx(
        expected, rel=1e-12
    )


def test_padding_never_wins_a_maximum_and_never_takes_its_gradient():
    x = np.full((1, 1, 2, 2), -np.inf, np.float32)
    assert np.isneginf(ref.max_pool2d(x, 2, 2, 1)).all()
    assert np.array_equal(ref.max_pool2d_backward(np.ones((1, 1, 2, 2), np.float32), x, 2, 2, 1)[0, 0], np.ones((2, 2)))
    below = np.full((1, 1, 2, 2), -5, np.float32)
    assert (ref.max_pool2d(below, 2, 2, 1) == -5).all()


def test_max_pool_gives_nan_where_a_window_holds_one():
    x = np.zeros((1, 1, 2, 4), np.float32)
    x[0, 0, 1, 1] = np.nan
    assert np.array_equal(ref.max_pool2d(x, 2)[0, 0], [[np.nan, 0]], equal_nan=True)
    assert ref.max_pool2d_backward(np.ones((1, 1, 1, 2), np.float32), x, 2)[0, 0, 1, 1] == 1


def test_avg_pool_counts_padding_as_zeros():
    x = np.ones((1, 1, 2, 2), np.float32)
    assert np.array_equal(ref.avg_pool2d(x, 2, 2, 1)[0, 0], np.full((2, 2), 0.25))


def test_sgd_goes_through_its_formula_by_hand():
    param, buffer = np.float64([1.0]), np.zeros(1)
    ref.sgd_step(param, np.float64([2.0]), buffer, lr=0.1, momentum=0.5, weight_decay=1.0)
    assert buffer[0] == pytest.approx(3.0)  # 2 + 1·1
    assert param[0] == pytest.approx(0.7)
    ref.sgd_step(param, np.float64([2.0]), buffer, lr=0.1, momentum=0.5, nesterov=True)
    assert buffer[0] == pytest.approx(3.5)  # 0.5·3 + 2
    assert param[0] == pytest.approx(0.7 - 0.1 * (2 + 0.5 * 3.5))


def test_the_first_dampened_step_takes_the_gradient_whole():
    buffer = np.zeros(1, np.float32)
    ref.sgd_step(np.float32([1]), np.float32([2]), buffer, momentum=0.9, dampening=0.5, first=True)
    assert buffer[0] == 2


def test_adam_moves_by_the_learning_rate_at_the_first_step():
    for step in (ref.adam_step, ref.adamw_step):
        param, average, square = np.float64([1.0, -1.0]), np.zeros(2), np.zeros(2)
        assert step(param, np.float64([1e-3, -1e3]), average, square, 1, lr=0.1, weight_decay=0.0) is None
        assert np.allclose(param, [0.9, -0.9], rtol=1e-5)
        assert np.allclose(average, [1e-4, -1e2])
        assert np.allclose(square, [1e-9, 1e3])
