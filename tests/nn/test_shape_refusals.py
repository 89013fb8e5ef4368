"""Shapes that cannot be: every function of `nn.functional.shape` says what it expected, and where the edges are."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, ShapeError
from odyssey.nn import functional as F

X = np.zeros((2, 3), np.float32)
D = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: F.reshape(X, 4), ShapeError, "4"),
        (lambda: F.reshape(X, (-1, 4)), ShapeError, "one size may be -1"),
        (lambda: F.flatten(np.zeros((2, 3, 4), np.float32), 2, 1), ValueError, "flatten"),
        (lambda: F.squeeze(X, 0), ShapeError, "squeeze"),
        (lambda: F.transpose(X, 0, 0), ShapeError, "each of the 2 axes"),
        (lambda: F.swapaxes(X, 0, 2), ShapeError, "swapaxes"),
        (lambda: F.broadcast_to(X, (3, 3)), ShapeError, "broadcast_to"),
        (lambda: F.where(X, X, X), DTypeError, "x != 0"),
        (lambda: F.where(X > 0, X, D), DTypeError, "where: expected one dtype"),
        (lambda: F.concatenate([X, X[:, :2]]), ShapeError, "one shape but for axis 0"),
        (lambda: F.concatenate([X, D]), DTypeError, r"x\.astype\(numpy\.float32\)"),
        (lambda: F.concatenate([]), ShapeError, "at least one"),
        (lambda: F.stack([X, X[:1]]), ShapeError, "stack"),
        (lambda: F.stack([]), ShapeError, "at least one"),
        (lambda: F.split(X, 2, axis=2), ShapeError, "split: expected an axis"),
        (lambda: F.split(X, 2, axis=1), ShapeError, "split"),
        (lambda: F.split(X, 0, axis=1), ShapeError, "split"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_words(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


def test_without_axes_there_is_one_element():
    x = od.Tensor(np.float32(3), requires_grad=True)
    y = F.transpose(F.flatten(x))
    assert y.shape == (1,)
    y.backward(np.ones(1, np.float32))
    assert x.grad == 1


def test_comparisons_and_operands_on_the_left_are_those_of_the_arrays():
    x = od.Tensor(np.float32([1, 2, 4]))
    other = np.float32([2, 2, 2])
    for compare in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
        np.testing.assert_array_equal(getattr(x, compare)(other), getattr(x.data, compare)(other))
    np.testing.assert_array_equal((other - x).data, other - x.data)
    np.testing.assert_array_equal((other / x).data, other / x.data)
    np.testing.assert_array_equal((2.0**x).data, 2.0**x.data)
    np.testing.assert_array_equal((other @ x).data, other @ x.data)


def test_a_gradient_is_forgotten_or_set_to_zero_where_there_is_one():
    x = od.Tensor(np.float32([1, 2]), requires_grad=True)
    x.zero_grad(set_to_none=False)
    assert x.grad is None
    (x * x).sum().backward()
    x.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(x.grad, [0, 0])
    x.zero_grad()
    assert x.grad is None
    y = x * x
    y.zero_grad()  # not a leaf: nothing to forget
    again = od.Tensor(x)
    assert again.data is x.data


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
@pytest.mark.parametrize("op", [F.matmul, lambda a, b: F.linear(a, b.T), F.add, F.multiply])
def test_a_gradient_is_only_made_for_who_wants_it(op, wanted):
    a, b = (od.Tensor(np.ones((3, 3), np.float32), requires_grad=want) for want in wanted)
    op(a, b).sum().backward()
    assert [one.grad is not None for one in (a, b)] == list(wanted)


def test_one_parameter_alone_can_be_clipped():
    w = od.Tensor([3.0, 4.0], requires_grad=True)
    (w * w).sum().backward()
    assert od.optim.clip_grad_norm_(w, 5.0) == 10.0
    np.testing.assert_allclose(w.grad, [3.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, TypeError, "hidden=1024"),
        ({"hidden": 4, "streams": 9}, ShapeError, "1 to 8 streams"),
        ({"hidden": 0}, ShapeError, "found 4 of 0"),
        ({"hidden": 4, "variant": "prose"}, ValueError, "'default' or 'paper'"),
    ],
)
def test_hyper_connections_that_cannot_be_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        od.nn.HyperConnection(**options)


def test_hyper_connections_show_what_they_are():
    assert "variant='paper'" in repr(od.nn.HyperConnection(hidden=4, variant="paper"))
    assert "variant" not in repr(od.nn.HyperConnection(hidden=4))
    with pytest.raises(TypeError, match="hidden=1024"):
        od.nn.HyperHead()
    plain = od.nn.ResidualAdd()
    np.testing.assert_array_equal(plain(X + 1, lambda x: od.Tensor(x)).data, X + 2)
