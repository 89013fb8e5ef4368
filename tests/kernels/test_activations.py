"""Options, shapes, edges and errors of the activations. Values are held to the reference by testing/cases."""

import inspect

import numpy as np
import pytest

import odyssey as od

DTYPES = (np.float32, np.float64)
PLAIN = ("relu", "relu6", "silu", "gelu", "mish", "sigmoid", "tanh", "softplus", "selu", "hard_sigmoid", "hard_swish",
         "hard_tanh", "leaky_relu", "elu")  # fmt: skip
BACKWARDS = tuple(f"{name}_backward" for name in PLAIN)


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.fixture
def x():
    return np.linspace(-8, 8, 3 * 5 * 7, dtype=np.float32).reshape(3, 5, 7)


@pytest.mark.parametrize("name", PLAIN)
def test_any_layout_gives_the_bits_of_the_contiguous_array(isa, x, name):
    op = getattr(od, name)
    expected = op(x)
    for view in (x.T.copy().T, np.repeat(x, 2, -1)[..., ::2], np.flip(x.copy()[::-1], 0)):
        equal(op(view), expected)
    out = np.empty((7, 5, 3), np.float32).T
    assert op(x, out=out) is out
    equal(out, expected)
    same = x.copy()
    assert op(same, out=same) is same
    equal(same, expected)
    equal(op(x[0, 0, 0]), expected[0, 0, 0])
    assert op(x[:0]).shape == (0, 5, 7)


@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_in_place_of_the_gradient_or_of_the_input(isa, x, name):
    op, grad = getattr(od, name), np.cos(x)
    expected = op(grad, x)
    dx = grad.copy()
    assert op(dx, x, out=dx) is dx
    equal(dx, expected)
    dx = x.copy()
    assert op(grad, dx, out=dx) is dx
    equal(dx, expected)
    equal(op(grad.T, x.T), expected.T)


@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_takes_one_shape_only(name, x):
    for grad in (x[0], x[:1], np.float32(1), np.ones(1, np.float32)):
        with pytest.raises(od.errors.ShapeError, match="must have one shape"):
            getattr(od, name)(grad, x)
    with pytest.raises(od.errors.DTypeError):
        getattr(od, name)(1.0, x)
    with pytest.raises(od.errors.DTypeError, match="expected float32, as the first has"):
        getattr(od, name)(x, x.astype(np.float64))


@pytest.mark.parametrize("name", [*PLAIN, *BACKWARDS])
def test_options_by_position_and_by_name(name, x):
    op = getattr(od, name)
    operands = [x] * (2 if name.endswith("backward") else 1)
    defaults = {p.name: p.default for p in inspect.signature(op).parameters.values() if p.default is not p.empty}
    options = {key: value for key, value in defaults.items() if key != "out"}
    expected = op(*operands)
    equal(op(*operands, **options), expected)
    out = np.empty_like(x)
    assert op(*operands, *options.values(), out) is out
    equal(out, expected)


def test_options_change_the_result(isa, x):
    equal(od.leaky_relu(x, 0.5), np.where(x > 0, x, x / 2))
    equal(od.leaky_relu(x, -1), np.abs(x))
    equal(od.leaky_relu_backward(x, x, 0.25), np.where(x > 0, x, x / 4))
    equal(od.elu(x, 2.0), np.where(x > 0, x, 2 * od.elu(x)))
    equal(od.elu_backward(x, x, 0.5), np.where(x > 0, x, od.elu_backward(x, x) / 2))
    equal(od.softplus(x, 2.0), od.softplus(2 * x) / 2)
    equal(od.softplus(x, 1.0, -100.0), x)
    equal(od.softplus_backward(x, x, 1.0, -100.0), x)
    assert not np.array_equal(od.gelu(x), od.gelu(x, "tanh"))
    assert not np.array_equal(od.gelu_backward(x, x), od.gelu_backward(x, x, "tanh"))


