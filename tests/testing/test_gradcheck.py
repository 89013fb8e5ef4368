"""The gradient check passes right gradients and catches wrong ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from odyssey import reference
from odyssey.testing.cases import CASES
from odyssey.testing.gradcheck import GradientError, check_backward, gradcheck

X = np.array([0.3, -1.2, 2.5])


def test_a_right_gradient_passes():
    gradcheck(lambda x: (np.sin(x), lambda grad: grad * np.cos(x)), [X])


def test_several_inputs_get_a_gradient_each():
    gradcheck(lambda a, b: (a @ b, lambda grad: (grad @ b.T, a.T @ grad)), [np.ones((2, 3)), np.ones((3, 4))])


def test_points_may_be_drawn():
    seen = []

    def draw(rng):
        seen.append(rng.standard_normal(4))
        return [seen[-1]]

    gradcheck(lambda x: (np.exp(x), lambda grad: grad * np.exp(x)), draw, points=4)
    assert len(seen) == 4
    assert not np.array_equal(seen[0], seen[1])


def test_inputs_are_left_as_they_were():
    x = X.copy()
    gradcheck(lambda x: (x**3, lambda grad: 3 * x**2 * grad), [x])
    assert np.array_equal(x, X)


def test_each_point_lies_otherwise_in_memory():
    strides = []

    def f(x):
        strides.append(x.strides)
        return 2 * x, lambda grad: 2 * grad

    gradcheck(f, [X])
    assert list(dict.fromkeys(strides)) == [(8,), (16,), (-8,)]
    strides.clear()
    gradcheck(f, [X], layouts=("fortran",))
    assert set(strides) == {(8,)}


def test_a_gradient_that_is_right_for_contiguous_arrays_alone_is_caught():
    with pytest.raises(GradientError):
        gradcheck(lambda x: (2 * x, lambda grad: (3 - x.flags.c_contiguous) * grad), [X])


def test_tensors_keep_their_data():
    tensor = Taped(X.copy())
    data = tensor.data
    gradcheck(_square, [tensor])
    assert tensor.data is data


def test_large_inputs_are_sampled():
    calls = []

    def f(x):
        calls.append(1)
        return 2 * x, lambda grad: 2 * grad

    gradcheck(f, [np.ones((100, 100))], points=1, elements=20)
    assert len(calls) == 41


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, grad: np.cos(x),  # forgot the cotangent
        lambda x, grad: -grad * np.cos(x),
        lambda x, grad: grad * np.cos(x) * (1 + 1e-4),
        lambda x, grad: np.where(np.arange(3) == 1, 0, grad * np.cos(x)),
        lambda x, grad: np.full(3, np.nan),
    ],
)
def test_a_wrong_gradient_is_caught(wrong):
    with pytest.raises(GradientError, match="central differences"):
        gradcheck(lambda x: (np.sin(x), lambda grad: wrong(x, grad)), [X])


def test_a_gradient_of_another_shape_is_caught():
    with pytest.raises(GradientError, match="shape"):
        gradcheck(lambda x: (x.sum(), lambda grad: grad), [X])


def test_softmax_without_its_second_term_is_caught():
    # With a cotangent of ones the second term vanishes and so would the error.
    def f(x):
        y = reference.softmax(x)
        return y, lambda grad: grad * y

    with pytest.raises(GradientError):
        gradcheck(f, [X])


def test_float32_is_refused():
    with pytest.raises(TypeError, match="float64"):
        gradcheck(lambda x: (x, lambda grad: grad), [X.astype(np.float32)])


class Taped:
    """The least that counts as a Tensor."""

    def __init__(self, data, back=None):
        self.data, self.grad, self._back = data, None, back

    def backward(self, grad):
        self._back(grad)


def _square(x, slope=2.0):
    def back(grad):
        x.grad = slope * x.data * grad

    return Taped(x.data**2, back)


def test_functions_over_tensors_are_checked_by_their_tape():
    gradcheck(_square, [Taped(X.copy())])
    with pytest.raises(GradientError):
        gradcheck(lambda x: _square(x, 2.01), [Taped(X.copy())])


def test_a_tensor_that_got_no_gradient_is_caught():
    with pytest.raises(GradientError, match="gradient is 0"):
        gradcheck(lambda x: Taped(x.data**2, lambda grad: None), [Taped(X.copy())])


@pytest.mark.parametrize(
    ("op", "broken"),
    [
        ("silu", {"silu_backward": lambda g, x, out=None: reference.sigmoid(x) * g}),
        ("conv2d", {"conv2d_backward_weight": lambda g, x, shape, **o: np.zeros(shape)}),
        ("max_pool2d", {"max_pool2d_backward": lambda g, x, **o: np.zeros_like(x)}),
        ("cross_entropy", {"cross_entropy_backward": lambda g, x, labels, reduction="mean": 2 * x}),
    ],
)
def test_a_broken_backward_of_a_row_is_caught(op, broken):
    names = {name: getattr(reference, name) for name in reference.__all__}
    with pytest.raises(GradientError, match=op):
        check_backward(CASES[op], SimpleNamespace(**names | broken))


def test_rows_without_a_gradient_are_not_checked():
    assert check_backward(CASES["argmax"], reference) == 0
