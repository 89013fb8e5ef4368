"""What the gradient of a reduction wants of `out`. Values are held by testing/cases."""

import numpy as np
import pytest

import odyssey as od
from odyssey.errors import DTypeError, LayoutError, ShapeError

GRADIENTS = {
    "var": lambda x, out: od.var_backward(np.ones(len(x), x.dtype), x, 1, out=out),
    "norm": lambda x, out: od.norm_backward(np.ones(len(x), x.dtype), x, np.ones(len(x), x.dtype), 1, out=out),
    "max": lambda x, out: od.max_backward(np.ones(len(x), x.dtype), x, 1, out=out),
    "min": lambda x, out: od.min_backward(np.ones(len(x), x.dtype), x, 1, out=out),
}


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("op", GRADIENTS)
def test_out_that_does_not_fit_is_refused_by_the_gradients_own_name(op, rows):
    x = np.ones((rows, 3), np.float32)
    frozen = np.ones_like(x)
    frozen.flags.writeable = False
    for out, error in ((np.ones((rows, 3, 2), np.float32), ShapeError), (np.ones((rows, 3)), DTypeError), (frozen, LayoutError)):
        with pytest.raises(error, match=f"^{op}_backward: out "):
            GRADIENTS[op](x, out)


@pytest.mark.parametrize("ops", [od, od.reference], ids=["fast", "reference"])
def test_a_variance_of_too_few_has_no_gradient(ops):
    assert np.isnan(ops.var_backward(np.float32(1), np.float32([1, 2, 4]), ddof=3)).all()


@pytest.mark.parametrize("op", GRADIENTS)
def test_out_may_be_x(op):
    x = np.float32([[1, 4, 2], [5, 0, 3]])
    expected = GRADIENTS[op](x, None)
    assert GRADIENTS[op](x, x) is x
    np.testing.assert_array_equal(x, expected)
