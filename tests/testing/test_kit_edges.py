"""The test kit's own refusals: wrong counts of results, types that are not float64, sets that cannot run."""

import numpy as np
import pytest

import odyssey as od
from odyssey.testing import gradcheck
from odyssey.testing.cases import CASES
from odyssey.testing.digest import digest
from odyssey.testing.draw import Draw
from odyssey.testing.verify import verify


def test_too_few_results_are_a_failure_by_themselves():
    case = CASES["layer_norm_backward"]
    call = case.draw(next(iter(case.samples("float32"))))
    expected = case.expect(call)
    assert case.measure(expected[:1], expected, call).message == "1 results where the reference has 3"


def test_gradients_are_checked_in_float64_alone():
    with pytest.raises(TypeError, match="float64"):
        gradcheck(lambda x: x * x, od.Tensor(np.ones(2, np.float32)))


@pytest.mark.parametrize(("isas", "words"), [(["neon9"], "cannot run here"), ([], "no instruction set")])
def test_verifying_on_nothing_is_refused(isas, words):
    with pytest.raises(ValueError, match=words):
        verify(isas)


def test_types_that_an_operation_lacks_leave_its_digest_alone():
    names = [op for op, case in CASES.items() if case.dtypes == ("float32",)][:1]
    for op in names:
        assert digest([op], dtypes=("float32", "float64")) == digest([op], dtypes=("float32",))


def test_probabilities_in_the_special_regime_have_the_ends_and_nan():
    values = Draw(np.random.default_rng(0), np.dtype(np.float32), "special").unit(200)
    assert np.isnan(values).any()
    assert {0.0, 1.0} <= set(values[~np.isnan(values)].tolist())
