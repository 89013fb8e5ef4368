"""The examples in the docstrings of the compiled operations run and give what they show."""

import doctest

import numpy as np
import pytest

import odyssey as od

OPERATIONS = sorted(name for name in od.reference.__all__ if hasattr(od, name))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_example_holds(name):
    text = getattr(od, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {"od": od, "np": np}, name, None, 0)
    assert example.examples
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)
