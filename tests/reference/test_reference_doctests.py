"""Every definition carries an example, and every example is true."""

import doctest
import importlib
import inspect

import pytest

from odyssey import errors, reference

MODULES = (
    "elementwise",
    "activations",
    "reductions",
    "softmax",
    "cross_entropy",
    "linear",
    "conv",
    "conv_transpose",
    "filter",
    "pooling",
    "optim",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_reference_are_true(name):
    module = importlib.import_module(f"odyssey.reference.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_examples_of_the_error_helpers_are_true():
    assert doctest.testmod(errors).failed == 0


@pytest.mark.parametrize("op", reference.__all__)
def test_every_definition_has_an_example_and_a_reason(op):
    documentation = inspect.getdoc(getattr(reference, op))
    assert ">>>" in documentation
    assert len(documentation.split(">>>")[0].strip()) > 10
