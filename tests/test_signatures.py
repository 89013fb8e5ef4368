"""A fast operation and its definition are called the same way: names, defaults and annotations."""

import inspect

import pytest

import odyssey
from odyssey import reference


def _described(function):
    """Name, kind, default and annotation of each parameter, and what is returned, as they are written."""
    signature = inspect.signature(function)
    parameters = [(p.name, p.kind.name, p.default, _written(p.annotation)) for p in signature.parameters.values()]
    return parameters, _written(signature.return_annotation)


def _written(annotation):
    return "".join(str(annotation).split())


@pytest.mark.parametrize("op", reference.__all__)
def test_fast_and_reference_have_one_signature(op):
    assert _described(getattr(odyssey, op)) == _described(getattr(reference, op))


def test_every_definition_is_public():
    assert set(reference.__all__) <= set(odyssey.__all__)
