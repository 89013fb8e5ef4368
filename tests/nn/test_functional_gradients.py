"""Every differentiable function over Tensors against central differences, on the kernels and on the definitions."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import ShapeError
from odyssey.testing import gradcheck

F = od.nn.functional


@pytest.fixture(params=["fast", "reference"], autouse=True)
def operations(request):
    with od.use_reference() if request.param == "reference" else nullcontext():
        yield


def tensors(*shapes, low=-2.0, high=2.0, apart_from=(), distinct=False):
    """Draws Tensors of float64, away from the points where a function has no derivative."""

    def draw(rng):
        drawn = []
        for shape in shapes:
            x = rng.uniform(low, high, shape)
            for kink in apart_from:
                x = np.where(np.abs(x - kink) < 0.05, kink + 0.1, x)
            if distinct:  # no two elements close enough to change places under a difference
                x = rng.permutation(np.linspace(low, high, x.size)).reshape(shape)
            drawn.append(od.Tensor(x, requires_grad=True))
        return drawn

    return draw


BINARY = {"add": F.add, "subtract": F.subtract, "multiply": F.multiply, "divide": F.divide, "power": F.power}
SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 1)), ((2, 1, 3), (2, 1)), ((), (2, 2)), ((2, 2), ()), ((), ())]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, shapes):
    gradcheck(BINARY[name], tensors(*shapes, low=0.5))


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_extrema_of_two(name):
    gradcheck(getattr(F, name), lambda rng: [*tensors((3, 4))(rng), *tensors((3, 4), low=3.0, high=4.0)(rng)])
    a = od.Tensor([1.0, 2.0], requires_grad=True)
    b = od.Tensor([1.0, 1.0], requires_grad=True)
    getattr(F, name)(a, b).sum().backward()
    assert a.grad[0] == b.grad[0] == 0.5  # equal elements share, as in PyTorch


@pytest.mark.parametrize("number", [3.0, 2, 2.0, 0, -1.0, 0.5])
def test_powers_with_a_number(number):
    gradcheck(lambda x: F.power(x, number), tensors((5,), low=0.5))
    gradcheck(lambda x: F.power(abs(number) + 0.5, x), tensors((5,)))


def test_powers_at_zero_have_finite_gradients():
    x = od.Tensor([0.0, 0.0, 2.0], requires_grad=True)
    p = od.Tensor([0.0, 2.0, 0.0], requires_grad=True)
    F.power(x, p).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    assert p.grad.tolist() == [0.0, 0.0, pytest.approx(np.log(2.0))]


def test_operators_with_a_number_on_either_side():
    for f in (lambda x: 2.0 - x, lambda x: x - 2.0, lambda x: 2.0 / x, lambda x: x / 2.0, lambda x: -x, lambda x: x**3):
        gradcheck(f, tensors((3, 2), low=0.5))


def test_scale_axpy_and_fma():
    gradcheck(lambda x: F.scale(x, -1.5), tensors((3, 4)))
    gradcheck(lambda x, y: F.axpy(0.7, x, y), tensors((3, 4), (3, 4)))
    gradcheck(F.fma, tensors((3, 4), (3, 4), (3, 4)))


@pytest.mark.parametrize("name", ["exp", "log", "log2", "sqrt", "reciprocal", "erf", "sin", "cos"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), ()], ids=str)
def test_elementary(name, shape):
    gradcheck(getattr(F, name), tensors(shape, low=0.3))


def test_clip():
    gradcheck(lambda x: F.clip(x, -1.0, 1.0), tensors((20,), apart_from=(-1.0, 1.0)))


@pytest.mark.parametrize(
    ("name", "kinks", "options"),
    [
        ("relu", (0,), {}),
        ("relu6", (0, 6), {}),
        ("silu", (), {}),
        ("gelu", (), {}),
        ("gelu", (), {"approximate": "tanh"}),
        ("mish", (), {}),
        ("sigmoid", (), {}),
        ("tanh", (), {}),
        ("softplus", (), {}),
        ("softplus", (), {"beta": 2.0, "threshold": 1.0}),
        ("selu", (0,), {}),
        ("elu", (0,), {"alpha": 0.7}),
        ("leaky_relu", (0,), {"negative_slope": 0.2}),
        ("hard_sigmoid", (-3, 3), {}),
        ("hard_swish", (-3, 3), {}),
        ("hard_tanh", (-1, 1), {}),
    ],
)
def test_activations(name, kinks, options):
    def f(x):
        return getattr(F, name)(x, **options)

    if options.get("threshold"):
        kinks = (0.5,)
    gradcheck(f, tensors((4, 9), low=-8.0, high=8.0, apart_from=kinks))
    # Once more behind an operation whose gradient is new, and may be overwritten.
    gradcheck(lambda x: F.scale(f(x), 2.0), tensors((4, 9), low=-8.0, high=8.0, apart_from=kinks))


@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu(slopes):
    gradcheck(F.prelu, lambda rng: [*tensors((2, 3, 4), apart_from=(0,))(rng), *tensors((slopes,))(rng)])


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min", "norm", "logsumexp"])
def test_reductions(name, axis, keepdims):
    distinct = name in ("max", "min")
    gradcheck(
        lambda x: getattr(F, name)(x, axis, keepdims=keepdims), tensors((2, 3, 4), distinct=distinct), points=2
    )


def test_variance_with_ddof():
    gradcheck(lambda x: F.var(x, 1, ddof=1), tensors((3, 5)))


def test_reductions_as_methods():
    gradcheck(lambda x: x.sum(0) + x.mean(0) + x.max(0) - x.min(0), tensors((5, 3), distinct=True))


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, axis):
    gradcheck(lambda x: getattr(F, name)(x, axis), tensors((3, 4, 2)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(reduction):
    labels = np.array([0, 3, 1])
    gradcheck(lambda x: F.cross_entropy(x, labels, reduction), tensors((3, 4)))
    gradcheck(lambda x, t: F.mse_loss(x, t, reduction), tensors((3, 4), (3, 4)))


def test_losses_refuse_what_they_would_get_wrong():
    with pytest.raises(ShapeError, match="mse_loss: expected target of x's shape"):
        F.mse_loss(od.Tensor([[1.0], [2.0]]), od.Tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="reduction"):
        F.mse_loss(od.Tensor([1.0]), od.Tensor([1.0]), "median")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 2)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 2)),
        ((2, 3, 4), (2, 4, 2)),
        ((5, 1, 3, 4), (2, 4, 2)),
        ((3, 4), (2, 4, 2)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 4, 3)),
    ],
    ids=str,
)
def test_matmul(a, b):
    gradcheck(F.matmul, tensors(a, b))


def test_dot():
    gradcheck(F.dot, tensors((5,), (5,)))


ACTIVATIONS = [None, "relu", "tanh", "sigmoid", "gelu", "silu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 3, 4)], ids=str)
def test_linear(shape, activation):
    gradcheck(lambda x, w, b: F.linear(x, w, b, activation), tensors(shape, (5, 4), (5,)))
    gradcheck(lambda x, w: F.scale(F.linear(x, w, None, activation), 2.0), tensors(shape, (5, 4)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_conv2d_activations(activation):
    gradcheck(
        lambda x, w, b: F.conv2d(x, w, b, activation=activation), tensors((2, 2, 5, 4), (3, 2, 3, 2), (3,)), elements=30
    )


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 1, 1, 1), ((1, 2), (2, 0), 1, 1), (1, 2, 2, 1), (1, 1, 1, 2), (2, 1, (1, 2), 2)],
    ids=str,
)
def test_conv2d(stride, padding, dilation, groups):
    gradcheck(
        lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups),
        tensors((2, 4, 6, 7), (4, 4 // groups, 3, 3), (4,)),
        points=1,
        elements=40,
    )


def test_conv2d_computes_no_gradient_for_data(monkeypatch):
    from odyssey.tensor import ops

    def never(*args, **kwargs):
        raise AssertionError("the gradient of the input was computed")

    monkeypatch.setattr(ops, "conv2d_backward_input", never)
    weight = od.Tensor(np.ones((1, 1, 3, 3), np.float32), requires_grad=True)
    F.conv2d(np.ones((1, 1, 4, 4), np.float32), weight).sum().backward()
    assert weight.grad.tolist() == [[[[4.0] * 3] * 3]]


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0)), (3, 1, 1)], ids=str
)
def test_pooling(size, stride, padding):
    gradcheck(lambda x: F.max_pool2d(x, size, stride, padding), tensors((2, 2, 6, 7), distinct=True))
    gradcheck(lambda x: F.avg_pool2d(x, size, stride, padding), tensors((2, 2, 6, 7)))


def test_global_pooling():
    gradcheck(F.global_avg_pool2d, tensors((2, 3, 4, 5)))


@pytest.mark.parametrize("affine", [True, False])
def test_norms(affine):
    def check(f, shape, channels):
        gradcheck(f, tensors(shape, (channels,), (channels,)) if affine else tensors(shape))

    check(F.layer_norm, (2, 3, 5), 5)
    check(lambda x, w=None, b=None: F.rms_norm(x, w) + (0 if b is None else b), (3, 5), 5)
    check(lambda x, *more: F.group_norm(x, 2, *more), (2, 4, 3), 4)
    check(F.instance_norm, (2, 2, 3, 2), 2)
    check(lambda x, *more: F.batch_norm(x, None, None, *more, training=True), (3, 2, 4), 2)
    check(lambda x, *more: F.batch_norm(x, None, None, *more, training=True), (4, 3), 3)
    mean, var = np.array([0.5, -1.0]), np.array([2.0, 0.5])
    check(lambda x, *more: F.batch_norm(x, mean, var, *more), (3, 2, 4), 2)


def test_embedding():
    index = np.array([[0, 2], [2, 1]])
    gradcheck(lambda w: F.embedding(w, index), tensors((4, 3)))
    w = od.Tensor(np.ones((4, 3)), requires_grad=True)
    F.embedding(w, index, padding_idx=2).sum().backward()
    assert w.grad[:, 0].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_dropout():
    gradcheck(lambda x: F.dropout(x, 0.4, 3, 1), tensors((5, 7)))
    gradcheck(lambda x: F.scale(F.dropout(x, 0.4, 3, 1), 2.0), tensors((5, 7)))


def test_shapes():
    gradcheck(lambda x: F.reshape(F.transpose(x, 1, 0), 2, -1), tensors((4, 3)))
    gradcheck(lambda x: F.flatten(x, 1), tensors((2, 3, 2)))
    gradcheck(lambda x: F.getitem(x, ([0, 0, 1], slice(1, 3))), tensors((2, 4)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_fused_activation_is_the_activation_after(activation):
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=s).astype(np.float32) for s in ((3, 4), (5, 4), (5,)))
    plain = F.linear(x, w, b)
    after = plain if activation is None else getattr(F, activation)(plain)
    np.testing.assert_allclose(F.linear(x, w, b, activation).data, after.data, rtol=2e-6, atol=1e-7)


def test_arrays_stand_for_tensors_and_nothing_is_recorded_for_them():
    x = np.ones((2, 3), np.float32)
    for y in (F.add(x, x), F.relu(x), F.linear(x, x), F.sum(x), F.softmax(x), F.reshape(x, 3, 2)):
        assert isinstance(y, od.Tensor)
        assert not y.requires_grad


def test_every_function_is_documented_and_exported():
    for name in F.__all__:
        assert getattr(F, name).__doc__, name


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}], ids=str)
def test_attention(options):
    gradcheck(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options), tensors((2, 4, 3, 5), (2, 2, 4, 5), (2, 2, 4, 3))
    )


def test_attention_under_a_mask():
    mask = np.array([[True, False, True], [False, True, True]])
    gradcheck(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask), tensors((2, 4), (3, 4), (3, 2)))
    added = np.array([0.5, -np.inf, -1.0])
    gradcheck(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, added), tensors((2, 4), (3, 4), (3, 2)))


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_embedding(interleaved):
    cos, sin = od.rotary_tables(5, 6, dtype=np.float64)
    gradcheck(lambda x: F.rotary_embedding(x, cos, sin, interleaved), tensors((2, 5, 8)))
    gradcheck(lambda x: F.rotary_embedding(F.scale(x, 2.0), cos, sin, interleaved), tensors((5, 6)))


def points_of_the_ball(*shapes, far=0.8):
    def draw(rng):
        drawn = []
        for shape in shapes:
            x = rng.standard_normal(shape)
            radius = far * rng.uniform(0.2, 1, (*shape[:-1], 1))
            drawn.append(od.Tensor(x / np.linalg.norm(x, axis=-1, keepdims=True) * radius, requires_grad=True))
        return drawn

    return draw


@pytest.mark.parametrize("shapes", [((4, 3), (4, 3)), ((4, 3), (3,)), ((3,), (2, 3)), ((3,), (3,))], ids=str)
@pytest.mark.parametrize("c", [0.6, 1.0])
def test_maps_of_the_ball(shapes, c):
    for name in ("mobius_add", "exp_map", "log_map", "poincare_distance"):
        op = getattr(F, name)
        gradcheck(partial(op, c=c), points_of_the_ball(*shapes), rtol=1e-5, atol=1e-7)
    for name in ("gyration", "parallel_transport"):
        op = getattr(F, name)
        gradcheck(partial(op, c=c), points_of_the_ball(*shapes, shapes[0]), rtol=1e-5, atol=1e-7)
    gradcheck(lambda x: F.project_to_ball(x, c, 0.6), points_of_the_ball(shapes[0]))
    x = points_of_the_ball(shapes[0])(np.random.default_rng(0))[0]
    gradcheck(lambda v: F.exp_map(x.data, v, c), [od.Tensor(np.zeros(shapes[0]), requires_grad=True)], atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "poincare", "spherical"])
def test_pairwise_distances(metric):
    gradcheck(lambda x, y: F.pairwise_distance(x, y, metric), points_of_the_ball((3, 4), (5, 4)))
    weights = np.random.default_rng(0).random((4, 4))
    np.fill_diagonal(weights, 0)
    gradcheck(lambda x: F.pairwise_distance(x, None, metric) * weights, points_of_the_ball((4, 3)))
