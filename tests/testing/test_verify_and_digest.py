"""verify, digest and assert_matches_reference on namespaces made right, and made wrong."""

from types import SimpleNamespace

import numpy as np
import pytest

from odyssey import reference
from odyssey.testing.cases import CASES
from odyssey.testing.digest import digest, digests
from odyssey.testing.reference_match import assert_matches_reference
from odyssey.testing.verify import verify, verify_case

RIGHT = {name: getattr(reference, name) for name in reference.__all__}


def namespace(**broken):
    return SimpleNamespace(**RIGHT | broken)


@pytest.mark.parametrize("op", ["add", "exp", "softmax", "matmul", "adam_step", "max_pool2d", "prelu_backward"])
def test_the_reference_passes_against_itself(op):
    result = verify_case(CASES[op], ops=namespace(), large=False)
    assert result.passed
    assert result.calls > 10
    assert result.message is None


@pytest.mark.parametrize(
    ("op", "broken", "where"),
    [
        ("exp", lambda x, out=None: reference.exp(x) * x.dtype.type(1 + 4 * np.finfo(x.dtype).eps), "ulp"),
        ("add", lambda a, b, out=None: reference.add(a, b).astype(np.float32), "dtype"),
        ("relu", lambda x, out=None: np.where(x > 0, x, 0).astype(x.dtype), "nan"),
        ("sum", lambda x, axis=None, keepdims=False: reference.sum(x, axis), "shape"),
        ("softmax", lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis, keepdims=True), "huge"),
        ("argmax", lambda x, axis=None, keepdims=False: np.zeros((), np.int64), ""),
        ("matmul", lambda a, b, out=None, alpha=1.0, beta=0.0: reference.matmul(a, b), "alpha"),
        ("sgd_step", lambda *args, **kwargs: None, ""),
        ("max_pool2d", lambda x, **o: reference.avg_pool2d(x, **o), ""),
    ],
)
def test_a_broken_operation_fails_and_says_where(op, broken, where):
    result = verify_case(CASES[op], ops=namespace(**{op: broken}), large=False)
    assert not result.passed
    assert 0 < result.failures <= result.calls
    assert where in result.message.lower()


def test_an_operation_right_only_for_whole_vectors_fails():
    def only_whole_vectors(x, out=None):
        y = reference.exp(x)
        y.reshape(-1)[x.size // 16 * 16 :] = 0
        return y

    assert not verify_case(CASES["exp"], ops=namespace(exp=only_whole_vectors), large=False).passed


def test_an_operation_that_ignores_strides_fails():
    def reads_straight_on(x, out=None):
        memory = np.lib.stride_tricks.as_strided(x, (x.size,), (x.itemsize,)) if x.ndim else x
        return reference.exp(memory.reshape(x.shape))

    result = verify_case(CASES["exp"], ops=namespace(exp=reads_straight_on), large=False)
    assert not result.passed
    assert "normal" in result.message


def test_an_operation_that_raises_fails_with_its_error():
    def broken(x, out=None):
        raise ZeroDivisionError("no")

    result = verify_case(CASES["exp"], ops=namespace(exp=broken), large=False)
    assert result.failures == result.calls
    assert "ZeroDivisionError: no" in result.message


def test_a_missing_operation_fails():
    names = {name: value for name, value in RIGHT.items() if name != "exp"}
    assert "exp" in verify_case(CASES["exp"], ops=SimpleNamespace(**names), large=False).message


def test_verify_reports_row_by_row():
    seen = []
    results = verify(families=("softmax",), ops=namespace(), progress=seen.append)
    assert [result.op for result in results] == ["softmax", "softmax_backward", "log_softmax", "log_softmax_backward"]
    assert seen == results
    assert all(result.passed and result.family == "softmax" for result in results)


def test_a_digest_is_the_same_for_the_same_bits_in_any_order():
    few = ("exp", "softmax", "add")
    assert digest(few, ops=namespace()) == digest(few[::-1], ops=namespace())
    assert digests(few, ops=namespace())["exp"] == digests(["exp"], ops=namespace())["exp"]


def test_a_digest_tells_one_bit_apart_and_names_the_culprit():
    def off_by_a_bit(x, out=None):
        y = np.array(reference.exp(x))
        if y.size == 33:
            y[32] = np.nextafter(y[32], y.dtype.type(np.inf))
        return y

    right, wrong = digests(["exp", "add"], ops=namespace()), digests(["exp", "add"], ops=namespace(exp=off_by_a_bit))
    assert right["add"] == wrong["add"]
    assert right["exp"] != wrong["exp"]
    assert digest(["exp"], ops=namespace()) != digest(["exp"], ops=namespace(exp=off_by_a_bit))


def test_a_digest_minds_signed_zeros_and_not_the_kind_of_nan():
    def negative_zeros(x, out=None):
        y = np.array(reference.relu(x))
        return np.where(y == 0, -y, y).astype(y.dtype)

    def other_nans(x, out=None):
        y = np.array(reference.relu(x))
        return np.where(np.isnan(y), -y, y).astype(y.dtype)

    right = digest(["relu"], ops=namespace())
    assert digest(["relu"], ops=namespace(relu=negative_zeros)) != right
    assert digest(["relu"], ops=namespace(relu=other_nans)) == right


def test_a_function_that_matches_is_accepted():
    def exp(x):
        return np.exp(x.astype(np.float64)).astype(np.float32)

    assert_matches_reference(exp, np.linspace(-5, 5, 100, dtype=np.float32))


def test_a_function_that_does_not_match_is_named_with_its_worst_element():
    def exp(x):
        return np.float32(1) + x

    with pytest.raises(AssertionError, match=r"exp: off by .* at \[2\].*(.|\n)*\(3,\) float32(.|\n)*polynomial"):
        assert_matches_reference(exp, np.float32([0, 0, 1]))


def test_a_step_in_place_is_matched_by_what_it_writes():
    def sgd_step(param, grad, **options):
        param -= np.float32(options["lr"]) * grad

    param = np.ones(5, np.float32)
    assert_matches_reference(sgd_step, param, np.ones(5, np.float32), lr=0.5)
    assert np.array_equal(param, np.full(5, 0.5))
    with pytest.raises(AssertionError, match="sgd_step"):
        assert_matches_reference(sgd_step, param, np.ones(5, np.float32), lr=0.5, weight_decay=1.0)
