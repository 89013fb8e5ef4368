"""Nothing that can be differentiated goes unchecked: every operation, every function over Tensors, every layer."""

import sys
from pathlib import Path

import numpy as np
import pytest

import odyssey as od
from odyssey.testing import CASES, GradientError, check_tape, gradcheck

sys.path.insert(0, str(Path(__file__).parent))

from gradient_rows import FUNCTIONS, LAYERS

F = od.nn.functional
WITH_GRADIENT = [op for op, case in CASES.items() if not isinstance(case.grad, str)]

WITHOUT_ROW = {
    "aligned_empty": "gives memory; nothing is computed",
    "forman_ricci": "counts over a graph; its weights are data",
    "get_include": "names a folder",
    "get_protos": "names a folder",
    "grad": "gives gradients itself; tests/tensor/test_gradient.py checks them",
    "jit": "compiles a function",
    "library_path": "names a file",
    "load": "reads a file",
    "ollivier_ricci": "solves a transport problem for each edge of a graph; its weights are data",
    "save": "writes a file",
    "show_config": "prints",
    "use_reference": "is a switch",
}


def test_every_operation_has_a_gradient_that_is_checked_or_a_reason_why_it_has_none():
    for name in od.__all__:
        value = getattr(od, name)
        if isinstance(value, type) or not callable(value):
            continue
        assert name in CASES or name in WITHOUT_ROW, (
            f"odyssey.{name} has neither a row in testing/cases, which checks its gradient or says why it has none, nor a "
            "reason here"
        )
        if name not in CASES:
            assert len(WITHOUT_ROW[name]) > 5
        elif isinstance(CASES[name].grad, str):
            assert len(CASES[name].grad) > 10, f"{name}'s row says too little of why it has no gradient"
        else:
            assert name in F.__all__, f"odyssey.{name} has a gradient, and nn.functional does not have it"


def test_reasons_are_of_operations_that_there_are():
    assert set(WITHOUT_ROW) <= set(od.__all__) - set(CASES)


@pytest.mark.parametrize("op", WITH_GRADIENT)
def test_the_tape_of_an_operation(op):
    assert check_tape(CASES[op]) > 0


def test_every_function_over_tensors_is_checked():
    unchecked = set(F.__all__) - set(WITH_GRADIENT) - set(FUNCTIONS)
    assert not unchecked, f"without a row in tests/nn/gradient_rows.py or a gradient in testing/cases: {unchecked}"
    assert set(FUNCTIONS) <= set(F.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_over_tensors(name):
    f, inputs = FUNCTIONS[name]
    loose = {"rtol": 1e-5, "atol": 1e-7} if name in ("exp_map", "log_map", "gyration", "parallel_transport", "sinkhorn") else {}
    gradcheck(f, inputs, **loose)


BASES = {"Foldable": "names pairs of a model's layers, and computes nothing"}


def _layers():
    public = {name: getattr(od.nn, name) for name in od.nn.__all__}
    return {
        name
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, od.nn.Module) and value is not od.nn.Module
        and name not in BASES
    }


def test_every_layer_is_checked():
    unchecked = _layers() - set(LAYERS)
    assert not unchecked, f"without a row in tests/nn/gradient_rows.py: {unchecked}"
    assert set(LAYERS) <= _layers()


@pytest.mark.parametrize("name", LAYERS)
def test_layers_by_input_and_by_parameter(name):
    make, inputs = LAYERS[name]
    call = make()
    layer = getattr(call, "layer", call)
    parameters = list(layer.parameters())
    for parameter in parameters:
        _widen(parameter)
    for buffer in layer.buffers():
        buffer.data = buffer.data.astype(np.float64)
    count = len(inputs(np.random.default_rng(0)))
    gradcheck(
        lambda *given: call(*given[:count]),
        lambda rng: [*inputs(rng), *parameters],
        points=2,
        elements=20,
    )


def _widen(parameter):
    parameter.requires_grad = False
    parameter.data = parameter.data.astype(np.float64)
    parameter.requires_grad = True


def test_a_wrong_tape_is_caught(monkeypatch):
    from odyssey.tensor import ops

    monkeypatch.setattr(ops, "silu_backward", lambda grad, x, out=None: grad * ops.sigmoid(x))
    with pytest.raises(GradientError, match=r"nn.functional.silu, float64 .* contiguous"):
        check_tape(CASES["silu"])


def test_rows_without_a_gradient_have_no_tape_to_check():
    assert check_tape(CASES["argmax"]) == 0
