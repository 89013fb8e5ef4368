"""Gradients by name, and gradients of gradients: every formula against differences of the gradient it repeats."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import ShapeError
from odyssey.nn.functional.second import FORMULAS, _scatter_backward
from odyssey.testing import gradcheck

F = od.nn.functional
rng = np.random.default_rng(0)


def leaf(*shape, low=-2.0, high=2.0, apart_from=()):
    x = rng.uniform(low, high, shape)
    for kink in apart_from:
        x = np.where(np.abs(x - kink) < 0.05, kink + 0.1, x)
    return od.Tensor(x, requires_grad=True)


def check_second(f, *tensors):
    """The gradient of f, for a random cotangent, is what differences say, and its own gradient too."""
    y = f(*tensors)
    cotangent = od.Tensor(rng.standard_normal(y.shape), requires_grad=True)
    first = od.grad(f(*tensors), tensors, cotangent)
    second = od.grad(f(*tensors), tensors, cotangent, create_graph=True)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(b.data, a.data, rtol=1e-9, atol=1e-12)

    def slopes(cotangent, *tensors):
        parts = od.grad(f(*tensors), tensors, cotangent, create_graph=True)
        return F.concatenate([part.reshape(-1) for part in parts])

    gradcheck(slopes, [cotangent, *tensors], points=1, elements=12, rtol=1e-5, atol=1e-7)


def _nodes(y):
    stack = [y.node]
    while stack:
        node = stack.pop()
        if hasattr(node, "inputs"):
            yield node
            stack += node.inputs


LABELS = np.array([0, 3, 1, -100])
BOOL = rng.random((3, 4)) < 0.5
SECOND = {
    "add": (F.add, lambda: (leaf(3, 4), leaf(4))),
    "subtract": (F.subtract, lambda: (leaf(3, 4), leaf(3, 1))),
    "multiply": (F.multiply, lambda: (leaf(3, 4), leaf(4))),
    "multiply by a number": (lambda x: x * 3.0, lambda: (leaf(3),)),
    "divide": (F.divide, lambda: (leaf(3, 1), leaf(4, low=0.5))),
    "power": (F.power, lambda: (leaf(3, low=0.5), leaf(2, 1, low=0.5))),
    "power 3": (lambda x: x**3, lambda: (leaf(3, low=0.5),)),
    "power 2": (lambda x: x**2, lambda: (leaf(3),)),
    "2 to the": (lambda x: 2.0**x, lambda: (leaf(3),)),
    "scale": (lambda x: -x, lambda: (leaf(3),)),
    "axpy": (lambda x, y: F.axpy(0.5, x, y), lambda: (leaf(3), leaf(3))),
    "fma": (F.fma, lambda: (leaf(3), leaf(3), leaf(3))),
    "maximum": (F.maximum, lambda: (leaf(3), leaf(3, low=3, high=4))),
    "minimum": (F.minimum, lambda: (leaf(3), leaf(3, low=3, high=4))),
    **{
        name: (getattr(F, name), lambda: (leaf(2, 3, low=0.3),))
        for name in ("exp", "log", "log2", "sqrt", "reciprocal", "erf", "sin", "cos")
    },
    "clip": (lambda x: F.clip(x, -1.0, 1.0), lambda: (leaf(9, apart_from=(-1, 1)),)),
    **{
        name: (getattr(F, name), lambda: (leaf(3, 4, low=-4, high=4, apart_from=(-3, -1, 0, 1, 3)),))
        for name in (
            "relu", "relu6", "silu", "gelu", "mish", "sigmoid", "tanh", "softplus", "selu", "elu", "leaky_relu",
            "hard_sigmoid", "hard_swish", "hard_tanh",
        )
    },
    "gelu tanh": (lambda x: F.gelu(x, "tanh"), lambda: (leaf(5),)),
    "softplus beta": (lambda x: F.softplus(x, 2.0, 1.0), lambda: (leaf(9, apart_from=(0.5,)),)),
    "prelu": (F.prelu, lambda: (leaf(2, 3, 2, apart_from=(0,)), leaf(3))),
    "prelu of one": (F.prelu, lambda: (leaf(2, 3, apart_from=(0,)), leaf(1))),
    "sum": (lambda x: F.sum(x, (0, -1)), lambda: (leaf(2, 3, 2),)),
    "sum of all": (F.sum, lambda: (leaf(2, 3),)),
    "mean": (lambda x: F.mean(x, 1, True), lambda: (leaf(2, 3),)),
    "var": (lambda x: F.var(x, 1, ddof=1), lambda: (leaf(2, 4),)),
    "max": (lambda x: F.max(x, 0), lambda: (leaf(5, 3),)),
    "min": (F.min, lambda: (leaf(5),)),
    "norm": (lambda x: F.norm(x, -1), lambda: (leaf(2, 4),)),
    "logsumexp": (lambda x: F.logsumexp(x, 0), lambda: (leaf(4, 2),)),
    "softmax": (lambda x: F.softmax(x, 0), lambda: (leaf(4, 2),)),
    "log_softmax": (F.log_softmax, lambda: (leaf(2, 4),)),
    "matmul": (F.matmul, lambda: (leaf(2, 3), leaf(3, 4))),
    "matmul of batches": (F.matmul, lambda: (leaf(2, 1, 2, 3), leaf(3, 3, 2))),
    "matmul of vectors": (F.matmul, lambda: (leaf(3), leaf(3, 2))),
    "grouped rows": (lambda a, b: F.grouped_matmul(a, b, np.array([1, 3])), lambda: (leaf(3, 2), leaf(2, 2, 3))),
    "grouped sums": (lambda a, b: F.grouped_matmul(a, b, np.array([1, 3])), lambda: (leaf(2, 3), leaf(3, 2))),
    "grouped columns": (lambda a, b: F.grouped_matmul(a, b, np.array([1, 3])), lambda: (leaf(2, 2, 3), leaf(3, 3))),
    "matmul with a vector": (F.matmul, lambda: (leaf(2, 3), leaf(3))),
    "dot": (F.dot, lambda: (leaf(3), leaf(3))),
    **{
        f"linear {activation}": (
            lambda x, w, b, activation=activation: F.linear(x, w, b, activation),
            lambda: (leaf(2, 2, 3), leaf(4, 3), leaf(4)),
        )
        for activation in (None, "relu", "tanh", "sigmoid", "gelu", "silu")
    },
    "conv2d": (F.conv2d, lambda: (leaf(2, 2, 4, 5), leaf(3, 2, 2, 3), leaf(3))),
    "conv2d silu": (lambda x, w: F.conv2d(x, w, None, activation="silu"), lambda: (leaf(1, 1, 3, 3), leaf(2, 1, 2, 2))),
    "conv2d strided": (
        lambda x, w, b: F.conv2d(x, w, b, (2, 3), (1, 0), (1, 2), 2),
        lambda: (leaf(1, 4, 6, 7), leaf(2, 2, 3, 2), leaf(2)),
    ),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 1), 1, (1, 0), (1, 2), 2),
        lambda: (leaf(1, 4, 3, 4), leaf(4, 1, 3, 2), leaf(2)),
    ),
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        lambda: (leaf(2, 2, 3), leaf(1, 3, 3), leaf(1, 3, 2)),
    ),
    "attention masked": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, np.array([True, False, True]), scale=0.3),
        lambda: (leaf(2, 3), leaf(3, 3), leaf(3, 2)),
    ),
    "attention biased": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, np.array([0.5, -np.inf, -1.0])),
        lambda: (leaf(2, 3), leaf(3, 3), leaf(3, 2)),
    ),
    "rotary_embedding": (
        lambda x: F.rotary_embedding(x, *od.rotary_tables(3, 4, dtype=np.float64)), lambda: (leaf(3, 4),)
    ),
    "dropout": (lambda x: F.dropout(x, 0.5, 3), lambda: (leaf(9),)),
    "embedding": (lambda w: F.embedding(w, np.array([0, 2, 2]), 0), lambda: (leaf(3, 2),)),
    "layer_norm": (F.layer_norm, lambda: (leaf(2, 4), leaf(4), leaf(4))),
    "rms_norm": (F.rms_norm, lambda: (leaf(2, 4), leaf(4))),
    "group_norm": (lambda x, *more: F.group_norm(x, 2, *more), lambda: (leaf(2, 4, 2), leaf(4), leaf(4))),
    "instance_norm": (F.instance_norm, lambda: (leaf(2, 2, 3), leaf(2), leaf(2))),
    "batch_norm": (
        lambda x, *more: F.batch_norm(x, None, None, *more, training=True), lambda: (leaf(3, 2, 2), leaf(2), leaf(2))
    ),
    "batch_norm in use": (
        lambda x, w: F.batch_norm(x, np.array([0.5, -1.0]), np.array([2.0, 0.5]), w), lambda: (leaf(3, 2), leaf(2))
    ),
    "euclidean_distance": (F.euclidean_distance, lambda: (leaf(3, 2), leaf(2))),
    "mobius_add": (F.mobius_add, lambda: (leaf(2, 3, low=-0.4, high=0.4), leaf(2, 3, low=-0.4, high=0.4))),
    "mse_loss": (F.mse_loss, lambda: (leaf(2, 3), leaf(2, 3))),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.2, weight=np.arange(1.0, 5.0)), lambda: (leaf(4, 4),)
    ),
    "cross_entropy of each": (lambda x: F.cross_entropy(x, LABELS, "none"), lambda: (leaf(4, 4),)),
    "global_avg_pool2d": (F.global_avg_pool2d, lambda: (leaf(1, 2, 2, 3),)),
    "reshape": (lambda x: F.flatten(x) ** 2, lambda: (leaf(2, 3),)),
    "transpose": (lambda x: (F.transpose(x, 2, 0, 1) ** 2).T, lambda: (leaf(2, 3, 2),)),
    "broadcast_to": (lambda x: F.broadcast_to(x, (2, 3)) ** 2, lambda: (leaf(3),)),
    "clone": (F.clone, lambda: (leaf(3),)),
    "getitem": (lambda x: x[1:, 0] ** 2, lambda: (leaf(3, 2),)),
    "getitem by numbers": (lambda x: x[[0, 0, 2]] ** 2, lambda: (leaf(3, 2),)),
    "where": (lambda a, b: F.where(BOOL, a, b) ** 2, lambda: (leaf(3, 4), leaf(4))),
    "concatenate": (lambda a, b: F.concatenate([a, b], 1) ** 2, lambda: (leaf(2, 2), leaf(2, 3))),
    "stack": (lambda a, b: F.stack([a, b], -1) ** 2, lambda: (leaf(2, 2), leaf(2, 2))),
    "*= in place": (lambda a, b: F.multiply_(F.clone(a), b), lambda: (leaf(2, 2), leaf(2))),
    "/= in place": (lambda a, b: F.divide_(F.clone(a), b), lambda: (leaf(2, 2), leaf(2, low=0.5))),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name):
    f, draw = SECOND[name]
    check_second(f, *draw())


def test_every_formula_is_checked():
    checked = {node.backward for f, draw in SECOND.values() for node in _nodes(f(*draw()))}
    used_by_others = {_scatter_backward}
    assert set(FORMULAS) - used_by_others == checked


def test_third_derivatives():
    x = od.Tensor(np.array([0.3, 1.2]), requires_grad=True)
    (first,) = od.grad(F.sum(F.sin(x)), x, create_graph=True)
    (second,) = od.grad(F.sum(first), x, create_graph=True)
    (third,) = od.grad(F.sum(second), x)
    np.testing.assert_allclose(third.data, -np.cos(x.data), rtol=1e-12)


def test_gradients_by_name_leave_grad_alone():
    x, w = leaf(3), leaf(3)
    (by_x,) = od.grad((x * w).sum(), x)
    np.testing.assert_array_equal(by_x.data, w.data)
    assert isinstance(by_x, od.Tensor)
    assert not by_x.requires_grad
    assert x.grad is None
    assert w.grad is None


def test_gradients_of_results_on_the_way():
    x = leaf(3)
    middle = x * 2.0
    y = (middle * middle).sum()
    by_middle, by_x, by_y = od.grad(y, [middle, x, y])
    np.testing.assert_allclose(by_middle.data, 4 * x.data)
    np.testing.assert_allclose(by_x.data, 8 * x.data)
    assert by_y.item() == 1.0


def test_several_outputs_add_their_gradients():
    x = leaf(2)
    cotangent = np.array([3.0, 4.0])
    (by_x,) = od.grad([x.sum(), x * 2.0], x, [None, cotangent])
    np.testing.assert_array_equal(by_x.data, 1 + 2 * cotangent)


def test_gradients_are_arrays_of_their_own():
    x, cotangent = leaf(2), np.array([3.0, 4.0])
    (by_x,) = od.grad(F.clone(x), x, cotangent)
    assert not np.shares_memory(by_x.data, cotangent)


def test_what_does_not_lead_to_an_input_is_not_walked():
    from odyssey.tensor import record

    def never(grad, node):
        raise AssertionError("walked")

    x, w = leaf(2), leaf(2)
    aside = record(w.data, never, (w.node,), None)
    (by_x,) = od.grad((x * 2.0 + aside).sum(), x)
    assert by_x.data.tolist() == [2.0, 2.0]


def test_an_unused_input_is_an_error_or_none():
    x, w = leaf(2), leaf(2)
    with pytest.raises(RuntimeError, match="none that depends on input 1"):
        od.grad(x.sum(), [x, w])
    assert od.grad(x.sum(), [x, w], allow_unused=True)[1] is None


def test_the_tape_is_kept_when_asked():
    x = leaf(2)
    y = (x * x).sum()
    first = od.grad(y, x, retain_graph=True)[0]
    second = od.grad(y, x)[0]
    np.testing.assert_array_equal(first.data, second.data)
    with pytest.raises(RuntimeError, match="an earlier backward"):
        od.grad(y, x)


def test_arguments_that_do_not_fit_are_errors():
    x = leaf(2)
    with pytest.raises(RuntimeError, match="inputs that a gradient is recorded for"):
        od.grad(x.sum(), od.Tensor([1.0]))
    with pytest.raises(RuntimeError, match="without a history"):
        od.grad(od.Tensor([1.0]), x)
    with pytest.raises(ShapeError, match="outputs of a single element"):
        od.grad(x * 2.0, x)
    with pytest.raises(ShapeError, match="expected a gradient"):
        od.grad(x * 2.0, x, np.ones(3))
    with pytest.raises(ShapeError, match="a gradient for each of 1 outputs, found 2"):
        od.grad(x.sum(), x, [None, None])


def test_an_operation_without_a_second_derivative_is_named():
    x = leaf(1, 1, 4, 4)
    with pytest.raises(RuntimeError, match="found max_pool2d, which cannot"):
        od.grad(F.max_pool2d(x, 2).sum(), x, create_graph=True)


def test_no_second_gradient_is_recorded_through_a_tape_that_was_freed():
    x = leaf(2)
    y = F.exp(x).sum()
    (first,) = od.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="an earlier backward"):
        od.grad(first.sum(), x)
