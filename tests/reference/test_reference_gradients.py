"""Each definition's backward is the derivative of its forward: central differences in float64, random cotangents."""

import pytest

from odyssey import reference
from odyssey.testing.cases import CASES
from odyssey.testing.gradcheck import check_backward

DIFFERENTIABLE = [op for op, case in CASES.items() if not isinstance(case.grad, str)]
WITHOUT_GRADIENT = {op: case.grad for op, case in CASES.items() if isinstance(case.grad, str)}


@pytest.mark.parametrize("op", DIFFERENTIABLE)
def test_the_gradient_of_the_reference_agrees_with_differences(op):
    assert check_backward(CASES[op], reference) > 0


def test_every_backward_of_the_reference_is_checked_through_its_forward():
    backwards = {op for op in reference.__all__ if "_backward" in op}
    for op in backwards:
        forward = op.partition("_backward")[0]
        elsewhere = "tests/" in WITHOUT_GRADIENT.get(forward, "")  # a file of its own, which the row names
        assert forward in DIFFERENTIABLE or elsewhere, f"{op} has no forward whose gradient is checked"


def test_a_row_without_a_gradient_says_why():
    for op, reason in WITHOUT_GRADIENT.items():
        assert len(reason) > 10, op
