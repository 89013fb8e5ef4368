"""What the definitions take, what they refuse, and where they write."""

from array import array

import numpy as np
import pytest

from odyssey import reference as ref
from odyssey.errors import DTypeError, OdysseyError, ShapeError
from odyssey.testing.cases import CASES
from odyssey.testing.draw import Draw

X = np.float32([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("op", [op for op, case in CASES.items() if case.takes_out])
def test_out_receives_the_result_and_is_returned(op):
    case = CASES[op]
    sample = next(s for s in case.samples("float32") if s.regime == "normal" and s.size not in (0, ()))
    call = case.draw(sample)
    expected = case.expect(call)[0]
    out = np.full(expected.shape, 77, expected.dtype)
    with np.errstate(all="ignore"):
        result = case.definition(
            *call.args, **{**call.kwargs, "out": out, "beta": 0.0} if op == "matmul" else {**call.kwargs, "out": out}
        )
    assert result is out
    assert np.array_equal(out, expected, equal_nan=True)


@pytest.mark.parametrize(
    "out", [np.zeros((2, 2), np.float32), np.zeros((1, 3), np.float32), np.zeros((2, 3, 1), np.float32)]
)
def test_out_of_another_shape_is_refused(out):
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        ref.exp(X, out)


def test_out_of_another_type_is_refused():
    with pytest.raises(DTypeError, match="float32"):
        ref.exp(X, np.zeros((2, 3)))


def test_out_may_be_an_operand():
    x = X.copy()
    assert np.array_equal(ref.softmax(x, out=x), ref.softmax(X))


@pytest.mark.parametrize("wrong", [np.arange(3), np.ones(3, np.float16), np.ones(3, bool), np.ones(3, complex)])
def test_other_types_are_refused(wrong):
    for op in (ref.exp, ref.sum, ref.softmax, ref.relu):
        with pytest.raises(DTypeError, match=str(wrong.dtype)) as caught:
            op(wrong)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, OdysseyError)


def test_mixed_types_are_refused():
    with pytest.raises(DTypeError, match="float64"):
        ref.add(X, X.astype(np.float64))
    with pytest.raises(DTypeError, match="one type"):
        ref.add(1.0, 2.0)


@pytest.mark.parametrize("give", [memoryview, lambda x: array("f", x), lambda x: x[::-1][::-1]])
def test_anything_with_a_buffer_is_read(give):
    x = np.float32([1, 2, 3])
    assert np.array_equal(ref.exp(give(x)), ref.exp(x))


def test_anything_with_dlpack_is_read():
    class OnlyDLPack:
        def __init__(self, array):
            self._array = array

        def __dlpack__(self, **options):
            return self._array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self._array.__dlpack_device__()

    assert np.array_equal(ref.exp(OnlyDLPack(X)), ref.exp(X))


def test_results_without_axes_are_numpy_scalars():
    for result in (ref.sum(X), ref.norm(X), ref.dot(X[0], X[1]), ref.cross_entropy(X, np.array([0, 1]))):
        assert isinstance(result, np.float32)
    assert isinstance(ref.argmax(X), np.int64)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_outside_the_classes_is_an_index_error(labels):
    with pytest.raises(IndexError, match=r"\[0, 3\)"):
        ref.cross_entropy(X, np.array(labels))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: ref.relu_backward(X, X[0]), ShapeError),
        (lambda: ref.prelu(X, np.ones(4, np.float32)), ShapeError),
        (lambda: ref.dot(X[0], X[0, :2]), ShapeError),
        (lambda: ref.linear(X, np.ones((4, 2), np.float32)), ShapeError),
        (lambda: ref.linear(X, np.ones((4, 3), np.float32), np.ones(3, np.float32)), ShapeError),
        (lambda: ref.linear(X, np.ones((4, 3), np.float32), activation="swish"), ValueError),
        (lambda: ref.matmul(X, X.T, beta=1.0), ValueError),
        (lambda: ref.cross_entropy(X, np.zeros(3, np.int64)), ShapeError),
        (lambda: ref.cross_entropy(X, np.zeros(2)), DTypeError),
        (lambda: ref.cross_entropy(X, np.zeros(2, np.int64), "average"), ValueError),
        (lambda: ref.conv2d(np.ones((1, 3, 4, 4), np.float32), np.ones((2, 2, 3, 3), np.float32)), ShapeError),
        (lambda: ref.conv2d(np.ones((1, 2, 2, 2), np.float32), np.ones((2, 2, 3, 3), np.float32)), ShapeError),
        (lambda: ref.max_pool2d(np.ones((1, 2, 4, 4), np.float32), 2, padding=2), ShapeError),
        (lambda: ref.max_pool2d(X, 2), ShapeError),
        (lambda: ref.gelu(X, "erf"), ValueError),
        (lambda: ref.sgd_step(X.copy(), X, momentum=0.9), ValueError),
        (lambda: ref.adam_step(X.copy(), X, X.copy(), X.copy(), 0), ValueError),
        (lambda: ref.sum(X, axis=2), ValueError),
    ],
)
def test_operands_that_do_not_fit_are_refused(wrong, error):
    with pytest.raises(error):
        wrong()


@pytest.mark.parametrize("op", ["add", "exp", "softmax", "sum", "conv2d", "cross_entropy"])
def test_inputs_are_not_written(op):
    case = CASES[op]
    for sample in list(case.samples("float32", large=False))[:6]:
        call = case.draw(sample)
        before = call.fresh()
        with np.errstate(all="ignore"):
            case.definition(*call.args, **call.kwargs)
        for was, now in zip(before.args, call.args, strict=True):
            assert np.array_equal(was, now, equal_nan=isinstance(now, np.ndarray) and now.dtype.kind == "f")


def test_normal_draws_are_normal():
    assert abs(float(Draw(np.random.default_rng(0), np.dtype(np.float32))(10_000).std()) - 1) < 0.05