@pytest.mark.parametrize("op", [lambda x, a: od.gelu(x, a), lambda x, a: od.gelu_backward(x, x, a)])
@pytest.mark.parametrize("approximate", ["exact", None, 1])
def test_gelu_knows_two_forms(x, op, approximate):
    with pytest.raises(ValueError, match=f'approximate must be "none" or "tanh"\n  found: {approximate!r}'):
        op(x, approximate)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_goes_through(isa, name, dtype):
    assert np.isnan(getattr(od, name)(np.full(20, np.nan, dtype))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("relu", 0, np.inf),
        ("relu6", 0, 6),
        ("silu", -0.0, np.inf),
        ("gelu", -0.0, np.inf),
        ("mish", -0.0, np.inf),
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("softplus", 0, np.inf),
        ("elu", -1, np.inf),
        ("hard_sigmoid", 0, 1),
        ("hard_swish", -0.0, np.inf),
        ("hard_tanh", -1, 1),
        ("leaky_relu", -np.inf, np.inf),
    ],
)
def test_infinities_give_the_limit(isa, name, below, above, dtype):
    found = getattr(od, name)(np.array([-np.inf, np.inf] * 10, dtype))
    equal(found, np.array([below, above] * 10, dtype))
    assert np.signbit(found[0]) == np.signbit(dtype(below))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_at_the_kinks_are_pytorchs(isa, dtype):
    g = np.full(3, 5, dtype)
    equal(od.relu_backward(g, np.array([-0.0, 0.0, np.nan], dtype)), np.array([0, 0, 5], dtype))
    equal(od.relu6_backward(g, np.array([0, 6, 3], dtype)), np.array([0, 0, 5], dtype))
    equal(od.hard_tanh_backward(g, np.array([-1, 1, 0], dtype)), np.array([0, 0, 5], dtype))
    equal(od.hard_sigmoid_backward(6 * g, np.array([-3, 3, 0], dtype)), np.array([0, 0, 5], dtype))
    equal(od.hard_swish_backward(g, np.array([-3, 3, 0], dtype)), np.array([0, 5, 2.5], dtype))
    equal(od.leaky_relu_backward(g, np.array([-1, 0, 1], dtype), 0.2), np.array([1, 1, 5], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_gradient_meets_an_underflowing_slope(isa, dtype):
    # e^x alone would be a subnormal number of few bits, or 0
    x, grad = (dtype(-100), dtype(2.0**60)) if dtype is np.float32 else (dtype(-740), dtype(2.0**500))
    x, grad = np.full(20, x), np.full(20, grad)
    expected = (np.exp(x.astype(np.longdouble)) * grad).astype(dtype)
    for name in ("elu_backward", "softplus_backward"):
        np.testing.assert_array_max_ulp(getattr(od, name)(grad, x), expected, 3)


# ---- prelu -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 5), (3, 6, 4, 9), (1, 6, 70, 70), (0, 6), (2, 6, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_prelu_weights_channels(isa, threads, shape, dtype):
    rng = np.random.default_rng(6)
    x, grad = rng.standard_normal(shape).astype(dtype), np.trunc(4 * rng.standard_normal(shape)).astype(dtype)
    weight = np.linspace(-0.5, 2, 6, dtype=dtype)
    spread = weight.reshape(-1, *[1] * (len(shape) - 2))
    equal(od.prelu(x, weight), np.where(x > 0, x, spread * x))
    whole = np.trunc(4 * x)
    dx, dweight = od.prelu_backward(grad, whole, weight)
    equal(dx, np.where(whole > 0, grad, spread * grad))
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    equal(dweight, np.sum(np.where(whole > 0, 0, whole * grad), axis=axes, dtype=dtype))


@pytest.mark.parametrize("weight_shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), ()])
def test_prelu_with_one_weight(isa, shape, weight_shape):
    x = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) - 2, np.float32)
    weight = np.full(weight_shape, 0.25, np.float32)
    equal(od.prelu(x, weight), np.where(x > 0, x, x / 4)[()])
    dx, dweight = od.prelu_backward(x, x, weight)
    equal(dx, np.where(x > 0, x, x / 4)[()])
    equal(dweight, np.full(weight_shape, np.sum(np.where(x > 0, 0, x * x)), np.float32)[()])


def test_prelu_says_which_weights_fit():
    x = np.ones((2, 3, 4), np.float32)
    with pytest.raises(od.errors.ShapeError) as caught:
        od.prelu(x, np.ones(4, np.float32))
    assert str(caught.value) == (
        "prelu: weight must have one entry, or 3: one for each channel (axis 1 of x)\n"
        "  x: (2, 3, 4) float32    weight: (4,) float32"
    )
    with pytest.raises(od.errors.ShapeError, match="prelu_backward: weight must have one entry\n"):
        od.prelu_backward(x[0, 0], x[0, 0], np.ones(4, np.float32))
    with pytest.raises(od.errors.ShapeError, match="prelu_backward: grad and x must have one shape"):
        od.prelu_backward(x[0], x, np.ones(3, np.float32))
    with pytest.raises(od.errors.DTypeError, match="weight: \\(3,\\) float64"):
        od.prelu(x, np.ones(3))


def test_options_must_be_numbers(x):
    for call in (lambda: od.leaky_relu(x, "a"), lambda: od.elu(x, None), lambda: od.softplus(x, [1.0])):
        with pytest.raises(TypeError):
            call()
